"""What a transport is given, checked: its URL, credentials and headers. And where a redirect leads (RFC 3986)."""

from ..builtin import own
from ..errors import TransportError
from .wire import PLAIN, quote

_WORD = "abcdefghijklmnopqrstuvwxyz0123456789-._"
# What the transport sends itself, or what makes two requests of one.
_OURS = "host range if-range if-none-match content-length transfer-encoding"


def root(url):
    """Check the URL (str) of a transport; gives it with a slash at its end, and what `split` makes of it.

    Raises:
        TransportError: it is not one that a transport can use.
    """
    if not isinstance(url, str) or url.strip(PLAIN + "%[]"):
        _bad(url)
    origin, netloc, host, port, path = split(url if url[-1:] == "/" else url + "/")
    return origin.split("/")[0] + "//" + netloc + path, (origin, netloc, host, port, path)


def _bad(url):
    # Before an "@" there may be a password, in a query a key: neither is shown.
    url = str(url)
    url = "" if "@" in url else "%r " % url.split("?")[0][:99]
    raise TransportError("url %sis not http(s)://host[:port]/path in ASCII: no query, and user= and password= apart" % url)


def split(url):
    """(origin, netloc, host, port, path) of an absolute URL, safe in a request; the origin is for credentials."""
    try:
        scheme, rest = url.split("://", 1)
        netloc = rest.split("/")[0].split("?")[0]
        path = rest[len(netloc) :]
        scheme, netloc = scheme.lower(), netloc.lower()
        host, port = netloc, ""
        at = netloc.rfind(":")
        if at > netloc.rfind("]"):
            host, port = netloc[:at], netloc[at + 1 :]
        port = int(port or {"http": 80, "https": 443}[scheme])
        name = host.strip("[]")
        right = "[" + name + "]" if ":" in name else name
        if not name or name.strip(_WORD + ":") or host != right or not 0 < port < 65536:
            raise ValueError
    except (KeyError, ValueError):
        _bad(url)
    path = quote(path if path[:1] == "/" else "/" + path, PLAIN + "%?")
    return "%s://%s:%d" % (scheme, host, port), netloc, name, port, path


def join(base, location):
    """The URL (str) that `location` (str) means in an answer to the request for the URL `base` (str)."""
    location = location.split("#")[0]
    if ":" in location.split("?")[0].split("/")[0]:  # a scheme
        return location
    if location[:2] == "//":
        return base.split("/")[0] + location
    at = base.find("/", 8)
    path = base[at:].split("?")[0]
    if not location:
        return base
    if location[0] == "?":
        location = path + location
    elif location[0] != "/":
        location = path[: path.rfind("/") + 1] + location
    path = location.split("?")[0]
    parts = []
    for part in path.split("/"):
        if part == "..":
            del parts[max(1, len(parts) - 1) :]
        elif part != ".":
            parts.append(part)
    if part in (".", ".."):
        parts.append("")
    return base[:at] + "/".join(parts) + location[len(path) :]


def head(agent, user, password, token, headers):
    """Check credentials and `headers` (dict); gives the lines (str) for requests to the server of the URL.

    Raises:
        TransportError: one of them would add a header or a request, or is the transport's own.
    """
    what = "user=, password=, token= or headers="
    lines = agent
    seen = _OURS.split()
    try:
        pair = (user or "") + ":" + (password or "")
        if ":" in (user or "") or min(pair.encode()) < 32 or " " in (token or ""):
            raise ValueError
        pairs = list((headers or {}).items())
        if token:
            pairs.append(("Authorization", "Bearer " + token))
        elif len(pair) > 1:
            pairs.append(("Authorization", "Basic " + own("binascii").b2a_base64(pair.encode()).decode().strip()))
        for name, value in pairs:
            what = "header %r" % name
            low = name.lower()
            raw = b" " + value.encode()
            if not low or low.strip(_WORD) or low in seen or min(raw) < 32 or max(raw) > 126:
                raise ValueError
            seen.append(low)
            lines += "%s: %s\r\n" % (name, value)
            if low == "user-agent":
                lines = lines[len(agent) :]
    except (AttributeError, TypeError, ValueError):
        raise TransportError("%s: not text that HTTP allows there, such as one with a line break" % what)
    return lines
