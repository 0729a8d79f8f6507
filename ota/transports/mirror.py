"""Several servers with the same tree: one of them that is down, or lies, is not the end."""

from ..errors import NotFoundError, NotModified, OtaError, TransportError
from . import Transport


class MirrorTransport(Transport):
    """Releases from the first of several mirrors that has them.

    A mirror that failed gives way to the next one, for this object and for all after it.
    Each is asked once before any is asked again, so that its own `retries` become 0; its
    `floor` and `grace_s` count.

    Args:
        mirrors (Transport): each with the same objects, in the order to ask them.
    Raises:
        TransportError: there are none, or one of them is no transport.
    """

    floor = 0  # the streams of the mirrors are watched already

    def __init__(self, *mirrors):
        if not mirrors:
            raise TransportError("MirrorTransport has no mirrors")
        for mirror in mirrors:
            if not hasattr(mirror, "retries"):
                raise TransportError("a mirror is a %s: use HttpTransport(url)" % type(mirror).__name__)
            mirror.retries = 0
        self.mirrors = mirrors
        self._at = 0  # whom to ask
        self._last = 0  # who was asked last
        self._others = 0
        self._limit = None

    def open(self, name, start=0, etag=None, limit=None):
        """As `Transport.open`; what is over the limit on one mirror is looked for on the next."""
        self._limit = limit
        return super().open(name, start, etag, limit)

    def _open(self, name, start=0, etag=None):
        # A tag says something to the mirror that gave it.
        of, tag = ((etag or "") + " ").split(" ", 1)
        said = []
        kind = TransportError
        waits = []  # seconds that each asks to be left alone for
        statuses = []
        for _ in self.mirrors:
            self._last = self._at
            mirror = self.mirrors[self._at]
            try:
                known = tag[:-1] if of == str(self._at) else None
                stream = mirror.open(name, start, known, self._limit)
                self.cache_control = mirror.cache_control
                return _Watched(self, self._at, stream)
            except NotModified:
                self.cache_control = mirror.cache_control
                raise
            except OtaError as e:
                said.append(str(e))
                waits.append(getattr(e, "retry_s", 0))
                statuses.append(getattr(e, "status", 0))
                # That one says there is none counts for more than that another is down.
                if isinstance(e, NotFoundError):
                    kind = NotFoundError
                self.leave(self._at)
        error = kind("; ".join(said))
        error.retry_s = min(waits)
        error.status = min(statuses) and max(statuses)  # 0 when one of them did not answer
        raise error

    def leave(self, at):
        """The mirror of the number `at` failed: ask the one after it."""
        self._at = (at + 1) % len(self.mirrors)

    def other(self):
        """What came last was wrong; whether there is a mirror left to ask, each once until `close()`."""
        self.leave(self._last)
        self._others += 1
        if self._others < len(self.mirrors):
            return True
        self._others = 0
        return False

    def close(self):
        """Close what the mirrors keep; all of them may be asked again."""
        self._others = 0
        for mirror in self.mirrors:
            mirror.close()


class _Watched:
    # The stream of one mirror, which is left when it breaks off.

    def __init__(self, mirrors, at, stream):
        self._mirrors = mirrors
        self._at = at
        self._stream = stream
        self.size = stream.size
        self.url = stream.url
        self.etag = stream.etag and "%d %s" % (at, stream.etag)
        self.close = stream.close

    def readinto(self, buffer):
        try:
            return self._stream.readinto(buffer)
        except OtaError:
            self._mirrors.leave(self._at)
            raise
