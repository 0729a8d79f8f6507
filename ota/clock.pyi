from .transports.http import HttpTransport
from .transports.mirror import MirrorTransport

def set_clock(transport: HttpTransport | MirrorTransport, root: str | None = None) -> int: ...
