"""A manifest that comes as its difference from the one that is live, put together while it is read.

A difference is the new header, the file lines that are new or other, `{"p":"…"}` alone for a path
that is gone, all sorted by path, then the signatures. Nothing here is trusted: what comes out
is read as any manifest, and its header has the CRC of the file lines.
"""

from .errors import ManifestError
from .manifest import LINE


def merge(more, had):
    """Give `readline(n)` for what follows the header of the new manifest, as a Reader asks for it.

    Args:
        more: the same for what follows the header of the difference.
        had: the same for the manifest that it is from, whose header was not read.
    Raises:
        ManifestError: by the calls, for a path that is to go and is not there.
    """
    lines = _merged(more, had)
    left = b""

    def readline(most):
        nonlocal left
        if not left:
            # MicroPython before 1.24 has no next() with a default.
            for left in lines:
                break
        line = left[:most]
        left = left[most:]
        return line

    return readline


def _merged(more, had):
    had(LINE)
    old = had(LINE + 1)
    new = more(LINE + 1)
    while True:
        x = _path(old)
        y = _path(new)
        if not x and not y:
            break
        # Whose turn it is; both when they have the same path.
        a = x and (not y or x <= y)
        b = y and (not x or y <= x)
        if not b:
            yield old
        elif new[6 + len(y) :] != b'"}\n':
            yield new
        elif not a:
            raise ManifestError("manifest: path %r: is to go, and is not there" % y)
        if a:
            old = had(LINE + 1)
        if b:
            new = more(LINE + 1)
    # The signatures, or what else the Reader has to refuse.
    while new:
        yield new
        new = more(LINE + 1)


def _path(line):
    # As it stands in a file's line, empty for anything else. Written in another way, with a quote
    # in it, the lines come out in a wrong order, and are refused.
    return line[6 : line.find(b'"', 6)] if line[:6] == b'{"p":"' else b""
