"""Serves a tree of releases over HTTP: what any web server does, with a line for each request.

Starlette answers (Range, If-Range, ETag, HEAD), uvicorn speaks HTTP/1.1 with kept-alive
connections. Ours are the entity tags, which are hashes of the content, and the log.
"""

import contextlib
import functools
import os
import re
import socket
import stat
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ConfigError, OutsideError
from ..shared_types import Request

_BLOB = re.compile(r"[0-9a-f]{64}")
# What never changes: the smaller forms of contents, of which the name is no hash.
_FORM = re.compile(r"blobs/[0-9a-f]{2}/[0-9a-f]{64}\.z|[^/]+/deltas/[0-9a-f]{16}-[0-9a-f]{16}")
_FOR_EVER = "public, max-age=31536000, immutable"
Tell = Callable[[Request], object]  # called for each request, see `Log`
KEEP_ALIVE = 30  # seconds that an idle connection stays open
# Connections that may wait, and how many of them are taken before others are answered: asyncio takes all of its
# backlog at a stretch, and of 800 boards at once some then waited for three seconds, not for one.
WAITING, AT_A_STRETCH = 1024, 16


@functools.lru_cache(maxsize=1024)
def _hash(path: str, *changed: int) -> str:
    with open(path, "rb") as f:
        digest = sha256()
        while chunk := f.read(65536):
            digest.update(chunk)
    return digest.hexdigest()


class Releases(StaticFiles):
    """The files below a folder; hidden ones, such as the publisher's, are not there."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """As the base, for names of which no part begins with a dot."""
        if any(part.startswith(".") for part in Path(path).parts):
            return "", None
        return super().lookup_path(path)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """As the base, but a file is looked up here: to hand that to a thread, as the base does, takes longer than it."""
        if scope["method"] in ("GET", "HEAD"):
            with contextlib.suppress(OSError, ValueError):  # the base has an answer for each
                full_path, found = self.lookup_path(path)
                if found and stat.S_ISREG(found.st_mode):
                    return self.file_response(full_path, found, scope)
        return await super().get_response(path, scope)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The answer for one file, with an entity tag that two files share only when they are equal."""
        path = Path(full_path)
        if path.parts[-3:-2] == ("blobs",) and _BLOB.fullmatch(path.name):
            etag, cache = path.name, _FOR_EVER
        else:
            changed = stat_result.st_mtime_ns, stat_result.st_size, stat_result.st_ino
            try:
                etag = _hash(str(path), *changed)
            except OSError:
                raise HTTPException(404) from None
            cache = _FOR_EVER if _FORM.fullmatch("/".join(path.parts[-3:])) else "no-cache"
        headers = {"etag": f'"{etag}"', "cache-control": cache}
        response = FileResponse(path, headers=headers, stat_result=stat_result)
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response


class Log:
    """Calls `tell` with a dict for each request once it is answered.

    Its keys: client, agent, method, path (as it came, percent-encoded), status, bytes, ms.
    """

    def __init__(self, app: ASGIApp, tell: Tell) -> None:
        self.app, self.tell = app, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count what is sent."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = {"status": 0, "bytes": 0}

        async def counting(message: Message) -> None:
            sent["status"] = message.get("status", sent["status"])
            sent["bytes"] += len(message.get("body", b""))
            await send(message)

        start = time.perf_counter()
        try:
            await self.app(scope, receive, counting)
        finally:
            agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
            raw = scope.get("raw_path") or scope["path"].encode()
            entry: Request = {
                "client": (scope.get("client") or ["?"])[0],
                "agent": agent,
                "method": scope["method"],
                "path": raw.decode("latin-1"),
                "status": sent["status"],
                "bytes": sent["bytes"],
                "ms": round((time.perf_counter() - start) * 1000, 1),
            }
            self.tell(entry)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OutsideError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off for what is accepted. Else the
    # body of each answer waits 40 ms for the acknowledgement of its header.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
    except OSError as e:
        sock.close()
        reason = e.strerror if isinstance(e, socket.gaierror) else os.strerror(e.errno or 0)
        raise OutsideError(f"cannot listen on {host} port {port}: {reason}") from None
    return sock


def addresses(host: str) -> list[str]:
    """What to write for `host` (str) in a URL: for an address that stands for all, those of this PC in its networks.

    Returns:
        list of str: at least one; IPv6 in brackets.
    """
    if host not in ("0.0.0.0", "::"):
        return [f"[{host}]" if ":" in host else host]
    found = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # sends nothing, but chooses the address by which packets would leave
        found.append(sock.getsockname()[0])
    with contextlib.suppress(OSError):
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    return [a for a in dict.fromkeys(found) if not a.startswith("127.")] or ["127.0.0.1"]


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # For asyncio one number is both.
        for sock in sockets or ():
            sock.listen(WAITING)


def serve(root: Path, sock: socket.socket, tell: Tell) -> None:
    """Serve the files below `root` on `sock` until the process is told to end (Ctrl-C).

    Args:
        root (Path): the folder above the projects.
        sock (socket.socket): from `listen`.
        tell: called with a dict for each request; see `Log`.

    Raises:
        ConfigError: no such folder.
    """
    if not Path(root).is_dir():
        raise ConfigError(f"{root}: no such folder; `ota publish` makes it")
    app = Log(Starlette(routes=[Mount("/", Releases(directory=root))]), tell)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        backlog=AT_A_STRETCH,
    )
    _Server(config).run(sockets=[sock])
