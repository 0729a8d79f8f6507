from . import Transport

class SdTransport(Transport):
    def __init__(self, folder: str) -> None: ...
