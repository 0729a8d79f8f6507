"""The files of a TUF client: what the server has comes into one folder, checked on its way."""

from ... import own
from ...errors import HashError, NotFoundError, VerifyError
from .metadata import Metadata

os = own("os")
hexlify = own("binascii").hexlify
sha256 = own("hashlib").sha256
BytesIO = own("io").BytesIO

_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~"


def quote(name):
    """`name` (str) as one part of a path."""
    return "".join([c if c in _PLAIN else "".join(["%%%02X" % b for b in c.encode()]) for c in name])


def _hasher(algorithm):
    if algorithm == "sha256":
        return sha256()
    if algorithm == "sha512":
        from ..sha512 import Sha512

        return Sha512()
    raise VerifyError("hash algorithm %r" % algorithm)


class Hashes:
    """Checks what comes by a description (dict of `length` and `hashes`, both may be missing)."""

    def __init__(self, name, entry):
        self._name = name
        self._length = entry.get("length")
        self._size = 0
        hashes = entry.get("hashes") or {}
        self._hashes = [(want, _hasher(algorithm)) for algorithm, want in hashes.items()]

    def update(self, data):
        self._size += len(data)
        for _, hasher in self._hashes:
            hasher.update(data)

    def check(self):
        """Raise HashError unless all that `update` got is what was described."""
        if self._length is not None and self._size != self._length:
            raise HashError("%s: %d bytes, not %d" % (self._name, self._size, self._length))
        for want, hasher in self._hashes:
            got = hexlify(hasher.digest()).decode()
            if got != want.lower():
                raise HashError("%s: hash is %s, not %s" % (self._name, got, want))


class Files:
    """A folder of trusted metadata, and the server that new metadata comes from.

    Args:
        transport (Transport): the server. folder (str): on the board.
        prefix (str): what the names of metadata begin with on the server.
    """

    limits = {"root": 131072, "timestamp": 16384, "snapshot": 131072, "targets": 131072}  # bytes

    def __init__(self, transport, folder, prefix=""):
        self._transport = transport
        self._folder = folder + "/"
        self._prefix = prefix
        self._buffer = memoryview(bytearray(512))

    def start(self, root):
        """Trust the root in the file `root` (str), when there is none yet."""
        try:
            os.stat(self.path("root"))
            return
        except OSError:
            pass
        parts = self._folder[:-1].split("/")
        for i in range(1, len(parts) + 1):
            try:
                os.mkdir("/".join(parts[:i]))
            except OSError:
                pass  # it is there, or the next line says why not
        with open(root, "rb") as f:
            self._copy(f)
        self.keep("root")

    def path(self, name):
        """Where the metadata of the role `name` is kept (str)."""
        return self._folder + quote(name) + ".json"

    def fetch(self, name, path, limit, entry=None, transport=None):
        """Bring the object `name` of the server, checked by `entry` (dict); gives False for a 404.

        Args:
            path (str): of the file that it becomes, None to give it as a file in RAM instead.
            limit (int): in bytes. transport (Transport): default: that of the metadata.
        """
        checks = Hashes(name, entry or {})
        try:
            stream = (transport or self._transport).open(name, limit=limit)
        except NotFoundError:
            return False
        try:
            f = open(path, "wb") if path else BytesIO()
            try:
                while True:
                    n = stream.readinto(self._buffer)
                    if not n:
                        break
                    checks.update(self._buffer[:n])
                    f.write(self._buffer[:n])
            finally:
                if path:
                    f.close()
        finally:
            stream.close()
        checks.check()
        return f

    def fits(self, path, entry):
        """Whether the file at `path` is what `entry` (dict) describes."""
        checks = Hashes(path, entry)
        try:
            with open(path, "rb") as f:
                while True:
                    n = f.readinto(self._buffer)
                    if not n:
                        break
                    checks.update(self._buffer[:n])
            checks.check()
            return True
        except (OSError, HashError):
            return False

    def read(self, kind, name, path=None):
        """The Metadata that is kept."""
        with open(path or self.path(name), "rb") as f:
            return Metadata(f, kind, name)

    def get(self, kind, name, version="", entry=None):
        """A new Metadata of the server's, not trusted yet; None when there is none."""
        entry = entry or {}
        # A slash in the name of a role is none of the path.
        url = "%s%s%s.json" % (self._prefix, version, name.replace("/", "%2F"))
        limit = entry.get("length") or self.limits[kind]
        # The timestamp is small, and mostly is what it was: that is worth no flash.
        path = None if kind == "timestamp" else self._folder + "new"
        self._fresh = self.fetch(url, path, limit, entry)
        if self._fresh:
            if path:
                return self.read(kind, name, path)
            self._fresh.seek(0)
            return Metadata(self._fresh, kind, name)

    def forget_new(self):
        """Give back the flash of what came and is not trusted."""
        try:
            os.remove(self._folder + "new")
        except OSError:
            pass  # it is trusted, or nothing came

    def keep(self, name):
        """What came last is trusted: in one step, a power cut leaves the old file or the new one."""
        if name == "timestamp":
            self._fresh.seek(0)
            self._copy(self._fresh)
        os.rename(self._folder + "new", self.path(name))

    def _copy(self, f):
        with open(self._folder + "new", "wb") as g:
            while True:
                n = f.readinto(self._buffer)
                if not n:
                    return
                g.write(self._buffer[:n])

    def keep_root(self, version, rotates):
        """As `keep` for the root; with `rotates` note first what its number (int) takes with it."""
        if rotates:
            with open(self._folder + "rotated", "w") as f:
                f.write(str(version))
        self.keep("root")

    def forget_rotated(self, version):
        """Trust no timestamp and snapshot from before a rotation up to the root `version` (int).

        Not before the root is kept, or a power cut in between would open the way for old ones.
        """
        try:
            with open(self._folder + "rotated") as f:
                if int(f.read() or 0) > version:
                    return
        except (OSError, ValueError):
            return
        for name in ("timestamp.json", "snapshot.json", "rotated"):
            try:
                os.remove(self._folder + name)
            except OSError:
                pass
