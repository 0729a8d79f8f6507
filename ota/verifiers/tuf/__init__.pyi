from .. import Verifier

class TufVerifier(Verifier):
    def __init__(self, root: str, folder: str | None = None) -> None: ...
