"""One file of a release comes to stand beside its target.

Every function that takes long is a generator of (path, bytes done, bytes in all or
None), so that its caller can feed a watchdog between two chunks. `u` is the Updater.
"""

from .builtin import own
from .bootguard import NEW
from .errors import HashError, NoSpaceError, StorageError, TransportError

hexlify = own("binascii").hexlify
sha256 = own("hashlib").sha256


def check_free(u, need):
    """Raise NoSpaceError when fewer than `need` bytes are free."""
    free = u.storage.free()
    if need > free:
        raise NoSpaceError("the update needs %d bytes of flash, %d are free" % (need, free))


def blocks(u, size):
    return -(-size // u.storage.block) * u.storage.block


def _read(u, path, hasher):
    done = 0
    with u.storage.open(path, "rb") as f:
        for piece in pieces(u, f):
            hasher.update(piece)
            done += len(piece)
            yield path, done, None


def hash_of(u, path):
    """Read the file at `path` back; returns its SHA-256 (hex)."""
    hasher = sha256()
    yield from _read(u, path, hasher)
    return hexlify(hasher.digest()).decode()


def fetch(
    u, path, name, size=None, new_hasher=None, guard=None, start=0, unpack=None, limit=None
):  # fmt: skip
    """Stage what the server has as `name`, or `unpack` gives without one, beside `path`; returns (bytes, hex digest or None).

    Args:
        size: the length that it must have, in bytes; None when only the server knows it.
        new_hasher: gives an object that gets every byte, or None for no hash.
        guard: is called with the first bytes, and raises when they cannot be right.
        start: bytes of it that are staged already, to go on behind.
        unpack: gives the pieces of the file, of the open stream; then it comes packed, in at
            most `limit` bytes.
    """
    tries = 0
    got = _Staged(u, path, new_hasher, start)
    if start:
        yield from _read(u, path + NEW, got.hasher)
    try:
        while True:
            try:
                yield from _receive(got, name, size, guard and (guard, path), unpack, limit)
                break
            except TransportError as e:
                from .transports.why import again
                tries += 1
                # Without a size or a hash nothing says that the rest belongs to the start.
                if size is None or not again(u.transport, e, tries):
                    raise
                u.tell("retry", e)
            if unpack:
                got.close()
                got = _Staged(u, path, new_hasher)
    finally:
        got.close()
    if not got.hasher:
        return got.done, None
    digest = hexlify(got.hasher.digest()).decode()
    back = yield from hash_of(u, path + NEW)
    if back != digest:
        raise StorageError("%s reads back as %s, was written as %s" % (path + NEW, back, digest))
    return got.done, digest


class _Staged:
    # A file on its way to flash. What is not closed when the power fails is lost.
    def __init__(self, u, path, new_hasher, done=0):
        self.u = u
        self.path = path
        self.etag = None
        self.hasher = new_hasher()
        self.done = done
        self._out = None
        self._open()

    def _open(self):
        # Where it is closed, and opened again: at the end of a block of littlefs, since to go on
        # in one copies it. Block n begins with a pointer of 4 bytes for each time that 2 divides
        # n, and one more.
        self._stop = self.done + self.u.safe
        body = self.u.storage.block - 8
        n = (self._stop - 88) // body
        edge = n * body + 8 + 4 * bin(n - 1).encode().count(b"1")  # a text would be a name more
        if n > 0 and edge > self.done:
            self._stop = edge
        # Last: nothing fails from here on, and leaves the file open to whoever collects it.
        self._out = self.u.storage.open(self.path + NEW, "ab" if self.done else "wb")

    def close(self):
        self._out.close()

    def write(self, chunk):
        left = self._stop - self.done
        if len(chunk) > left:
            self.write(chunk[:left])
            return self.write(chunk[left:])
        if self.hasher:
            self.hasher.update(chunk)
        self._out.write(chunk)
        self.done += len(chunk)
        if len(chunk) == left:
            self.close()
            self._open()


def _receive(got, name, size, guard, unpack, limit):
    # One request, written to `got` as it comes.
    u = got.u
    start = 0 if unpack else got.done
    if start == size:
        return
    # Should it have changed, the next try goes on without the tag: the hash says what fits.
    etag, got.etag = got.etag if start else None, None
    stream = name and u.transport.open(name, start, etag, limit=limit or size)
    try:
        if stream:
            got.etag = stream.etag
            if size is None and stream.size:
                check_free(u, blocks(u, stream.size))
        for chunk in unpack(stream) if unpack else pieces(u, stream):
            if guard:
                guard[0](guard[1], chunk)
                guard = None
            got.write(chunk)
            yield got.path, got.done, size
    finally:
        if stream:
            stream.close()
    if size is not None and got.done != size:
        raise HashError("%s is %d bytes, not %d" % (name, got.done, size))


def pieces(u, stream):
    """Give what `stream` holds, in memoryviews of the buffer."""
    while True:
        n = stream.readinto(u.buffer)
        if not n:
            return
        yield u.buffer[:n]
