"""HTTP/1.1 over a plain socket: one connection for the many files of an update."""

from .. import own
from ..errors import NotFoundError, NotModified, TransportError
from . import Transport
from .wire import QUOTED, Body, Link, number, quote, read_head, split

socket = own("socket")
b2a_base64 = own("binascii").b2a_base64

_REDIRECTS = 5


class HttpTransport(Transport):
    """Releases from any web server, over plain HTTP.

    Args:
        url (str): the project's root, `http://host[:port]/path`.
        user, password (str): for Basic authentication. token (str): for Bearer.
        timeout (int): seconds that the server may be silent.
        retries (int): further tries after an error that may pass.
    Raises:
        TransportError: the URL is not one that this transport can use.
    """

    _scheme = "http"

    def __init__(self, url, *, user=None, password=None, token=None, timeout=10, retries=3):
        self._url = url if url.endswith("/") else url + "/"
        self._root = split(self._url)
        self._check_scheme(self._url)
        self._timeout = timeout
        self.retries = retries
        self._auth = ""
        if token:
            self._auth = "Authorization: Bearer %s\r\n" % token
        elif user or password:
            pair = "%s:%s" % (user or "", password or "")
            pair = b2a_base64(pair.encode()).decode().strip()
            self._auth = "Authorization: Basic %s\r\n" % pair
        self._link = None

    def _check_scheme(self, url):
        if not url.startswith(self._scheme + "://"):
            other = "HttpsTransport" if url.startswith("https:") else self._scheme + "://"
            raise TransportError("%s: %s needs %s" % (url, type(self).__name__, other))

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
        # A name may have addresses that lead nowhere from here.
        for info in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
            raw = socket.socket(info[0], info[1], info[2])
            try:
                raw.settimeout(self._timeout)
                raw.connect(info[-1])
                sock = self._wrap(raw, host)
                return Link(sock, raw if hasattr(raw, "write") else sock, self._timeout, origin)
            except Exception as e:
                raw.close()
                if not isinstance(e, OSError):
                    raise
                error = e
        raise error or OSError(113)

    def _exchange(self, url, extra):
        # One request; gives the link, the status and the headers.
        origin, netloc, host, port, path = self._root
        if url.startswith(self._url):
            path += quote(url[len(self._url) :], QUOTED)
        else:  # after a redirect
            origin, netloc, host, port, path = split(url)
        auth = self._auth if origin == self._root[0] else ""
        request = "GET %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n" % (path, netloc, auth, extra)
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
        if etag:
            extra += "%s: %s\r\n" % ("If-Range" if start else "If-None-Match", etag)
        for _ in range(_REDIRECTS + 1):
            body = None  # or the link, as long as there is none: what to close
            try:
                body, status, headers = self._exchange(url, extra)
                self.cache_control = headers.get("cache-control", "")
                if status == 304 and etag and not start:
                    self.keep(body)
                    raise NotModified(url)
                body = Body(self, body, headers)
                if status == 206:
                    _ranged(body, headers.get("content-range", ""), start)
                if status in (200, 206):
                    return body
                body.drop()
                if status not in (301, 302, 303, 307, 308):
                    raise _refused(url, status, headers)
                url = self._redirect(url, headers.get("location", ""))
            except NotModified:
                raise
            except Exception as e:
                if body:
                    body.close()
                if getattr(e, "status", 0):
                    raise
                what = e if isinstance(e, TransportError) else repr(e)
                raise TransportError("GET %s: %s" % (url, what))
        raise TransportError("GET %s: over %d redirects" % (self._url + name, _REDIRECTS))

    def _redirect(self, url, location):
        if location.startswith("//"):
            location = url[: url.find("/")] + location
        elif location.startswith("/"):
            location = url[: url.find("/", 8)] + location
        elif "://" not in location:
            location = url[: url.rfind("/") + 1] + location
        self._check_scheme(location)
        return location.partition("#")[0]


def _refused(url, status, headers):
    kind = NotFoundError if status in (404, 410) else TransportError
    error = kind("GET %s: status %d" % (url, status))
    error.status = status
    if status in (429, 503) and "retry-after" in headers:
        from .retry import retry_s

        error.retry_s = retry_s(headers)
    return error


def _ranged(body, told, start):
    # bytes START-END/SIZE
    first, _, size = told.replace("bytes ", "").partition("/")
    body.start = number(first.partition("-")[0])
    if body.start != start or not size.isdigit():
        raise TransportError("asked for %d-, got range %r" % (start, told))
    body.size = int(size)
