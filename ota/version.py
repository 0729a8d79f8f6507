"""Version tags: Semantic Versioning 2.0, a leading `v` allowed. Pure."""

from .errors import ManifestError

LIMIT = 128  # bytes of a tag

_DIGITS = "0123456789"
_REST = "-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _fail(tag, why):
    raise ManifestError("invalid version %r: %s" % (tag, why))


def _identifier(tag, text, numeric=False):
    # Rule 9: letters, digits and hyphens, not empty; a number has no leading zero.
    number = True
    for c in text:
        if c not in _DIGITS:
            number = False
            if numeric or c not in _REST:
                _fail(tag, "contains %r in %r" % (c, text))
    if not text:
        _fail(tag, "empty part")
    if not number:
        return text
    if text[0] == "0" and len(text) > 1:
        _fail(tag, "leading 0 in %r" % text)
    return int(text)


def parse(tag):
    """Take a tag apart.

    Args:
        tag (str): such as `v1.0.0-rc.1+build.7`, at most `LIMIT` bytes.
    Returns:
        tuple: major, minor, patch (int), prerelease (tuple of str and int), build (str).
    Raises:
        ManifestError: `tag` is not a valid version.
    """
    if not isinstance(tag, str):
        _fail(tag, "not text")
    # Only ASCII passes below, so that characters are bytes.
    if len(tag) > LIMIT:
        _fail(tag[:16] + "...", "%d bytes, the limit is %d" % (len(tag), LIMIT))
    rest = (tag[1:] if tag[:1] == "v" else tag).split("+", 1)
    if len(rest) > 1:
        for part in rest[1].split("."):
            # Rule 10 allows leading zeros here, and with a letter in front no part is a number.
            _identifier(tag, part and "b" + part)
    build = rest[1] if len(rest) > 1 else ""
    rest = rest[0].split("-", 1)
    core = rest[0].split(".")
    if len(core) != 3:
        _fail(tag, "%d numbers, not major.minor.patch" % len(core))
    major, minor, patch = [_identifier(tag, part, True) for part in core]
    prerelease = rest[1].split(".") if len(rest) > 1 else ()
    return major, minor, patch, tuple([_identifier(tag, part) for part in prerelease]), build


def format(parsed):
    """Put together what `parse()` took apart; the tag (str) has no leading `v`."""
    tag = "%d.%d.%d" % parsed[:3]
    if parsed[3]:
        tag += "-" + ".".join([str(part) for part in parsed[3]])
    return tag + "+" + parsed[4] if parsed[4] else tag


def compare(a, b):
    """Order two tags by precedence (rule 11): -1, 0 or 1. The build metadata does not count.

    Raises:
        ManifestError: one of them is not a valid version.
    """
    x, y = _order(parse(a)), _order(parse(b))
    return (x > y) - (x < y)


def _order(parsed):
    # A release comes after its prereleases; numbers before text; a shorter list before a longer.
    parts = [(0, p, "") if isinstance(p, int) else (1, 0, p) for p in parsed[3]]
    return parsed[:3], 0 if parts else 1, tuple(parts)
