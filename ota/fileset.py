"""The legacy layout: a file `version` and a list of names that the board itself holds."""

from .builtin import own
from .bootguard import NEW, base, lines, merge, save, spare
from .errors import SignatureError, TransportError, VerifyError
from .fetch import check_free, fetch, hash_of
from .manifest import PATH, check_path
from .staging import adopt, drop

json = own("json")
sha256 = own("hashlib").sha256

_MARKUP = ("html", "htm", "xhtml", "xml", "svg", "tpl", "tmpl", "j2")


def _no_page(path, chunk):
    # A captive portal answers every request with its login page and status 200.
    if bytes(chunk).lstrip()[:1] == b"<" and path.split(".")[-1].lower() not in _MARKUP:
        raise VerifyError("%s begins with '<': a web page, not the file" % path)


def _write_lines(u, slot, entries):
    u.storage.mkdir(".ota")
    with u.storage.open(".ota/" + slot, "wb") as out:
        for entry in entries:
            out.write(json.dumps(entry).encode() + b"\n")


def _plain(raw):
    # Some editors of PCs put a byte order mark in front.
    return (raw[3:] if raw[:3] == b"\xef\xbb\xbf" else raw).strip()


def installed(root):
    """The version on the board (str), empty when none can be read."""
    try:
        with open(base(root) + "version", "rb") as f:
            return _plain(f.readline(PATH + 5)).decode()
    except (OSError, ValueError):  # ValueError: it is not UTF-8
        return ""


class FileSet:
    """Finds and stages the listed files for the Updater `u`, as one release with `version`."""

    def __init__(self, u, files, layout):
        if u.verifier.signs:
            raise SignatureError("files=%r: the legacy layout has nothing that is signed" % files)
        self._u = u
        self.files = files
        self._join = "_" if layout == "prefix" else "/"

    def find(self, state, release):
        """Fill `release` and return True when the server's version differs from the board's."""
        u = self._u
        version = self._remote()
        release.take({"version": version, "seq": version}, "")
        if version == installed(u.root):
            u.tell("current", version)
            return False
        if version == state["refused"]:
            u.tell("refused", version)
            return False
        return True

    def _remote(self):
        stream = self._u.transport.open("version", limit=1024)
        text = b""
        try:
            while True:
                n = stream.readinto(self._u.buffer)
                if not n:
                    break
                text += bytes(self._u.buffer[:n])
        finally:
            stream.close()
        version = _plain(text)
        if not version or len(version) > PATH:
            raise VerifyError("version is %d bytes, not 1 to %d" % (len(version), PATH))
        for c in version:
            # It becomes part of a URL, and a page is not a version.
            if c <= 32 or c >= 127 or c in b"<>\"\\":
                raise VerifyError("invalid version %r: it has %r; write it in UTF-8, not UTF-16" % (version[:32], chr(c)))
        return version.decode()

    def stage(self, release, state):
        """Put every file on flash; a generator of progress.

        Raises:
            TransportError: a file was not there; the others have been asked for all the same.
        """
        u = self._u
        if state["phase"] == "staging":
            drop(u, state)  # no hash says whether it still fits
        state["next"] = ""
        slot = spare(state)
        paths = sorted(set(self.files) | {"version"})
        first = {"ota": 1, "project": u.project or "", "version": release.version, "seq": 0}
        entries = [{"p": check_path(p), "c": 1} for p in paths]
        _write_lines(u, slot, [first] + entries)
        yield from adopt(u, state, slot)
        state.update({"next": slot, "seq": release.version, "etag": ""})
        save(u.root, state, "staging")
        got = yield from self._fetch_all(release.version)
        for entry in entries:
            entry["s"], entry["h"] = got[entry["p"]]
        for path, x, y in merge(lines(u.root, state["live"]), iter(entries)):
            if x and y and x.get("h") == y["h"]:
                u.storage.remove(path + NEW)
        self._check(entries)
        slot = spare(state)
        _write_lines(u, slot, [first] + entries)
        state["next"] = slot

    def _check(self, entries):
        # The last moment to refuse: from here on the install has to come to its end.
        u = self._u
        need = 4 * u.storage.block  # the record, and what littlefs writes for the copies
        for entry in entries:
            path = entry["p"]
            old = u.storage.size(path)
            source = path.endswith("py") and not path.endswith("__init__.py")
            if not entry["s"] and (old or source):
                raise VerifyError("%s is empty" % path)
            if old and u.storage.size(path + NEW) is not None:  # is copied
                need += -(-old // u.storage.block) * u.storage.block
        check_free(u, need)

    def _fetch_all(self, version):
        u = self._u
        missing = None
        got = {}
        for path in self.files:
            if path in got or path == "version":
                continue
            u.tell("fetch", path)
            name = version + self._join + path
            try:
                got[path] = yield from fetch(u, path, name, None, sha256, _no_page)
            except TransportError as e:
                if e.status < 400:
                    raise
                u.tell("missing", path)
                missing = e
        if missing:
            raise missing
        with u.storage.open("version" + NEW, "wb") as out:
            out.write(version.encode())
        got["version"] = len(version), (yield from hash_of(u, "version" + NEW))
        return got
