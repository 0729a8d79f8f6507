"""A release manifest, read and checked line by line, so that a board never holds it whole.

JSON Lines: a header, a line a file sorted by path, at most eight of signatures. The limits are the format's.
"""

from .builtin import own
from .bootguard import crc32
from .errors import ManifestError

json = own("json")
sha256 = own("hashlib").sha256

LINE = 1024  # bytes in a line, with its newline
FILES = 10000  # files in a release
PATH = 128  # bytes in a path
SIGNATURES = 8  # lines of signatures
NUMBER = 0x7FFFFFFF  # seq, sizes and times (seconds since 1970)
_SIG = b'{"sig"'  # what a line of signatures, and no other, begins with
SUFFIXES = (".ota-new", ".ota-old")  # what bootguard puts beside a file


def _bad(what, value, limit):
    raise ManifestError("manifest: %s %r: %s" % (what, value, limit))


def check_path(path):
    """Return `path` (str) when a release may name it.

    Raises:
        ManifestError: absolute, over 128 bytes of UTF-8, inside `.ota/`, or with a control character, backslash or
            colon, or a part that is empty or ends in a dot, a space or a staging suffix.
    """
    if not isinstance(path, str) or not path:
        _bad("path", path, "must be text, not empty")
    if len(path.encode()) > PATH:
        _bad("path", path, "is over %d bytes" % PATH)
    for c in path.encode():  # of bytes, for the characters of a text stay in RAM
        if c in b"\\:\x7f" or c < 32:
            _bad("path", path, "has %r" % chr(c))
    for part in path.split("/"):
        if not part or part[-1] in ". ":  # FAT leaves them out
            _bad("path", path, "has the part %r" % part)
        # FAT folds case: `.OTA` is `.ota` there.
        part = part.lower()
        if part[-8:] in SUFFIXES or part.rstrip("0123456789")[-10:] == ".ota-aside":
            _bad("path", path, "ends in a staging suffix")
    if path[:5].lower() in (".ota", ".ota/"):
        _bad("path", path, "is inside .ota/")
    return path


def _number(entry, key, least=0, most=NUMBER):
    n = entry.get(key)
    if type(n) is not int or not least <= n <= most:
        _bad(key, n, "must be a whole number from %d to %d" % (least, most))
    return n


def _hex(text, digits):
    if not isinstance(text, str) or len(text) != digits or text.strip("0123456789abcdef"):  # leaves what is none
        _bad("hash", text, "must be %d lower-case hex digits" % digits)


def check_header(header):
    """Return `header` (dict), the first line of a manifest, when it keeps the format.

    Raises:
        ManifestError: another format number, a key missing, of a wrong type or out of bounds.
    """
    if header.get("ota") != 1:
        _bad("format", header.get("ota"), "this reader knows 1")
    for key in ("project", "version"):
        text = header.get(key)
        if not isinstance(text, str) or not text or len(text.encode()) > PATH:
            _bad(key, text, "must be text of 1 to %d bytes" % PATH)
    _number(header, "seq", 1)
    _number(header, "files", 0, FILES)
    _number(header, "size")
    for key in ("expires", "time"):
        if key in header:
            _number(header, key)
    _hex(header.get("crc", "00000000"), 8)
    for key in ("requires", "rollout"):
        if not isinstance(header.get(key, {}), dict):
            _bad(key, header[key], "must be an object")
    platforms = header.get("requires", {}).get("platform", [])
    for key, names in (("platform", platforms), ("keep", header.get("keep", []))):
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            _bad(key, names, "must be a list of strings")
    percent = header.get("rollout", {}).get("percent", 100)
    if type(percent) not in (int, float) or not 0 <= percent <= 100:
        _bad("percent", percent, "must be a number from 0 to 100")
    return header


