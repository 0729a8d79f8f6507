from collections.abc import Mapping

from . import Transport

class HttpTransport(Transport):
    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10,
        retries: int = 3,
    ) -> None: ...
