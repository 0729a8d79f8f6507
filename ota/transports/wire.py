"""What HTTP/1.1 looks like on the wire: a connection, the head and the body of a response."""

from ..builtin import own
from ..errors import TransportError
from . import Lines, ticks_diff, ticks_ms

select = own("select")
unhexlify = own("binascii").unhexlify

_HEAD = 65536  # bytes of headers that a server may send
_LINE = 1024  # bytes in one that is kept, or in a status line
_MOVED = 4112  # bytes in that of a redirect, whose URL may have 4 KB
_DRAIN = 512  # bytes of an answer without use that cost less than a new connection
_WANTED = (  # nothing else is kept: what a server may send is more than a board can hold
    b"cache-control", b"connection", b"content-encoding", b"content-length", b"content-range", b"date",
    b"etag", b"location", b"retry-after", b"transfer-encoding",
)  # fmt: skip
# Other content codings, as aws-chunked, say nothing of the bytes that a server stores.
_PACKED = ("gzip", "x-gzip", "compress", "x-compress", "deflate", "br", "zstd")
PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/!$&'()*+,;=:@"


def quote(name, plain=PLAIN):
    if not name.strip(plain):  # what it leaves is not plain
        return name
    # Of bytes: MicroPython keeps each character that a loop over a text meets as a name, for ever.
    return "".join(chr(b) if b < 128 and chr(b) in plain else "%%%02X" % b for b in name.encode())


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
                raise OSError("timed out")

    def close(self):
        self._file.close()
        self._sock.close()


class Body:
    # The body of one response: of known length, chunked, or up to the end.
    def __init__(self, transport, link, headers):
        self._transport = transport
        self._link = link
        coding = headers.get("transfer-encoding", "").lower()
        if coding not in ("", "identity", "chunked"):
            raise TransportError("transfer-encoding %s is not chunked" % coding[:32])
        for packed in headers.get("content-encoding", "").lower().split(","):
            if packed.strip() in _PACKED:
                raise TransportError("content-encoding is %s: switch it off" % packed.strip())
        self._chunked = coding == "chunked"
        self.size = None if self._chunked else number(headers.get("content-length"))
        self._left = 0 if self._chunked else self.size
        self._keep = "close" not in headers.get("connection", "").lower() and headers["1.1"]
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
        digits = self._line().split(b";")[0].strip()
        size = digits.lstrip(b"0")
        if not digits or len(size) > 8:
            raise TransportError("chunk size %r is not 1 to 8 hex digits" % digits[:32])
        # Stricter than int(), which takes a sign.
        self._left = int.from_bytes(unhexlify(b"0" * (8 - len(size)) + size), "big")
        if not self._left:
            fields(self._link.lines, {})
            self._end()

    def close(self):
        if self._link:
            self._link.close()
            self._link = None


def drop(transport, link, headers):
    """Nobody needs the body of this answer: read what is left of it when that is little."""
    try:
        body = Body(transport, link, headers)
        # Some of it may be here, the rest is one read more.
        for _ in range(2):
            if body._left and body._left <= _DRAIN:
                body.readinto(bytearray(_DRAIN))
        body.close()
    except (OSError, TransportError, MemoryError):
        link.close()  # its status counts all the same


def number(text):
    if text is not None and (not text.encode().isdigit() or len(text) > 10):
        raise TransportError("length %r is not a number" % text[:32])
    return None if text is None else int(text)


def read_head(lines):
    # The status and the headers of the next response that is not 1xx.
    status, room = 100, _HEAD
    while 100 <= status < 200:
        line = lines.readline(_LINE)
        if not line:
            raise OSError("closed without an answer")
        if line[:7] != b"HTTP/1." or line[8:9] != b" " or not line[9:12].isdigit():
            raise TransportError("%r is not HTTP" % line[:32])
        status = int(line[9:12])
        headers = {"1.1": line[7:8] == b"1"}
        room = fields(lines, headers, room - len(line))
    return status, headers


def fields(lines, headers, room=_HEAD):
    # Reads header lines up to the empty one, those wanted into `headers`; gives what is left of `room`.
    rest = False  # of a long line that nobody wants
    while True:
        line = lines.readline(_LINE)
        name = b"" if rest else line.split(b":", 1)[0].lower()
        if name == b"location" and line[-1:] != b"\n":
            line += lines.readline(_MOVED - len(line))
        room -= len(line)
        whole = line[-1:] == b"\n"
        if not line or room < 0 or name in _WANTED and not whole:
            raise TransportError("the headers are cut short, or too long: %r" % line[:32])
        if name in _WANTED:
            try:
                headers[str(name, "utf8")] = str(line[len(name) + 1 :], "utf8").strip()
            except ValueError:
                pass  # not UTF-8: nothing to go by
        elif whole and not rest and not line.strip():
            return room
        rest = not whole
