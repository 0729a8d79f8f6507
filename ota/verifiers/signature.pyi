from collections.abc import Iterable

from . import Verifier

class SignatureVerifier(Verifier):
    def __init__(self, keys: Iterable[str], threshold: int = 1) -> None: ...
