"""A manifest that comes as its difference from the one that is live, put together while it is read.

A difference is the new header, the file lines that are new or other, `{"p":…}` alone for a path
that is gone, all sorted by path, then the signatures. Nothing here is trusted: what comes out
is read as any manifest, and its header has the CRC of the file lines.
"""

import json

from .errors import ManifestError
from .manifest import LINE


class Merge:
    """`readline(n)` for what follows the header of the new manifest, as a Reader asks for it.

    Args:
        readline: gives what follows the header of the difference.
        old: the open manifest that it is from, at its first byte.
    """

    def __init__(self, readline, old):
        self._lines = _merged(readline, old.readline)
        self._line = b""

    def readline(self, most):
        """The next line (bytes), at most `most` bytes of it, empty at the end; raises ManifestError."""
        if not self._line:
            # MicroPython before 1.24 has no next() with a default.
            for line in self._lines:
                self._line = line
                break
        line = self._line[:most]
        self._line = self._line[most:]
        return line


def _merged(more, had):
    had(LINE)
    old = had(LINE + 1)
    new = more(LINE + 1)
    x = _entry(old)
    y = _entry(new)
    while x or y:
        a = x and (not y or x["p"] <= y["p"])
        b = y and (not x or y["p"] <= x["p"])
        if b and len(y) > 1:
            yield new
        elif not b:
            yield old
        elif not a:
            raise ManifestError("manifest: path %r: is to go, and is not there" % y["p"])
        if a:
            old = had(LINE + 1)
            x = _entry(old)
        if b:
            new = more(LINE + 1)
            y = _entry(new)
    # The signatures, or what else the Reader has to refuse.
    while new:
        yield new
        new = more(LINE + 1)


def _entry(raw):
    # The entry (dict) of a line, None for anything else.
    try:
        entry = json.loads(raw)
        return entry if isinstance(entry["p"], str) else None
    except (ValueError, RuntimeError, TypeError, KeyError):  # RuntimeError: nested too deep
        return None
