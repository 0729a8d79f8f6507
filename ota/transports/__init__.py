"""Where releases come from. One transport a file; this one holds the base and its guards."""

import sys

from ..builtin import own
from ..errors import NotFoundError, NotModified, OtaError, TransportError

time = own("time")
getrandbits = own("random").getrandbits

# The second of each is for CPython.
ticks_ms = getattr(time, "ticks_ms", lambda: int(time.monotonic() * 1000))
ticks_diff = getattr(time, "ticks_diff", lambda a, b: a - b)


def unload(name):
    """Take the module `name` (str) of this package out of a board's RAM: what it was for is over."""
    if sys.implementation.name == "micropython" and sys.modules.pop("ota.transports." + name, None):
        delattr(sys.modules["ota.transports"], name)


class Stream:
    """One object as it comes, watched over by the base.

    `size` (bytes in all, None when unknown), `etag` and `url` (str or None), `pos` (bytes so far).
    """

    def __init__(self, transport, inner, name, start, etag, limit):
        self._inner = inner
        self._name = name
        self.url = getattr(inner, "url", name)
        self._limit = limit
        self._floor = transport.floor
        self._grace_ms = transport.grace_s * 1000
        self._took = 0  # ms of waiting; what the caller does in between is not the server's fault
        self.size = getattr(inner, "size", None)
        self.etag = getattr(inner, "etag", None)
        self.pos = getattr(inner, "start", start)
        self._first = self.pos
        try:
            if start and etag and etag != self.etag:
                self._fail("has changed: its etag is %s, not %s" % (self.etag, etag))
            if limit is not None and self.size is not None and self.size > limit:
                self._fail("is %d bytes, the limit is %d" % (self.size, limit), 200)
            # A server that cannot start in the middle sends what is there already once more.
            scrap = memoryview(bytearray(min(256, max(0, start - self.pos))))
            while self.pos < start:
                if not self.readinto(scrap[: start - self.pos]):
                    self._fail("ends at %d, before %d" % (self.pos, start), 200)
        except OtaError:
            self.close()
            raise

    def _fail(self, what, status=206):
        error = TransportError("%s %s" % (self._name, what))
        error.status = status
        raise error

    def readinto(self, buffer):
        """Fill `buffer` with what comes next; gives the number of bytes, 0 at the end.

        Raises:
            TransportError: cut short, over the limit, too slow, or the link failed.
        """
        begun = ticks_ms()
        try:
            n = self._inner.readinto(buffer)
            self.pos += n
        except Exception as e:  # a plug-in may raise anything
            from .why import say

            self._fail("broke off at %d: %s" % (self.pos, say(e)))
        self._took += ticks_diff(ticks_ms(), begun)
        if self._limit is not None and self.pos > self._limit:
            self._fail("is longer than the limit of %d bytes" % self._limit, 200)
        if self.size is not None and (self.pos > self.size or not n and self.pos < self.size):
            self._fail("ended at %d of %d bytes" % (self.pos, self.size))
        if n and self._took > self._grace_ms:
            rate = (self.pos - self._first) * 1000 // self._took
            if rate < self._floor:
                self._fail("comes at %d bytes a second, the limit is %d" % (rate, self._floor), 0)
        return n

    def close(self):
        try:
            self._inner.close()
        except OSError:
            pass  # of what was read nothing is lost


class Transport:
    """Base of the transports.

    A plug-in overrides `_open(name, start=0, etag=None)`. It gives an object with
    `readinto(buffer)` and `close()`, and if it knows them `size` (bytes in all), `etag`
    (str) and `start` (where it begins, when not where it was asked to). It raises
    `NotFoundError`, `NotModified`, `TransportError`, or whatever its libraries do.
    """

    retries = 3  # further tries after an error that may pass
    backoff_ms = 500  # the longest first pause; it doubles with each try
    patience_s = 30  # what a server may ask to wait within one open(); more is an error at once
    cache_control = ""  # of the last answer, for Watch
    floor = 50  # bytes a second, on average
    grace_s = 20  # seconds of waiting before the floor counts

    def open(self, name, start=0, etag=None, limit=None):
        """Open an object of the server.

        Args:
            name (str): relative to the root, with `/` between its parts.
            start (int): the byte to begin with.
            etag (str): with start 0 what the caller has; else what it has the first bytes of.
            limit (int): bytes that the object may have at most.
        Returns:
            Stream: the object from `start` on.
        Raises:
            NotModified: it still has the etag. NotFoundError: there is none.
            TransportError: it cannot be had, after the last of the retries; or the first
                bytes that the caller has are of another. `retry_s` (seconds): how long the
                server asks to be left alone.
        """
        if not name or name.startswith("/") or ".." in name.split("/") or min((name + (etag or "")).encode()) < 32:
            raise TransportError("name %r is not relative and plain, or its etag %r" % (name, etag))
        pause = self.backoff_ms
        patience = self.patience_s
        for left in range(self.retries, -1, -1):
            try:
                inner = self._open(name, start, etag)
                break
            except (NotFoundError, NotModified):
                raise
            except Exception as e:  # a plug-in may raise anything
                from .why import final, say

                passing = isinstance(e, (TransportError, OSError, ValueError))
                asked = getattr(e, "retry_s", 0)
                if not left or not passing or asked > patience or not asked and final(e):
                    if isinstance(e, OtaError):
                        raise
                    raise TransportError("%s: %s" % (name, say(e)))
            # Full jitter: boards that lost their server together do not come back together.
            patience -= asked
            time.sleep(asked + pause * getrandbits(10) / 1024000)
            pause = min(2 * pause, 30000)
        return Stream(self, inner, name, start, etag, limit)

    def _open(self, name, start=0, etag=None):
        raise TransportError("%s has no _open" % type(self).__name__)

    def other(self):
        """What came last was wrong, as only its reader can tell; whether another source can be asked.

        Returns:
            bool: True when the next `open()` asks another one that was not asked yet.
        """
        return False

    def close(self):
        """Drop what is kept between two objects, such as a connection."""


class Lines:
    """Gives `readline(n)`, and `readinto` for the rest, over an object that has only `readinto`."""

    def __init__(self, stream, size=512):
        self._stream = stream
        self._buffer = bytearray(size)
        self._at = self._end = 0

    def readline(self, most):
        """The next line (bytes), at most `most` bytes of it, empty at the end."""
        line = b""
        while len(line) < most:
            if self._at == self._end:
                self._at = 0
                self._end = self._stream.readinto(self._buffer)
                if not self._end:
                    break
            end = min(self._end, self._at + most - len(line))
            newline = self._buffer.find(b"\n", self._at, end)
            if newline >= 0:
                end = newline + 1
            line += bytes(memoryview(self._buffer)[self._at : end])
            self._at = end
            if newline >= 0:
                break
        return line

    def readinto(self, buffer):
        """Fill `buffer`, with what a line left over first; gives the number of bytes."""
        n = min(self._end - self._at, len(buffer))
        if not n:
            return self._stream.readinto(buffer)
        buffer[:n] = memoryview(self._buffer)[self._at : self._at + n]
        self._at += n
        return n
