"""What HTTP/1.1 looks like on the wire: URLs, a connection, the head and the body of a response."""

from .. import own
from ..errors import TransportError
from . import Lines, ticks_diff, ticks_ms

select = own("select")
unhexlify = own("binascii").unhexlify

_HEADERS = 64  # lines of headers
_LINE = 1024  # bytes in one of them, or in a status line
_DRAIN = 512  # bytes of an answer without use that cost less than a new connection
_WANTED = (  # nothing else is kept: what a server may send is more than a board can hold
    "cache-control", "connection", "content-encoding", "content-length", "content-range", "date",
    "etag", "location", "retry-after", "transfer-encoding",
)  # fmt: skip
_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/!$&'()*+,;=:@"
QUOTED = _PLAIN + "%?"  # in what is quoted already


def quote(name, plain=_PLAIN):
    if not name.strip(plain):  # what it leaves is not plain
        return name
    # Of bytes: MicroPython keeps each character that a loop over a text meets as a name, for ever.
    return "".join(chr(b) if b < 128 and chr(b) in plain else "%%%02X" % b for b in name.encode())


def split(url):
    # Gives (origin, netloc, host, port, path), safe in a request; the origin is for credentials.
    scheme, _, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    host, _, port = netloc.rpartition(":")
    if not host or netloc.endswith("]"):
        host, port = netloc, ""
    plain = host and "@" not in netloc and min(netloc.encode()) > 32 and not port.strip("0123456789")
    if scheme not in ("http", "https") or not plain:
        raise TransportError("url %r is not http(s)://host[:port]/path" % url)
    port = int(port or (443 if scheme == "https" else 80))
    path = quote(slash + path or "/", QUOTED)
    return "%s://%s:%d" % (scheme, host, port), netloc, host.strip("[]"), port, path


class Link:
    # A connection. Reads wait no longer than the timeout, and give what there is. What the
    # caller wants of the server must be there before twice the timeout from `since` on, so
    # that nobody is held by lines that come a byte at a time, or that never end.
    def __init__(self, sock, raw, timeout, origin):
        self.origin = origin
        self.since = 0
        self._raw = raw
        self._sock = sock
        self._file = sock.makefile("rb", 0) if hasattr(sock, "makefile") else sock
        self._timeout = timeout
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        # MicroPython fills the whole buffer unless the socket does not block.
        self._partial = not hasattr(raw, "recv_into")
        self.lines = Lines(self, 256)

    def send(self, data):
        self.since = ticks_ms()
        self._raw.settimeout(self._timeout)
        if hasattr(self._sock, "sendall"):
            self._sock.sendall(data)
        else:
            self._sock.write(data)
        if self._partial:
            self._raw.setblocking(False)

    def readinto(self, buffer):
        if ticks_diff(ticks_ms(), self.since) > self._timeout * 2000:
            raise TransportError("a line takes over %d s" % (self._timeout * 2))
        while True:
            n = self._file.readinto(buffer)
            if n is not None:
                return n
            if not self._poll.poll(int(self._timeout * 1000)):
                raise OSError(110)

    def close(self):
        self._file.close()
        self._sock.close()


class Body:
    # The body of one response: of known length, chunked, or up to the end.
    def __init__(self, transport, link, headers):
        self._transport = transport
        self._link = link
        for name, known in (("transfer-encoding", "chunked"), ("content-encoding", "identity")):
            value = headers.get(name, known)
            if value.lower() != known:
                raise TransportError("%s %s is not %s" % (name, value, known))
        self._chunked = "transfer-encoding" in headers
        self.size = None if self._chunked else number(headers.get("content-length"))
        self._left = 0 if self._chunked else self.size
        self._keep = headers.get("connection", "").lower() != "close" and headers["1.1"]
        etag = headers.get("etag", "")  # for the next request and the state: only what is plain
        self.etag = etag if etag and 32 <= min(etag.encode()) and max(etag.encode()) < 127 else None
        self.start = 0
        if self.size == 0:
            self._end()

    def _end(self):
        # Nothing of this response is left on the line: the next request may use it.
        if self._keep:
            self._transport.keep(self._link)
        else:
            self._link.close()
        self._link = None

    def readinto(self, buffer):
        if not self._link:
            return 0
        self._link.since = ticks_ms()
        if self._chunked and not self._left:
            self._next_chunk()
            if not self._link:
                return 0
        if self._left is not None and len(buffer) > self._left:
            buffer = memoryview(buffer)[: self._left]
        n = self._link.lines.readinto(buffer)
        if self._left is None:
            return n
        if not n:
            raise TransportError("connection closed")
        self._left -= n
        if not self._left:
            if self._chunked:
                self._line(b"")
            else:
                self._end()
        return n

    def _line(self, want=None):
        line = self._link.lines.readline(_LINE)
        if line[-1:] != b"\n" or want is not None and line.strip() != want:
            raise TransportError("chunk is malformed: %r" % line[:32])
        return line

    def _next_chunk(self):
        size = self._line().split(b";")[0].strip()
        if not 0 < len(size) <= 8:
            raise TransportError("chunk size %r is not 1 to 8 hex digits" % size[:32])
        # Stricter than int(), which takes a sign.
        self._left = int.from_bytes(unhexlify(b"0" * (8 - len(size)) + size), "big")
        if not self._left:
            for _ in range(_HEADERS):
                if not self._line().strip():
                    return self._end()
            raise TransportError("over %d trailers" % _HEADERS)

    def drop(self):
        # Nobody needs this answer. Of what is left some may be here, the rest is one read more.
        try:
            for _ in range(2):
                if self._left and self._left <= _DRAIN:
                    self.readinto(bytearray(_DRAIN))
        except (OSError, TransportError, MemoryError):
            pass  # its status counts all the same
        self.close()

    def close(self):
        if self._link:
            self._link.close()
            self._link = None


def number(text):
    if text is not None and (not text.encode().isdigit() or len(text) > 10):
        raise TransportError("length %r is not a number" % text[:32])
    return None if text is None else int(text)


def read_head(lines):
    # The status and the headers of the next response that is not 1xx.
    status = 100
    while 100 <= status < 200:
        line = lines.readline(_LINE)
        if not line:
            raise OSError(104)  # closed without an answer
        if line[:7] != b"HTTP/1." or line[8:9] != b" " or not line[9:12].isdigit():
            raise TransportError("%r is not HTTP" % line[:32])
        status = int(line[9:12])
        headers = {"1.1": line[7:8] == b"1"}
        for _ in range(_HEADERS):
            line = lines.readline(_LINE)
            if line[-1:] != b"\n":
                raise TransportError("header is cut short or over %d bytes" % _LINE)
            if not line.strip():
                break
            name, _, value = line.partition(b":")
            try:
                name = str(name, "utf8").lower()
            except ValueError:
                continue
            if name in _WANTED:
                headers[name] = str(value, "utf8").strip()
        else:
            raise TransportError("over %d headers" % _HEADERS)
    return status, headers
