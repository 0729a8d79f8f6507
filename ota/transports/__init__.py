"""Where releases come from. One transport a file; this one holds the base and its guards."""

import time

from ..errors import NotFoundError, NotModified, OtaError, TransportError


class Stream:
    """One object as it comes, watched over: `readinto(buffer)`, `size`, `etag`, `pos`, `close()`."""

    def __init__(self, inner, name, limit, transport):
        self._inner = inner
        self._name = name
        self._limit = limit
        self._transport = transport
        self._since = time.ticks_ms() if hasattr(time, "ticks_ms") else int(time.time() * 1000)
        self._came = 0
        self.size = inner.size
        self.etag = inner.etag
        self.pos = 0
        if limit is not None and self.size is not None and self.size > limit:
            self.close()
            self._fail("is %d bytes, at most %d are taken" % (self.size, limit))

    def _fail(self, what):
        raise TransportError("%s %s" % (self._name, what))

    def readinto(self, buffer):
        """Fill `buffer`; the number of bytes, 0 at the end.

        Raises:
            TransportError: cut short, over the limit, too slow, or the link failed.
        """
        try:
            n = self._inner.readinto(buffer) or 0
        except (OSError, ValueError) as e:
            self._fail("broke off after %d bytes: %r" % (self.pos, e))
        self.pos += n
        if self._limit is not None and self.pos > self._limit:
            self._fail("is over %d bytes" % self._limit)
        if not n and self.size is not None and self.pos < self.size:
            self._fail("ended after %d of %d bytes" % (self.pos, self.size))
        return n

    def close(self):
        self._inner.close()


class Transport:
    """Base of the transports. A plug-in overrides `_open`."""

    retries = 3  # further tries after an error that may pass
    backoff_ms = 500  # the first pause at most; it doubles

    def open(self, name, start=0, etag=None, limit=None):
        inner = self._open(name, start, etag)
        stream = Stream(inner, name, limit, self)
        stream.pos = start
        return stream

    def close(self):
        """Drop what is kept open between two objects."""