def check_entry(entry):
    """Return `entry` (dict), one file's line of a manifest, when it keeps the format.

    Raises:
        ManifestError: a bad path, size or hash.
    """
    check_path(entry.get("p"))
    _number(entry, "s")
    _hex(entry.get("h"), 64)
    if "m" in entry:
        check_path(entry["m"])
    if "z" in entry:
        _number(entry, "z")
    deltas = entry.get("d", {})
    if not isinstance(deltas, dict):
        _bad("deltas", deltas, "must be an object")
    for base in deltas:
        _hex(base, 16)
        _number(deltas, base)
    return entry


class Reader:
    """Reads a manifest from `readline(n)`, which gives at most n bytes of the next line.

    Iterate over it for the file entries (dicts); after the end, `digest` (bytes) is
    the SHA-256 of all that a signature covers and `signatures` the list of dicts of the
    last lines, empty for an unsigned manifest. `raw` is the line just read (bytes), `update` gets
    each that a signature covers. Another `readline` may give what follows the header. `url` is for errors.

    Raises:
        ManifestError: by the constructor for the header, while iterating for the rest.
    """

    def __init__(self, readline, update=None, url="?"):
        self.readline, self._update, self._hash = readline, update, sha256()
        self._count, self.digest, self.signatures = 0, None, []
        self.header = check_header(self._line(url))
        self._cover()

    def _line(self, url=None):
        self.raw = raw = self.readline(LINE + 1)
        self._count += 1
        if url and raw and raw.lstrip()[:1] in b"<":
            _bad("line", 1, "is not a JSON object but of a web page, " + url)
        if len(raw) > LINE:
            _bad("line", self._count, "is over %d bytes" % LINE)
        if not raw.endswith(b"\n"):
            _bad("line", self._count, "is cut short")
        if b"\\ud" in raw or b"\\uD" in raw:  # not UTF-8, and MicroPython does not join two halves
            _bad("line", self._count, "has half a character")
        try:
            parsed = json.loads(raw)
        except (ValueError, RuntimeError):  # RuntimeError: nested too deep
            parsed = None
        if not isinstance(parsed, dict):
            _bad("line", self._count, "is not a JSON object")
        return parsed

    def __iter__(self):
        left, crc, last = self.header["size"], 0, ""
        above = []  # the paths that the next one may be below
        for _ in range(self.header["files"]):
            entry = check_entry(self._line())
            if self.raw.startswith(_SIG):
                _bad("line", self._count, "is of signatures, and files follow")
            if entry["p"] <= last:
                _bad("path", entry["p"], "does not sort after %r" % last)
            last = entry["p"]
            while above and (not last.startswith(above[-1]) or last[len(above[-1])] > "/"):
                above.pop()
            if above and last[len(above[-1])] == "/":
                _bad("path", last, "is below the file %r" % above[-1])
            above.append(last)
            left -= entry["s"]
            crc = crc32(self.raw, crc)
            self._cover()
            yield entry
        if left:
            _bad("size", self.header["size"], "differs from its files by %d" % left)
        crc = "%08x" % crc
        if self.header.get("crc", crc) != crc:
            _bad("crc", self.header["crc"], "that of its file lines is %s" % crc)
        self.digest = self._end()

    def _cover(self):
        self._hash.update(self.raw)
        if self._update:
            self._update(self.raw)

    def _end(self):
        # Each readline may be the end of the file or one more line of signatures.
        readline = self.readline
        while True:
            first = readline(1)
            if not first:
                return self._hash.digest()
            if self._count - self.header["files"] > SIGNATURES:
                _bad("line", self._count + 1, "stands after %d lines of signatures" % SIGNATURES)
            self.readline = lambda n: first + readline(n - 1)
            signatures = self._line().get("sig")
            is_list = isinstance(signatures, list) and self.raw.startswith(_SIG)
            if not is_list or not all(isinstance(s, dict) for s in signatures):
                _bad("line", self._count, "is neither a file that the header counts nor signatures")
            self.signatures += signatures
