"""The files of a TUF client: what the server has comes into one folder, checked on its way."""

from ...builtin import own
from ...errors import HashError, NotFoundError, TransportError, VerifyError
from .metadata import Metadata

os = own("os")
hexlify = own("binascii").hexlify
sha256 = own("hashlib").sha256
BytesIO = own("io").BytesIO


def quote(name):
    """`name` (str) as one part of a path."""
    quoted = ""
    for b in name.encode():
        c = chr(b)
        quoted += c if b < 128 and (c.isalpha() or c.isdigit() or c in "_.-~") else "%%%02X" % b
    return quoted


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass  # it is not there


def _hasher(algorithm):
    if algorithm == "sha256":
        return sha256()
    if algorithm == "sha512":
        from ..sha512 import Sha512

        return Sha512()
    raise VerifyError("hash algorithm %r" % algorithm)


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
            return os.stat(self.path("root"))
        except OSError:
            pass
        at = 0
        while at >= 0:
            at = self._folder.find("/", at + 1)
            try:
                os.mkdir(self._folder[:at])
            except OSError:
                pass  # it is there, or the next line says why not
        with open(root, "rb") as f:
            self._copy(f)
        self.keep("root")

    def path(self, name):
        """Where the metadata of the role `name` is kept (str)."""
        return self._folder + quote(name) + ".json"

    def fetch(self, name, path, limit, entry=None, transport=None, none=404):
        """Bring the object `name` of the server, checked by `entry` (dict); gives False for a 404.

        Args:
            path (str): of the file that it becomes, None to give it as a file in RAM instead.
            limit (int): in bytes. transport (Transport): default: that of the metadata.
            none (int): the HTTP status that says as much as a 404.
        """
        tries = 0
        source = transport or self._transport
        while True:
            try:
                stream = source.open(name, limit=limit)
            except TransportError as e:
                if isinstance(e, NotFoundError) or e.status == none and not e.retry_s:
                    return False
                raise
            try:
                f = open(path, "wb") if path else BytesIO()
                try:
                    self._pour(stream, f.write, name, entry or {})
                finally:
                    if path:
                        f.close()
                return f
            except TransportError as e:
                from ...transports.why import again

                tries += 1
                if not again(source, e, tries):
                    raise
            finally:
                stream.close()

    def _pour(self, f, sink, name="", entry={}):
        # All of `f` goes to `sink`, and must be what `entry` describes: `length` and `hashes` may be missing.
        size = 0
        hashes = entry.get("hashes") or {}
        hashers = [(want, _hasher(algorithm)) for algorithm, want in hashes.items()]
        while True:
            n = f.readinto(self._buffer)
            if not n:
                break
            piece = self._buffer[:n]
            if not size and name[-5:] == ".json" and bytes(piece).lstrip()[:1] == b"<":
                raise VerifyError("%s is a web page" % getattr(f, "url", name))
            size += n
            for _, hasher in hashers:
                hasher.update(piece)
            sink(piece)
        if entry.get("length", size) != size:
            raise HashError("%s: %d bytes, not %d" % (name, size, entry["length"]))
        for want, hasher in hashers:
            got = hexlify(hasher.digest()).decode()
            if got != want.lower():
                raise HashError("%s: hash is %s, not %s" % (name, got, want))

    def fits(self, path, entry):
        """Whether the file at `path` is what `entry` (dict) describes."""
        try:
            with open(path, "rb") as f:
                self._pour(f, len, path, entry)
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
        # A bucket says 403 for what is not there, as the next root mostly is.
        self._fresh = self.fetch(url, path, limit, entry, None, 403 if kind == "root" else 404)
        if self._fresh:
            if path:
                return self.read(kind, name, path)
            self._fresh.seek(0)
            return Metadata(self._fresh, kind, name)

    def forget_new(self):
        """Give back the flash of what came and is not trusted."""
        _remove(self._folder + "new")

    def keep(self, name):
        """What came last is trusted: in one step, a power cut leaves the old file or the new one."""
        if name == "timestamp":
            self._fresh.seek(0)
            self._copy(self._fresh)
        os.rename(self._folder + "new", self.path(name))

    def _copy(self, f):
        with open(self._folder + "new", "wb") as g:
            self._pour(f, g.write)

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
            _remove(self._folder + name)
