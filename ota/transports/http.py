"""HTTP/1.1 over a plain socket: one connection for the many files of an update."""

from ..builtin import own
from ..errors import NotFoundError, NotModified, TransportError
from . import Transport, unload
from .wire import PLAIN, Body, Link, drop, number, quote, read_head


def _own_or_theirs():
    # For a modem without an IP stack in the firmware an application brings a module in Python. What
    # cannot connect is another file of that name.
    try:
        theirs = __import__("socket")
        theirs.socket, theirs.getaddrinfo, theirs.SOCK_STREAM
        return theirs
    except Exception:
        return own("socket")


socket = _own_or_theirs()

_AGENT = "User-Agent: mpota\r\n"  # many servers refuse a request without one
_REDIRECTS = 5


class HttpTransport(Transport):
    """Releases from any web server, over plain HTTP.

    Args:
        url (str): the project's root, `http://host[:port]/path`.
        user, password (str): for Basic authentication. token (str): for Bearer.
        headers (dict): more headers, name to value; like credentials, they go to the server
            of the URL only. One called `User-Agent` takes the place of ours.
        timeout (int): seconds that the server may be silent.
        retries (int): further tries after an error that may pass.
    Raises:
        TransportError: the URL is not one that this transport can use, or one of the others
            does not fit into the head of a request.
    """

    _scheme = "http"

    def __init__(self, url, *, user=None, password=None, token=None, headers=None, timeout=10, retries=3):
        from .url import head, root

        self._url, self._root = root(url)
        self._check_scheme(self._url)
        self._head = head(_AGENT, user, password, token, headers)
        unload("url")
        self._timeout = timeout
        self.retries = retries
        self._link = None

    def _check_scheme(self, url):
        scheme = url[: url.find(":")].lower()
        if scheme != self._scheme:
            other = "HttpsTransport" if scheme == "https" else self._scheme + "://"
            raise TransportError("%s: %s needs %s" % (url.split("?")[0], type(self).__name__, other))

    def _wrap(self, sock, host):
        return sock

    def keep(self, link):
        self.close()
        self._link = link

    def close(self):
        """Close the connection that is kept."""
        if self._link:
            self._link.close()
            self._link = None

    def _connect(self, origin, host, port):
        error = None
        # A name may have addresses that lead nowhere from here, or of a kind unknown here.
        for info in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
            raw = None
            try:
                raw = socket.socket(info[0], info[1], info[2])
                raw.settimeout(self._timeout)
                raw.connect(info[-1])
                sock = self._wrap(raw, host)
                return Link(sock, raw if hasattr(raw, "write") else sock, self._timeout, origin)
            except Exception as e:
                if raw:
                    raw.close()
                if not isinstance(e, OSError):
                    raise
                if raw or not error:
                    error = e
        raise error or OSError("no such host")

    def _exchange(self, url, extra):
        # One request; gives the link, the status and the headers.
        origin, netloc, host, port, path = self._root
        if url.startswith(self._url):
            path += quote(url[len(self._url) :], PLAIN + "%?")
        else:  # after a redirect
            from .url import split

            origin, netloc, host, port, path = split(url)
        head = self._head if origin == self._root[0] else _AGENT
        request = "GET %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n" % (path, netloc, head, extra)
        link, self._link = self._link, None
        if link and link.origin != origin:
            link.close()
            link = None
        while True:
            kept = link
            link = link or self._connect(origin, host, port)
            try:
                link.send(request.encode())
                return (link,) + read_head(link.lines)
            except Exception as e:
                link.close()
                # A server may close a kept connection at any moment: that is no error.
                if not kept or not isinstance(e, OSError):
                    raise
                link = None

    def _open(self, name, start=0, etag=None):
        # `%2F` is a slash that parts nothing: roles of TUF may have one in their name.
        url = self._url + quote(name).replace("%252F", "%2F")
        extra = "Range: bytes=%d-\r\n" % start if start else ""
        # No server goes on by a weak tag; whether it has changed is seen when it comes.
        if etag and not (start and etag[:2] == "W/"):
            extra += "%s: %s\r\n" % ("If-Range" if start else "If-None-Match", etag)
        for _ in range(_REDIRECTS + 1):
            body = None  # or the link, as long as there is none: what to close
            status = 0
            where = url.split("?")[0]  # a query may be secret
            try:
                body, status, headers = self._exchange(url, extra)
                self.cache_control = headers.get("cache-control", "")
                if status == 304 and etag and not start:
                    self.keep(body)
                    raise NotModified(where)
                if status in (200, 206):
                    body = Body(self, body, headers)
                    told = headers.get("content-range", "")
                    # Some servers give a range with status 200.
                    if status == 206 or start and told.startswith("bytes %d-" % start):
                        _ranged(body, told, start)
                    body.url = where
                    return body
                body = drop(self, body, headers)
                if status not in (301, 302, 303, 307, 308):
                    raise _refused(where, status, headers)
                url = self._redirect(url, headers.get("location", ""))
            except NotModified:
                raise
            except Exception as e:
                if body:
                    body.close()
                if getattr(e, "status", 0):
                    raise
                from .why import say

                raise _failed(where, say(e), status and 200)
        raise _failed(self._url + name, "over %d redirects" % _REDIRECTS, 200)

    def _redirect(self, url, location):
        from .url import join, split

        url = join(url, location)
        split(url)  # or say what is wrong with it
        self._check_scheme(url)
        return url


def _failed(url, what, status, kind=TransportError):
    error = kind("GET %s: %s" % (url, what))
    error.status = status
    return error


def _refused(url, status, headers):
    kind = NotFoundError if status in (404, 410) else TransportError
    error = _failed(url, "status %d" % status, status, kind)
    if "retry-after" in headers:
        from .retry import retry_s

        error.retry_s = retry_s(headers)
        unload("retry")
    return error


def _ranged(body, told, start):
    # bytes START-END/SIZE
    first, size = (told.replace("bytes ", "") + "/").split("/")[:2]
    body.start = number(first.split("-")[0])
    if body.start != start or not size.isdigit():
        raise TransportError("asked for %d-, got range %r" % (start, told[:64]))
    body.size = int(size)
