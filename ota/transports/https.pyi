from collections.abc import Mapping, Sequence

from .http import HttpTransport

class HttpsTransport(HttpTransport):
    def __init__(
        self,
        url: str,
        *,
        ca: str | bytes | Sequence[str | bytes] | None = None,
        verify: bool = True,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10,
        retries: int = 3,
    ) -> None: ...
