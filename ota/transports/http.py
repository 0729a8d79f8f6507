"""HTTP/1.1 over a plain socket: one connection for the many files of an update."""

import socket
from binascii import b2a_base64

from ..errors import NotFoundError, NotModified, TransportError
from . import Transport
from .wire import Body, Link, number, quote, read_head, split

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
        self._origin = split(self._url)[0]
        self._check_scheme(self._url)
        self._timeout = timeout
        self.retries = retries
        self._auth = ""
        if token:
            self._auth = "Authorization: Bearer %s\r\n" % token
        elif user or password:
            pair = b2a_base64(("%s:%s" % (user, password)).encode()).decode().strip()
            self._auth = "Authorization: Basic %s\r\n" % pair
        self._link = None
        self._linked = None

    def _check_scheme(self, url):
        if not url.startswith(self._scheme + "://"):
            other = "HttpsTransport" if url.startswith("https:") else self._scheme + "://"
            raise TransportError("%s: %s needs %s" % (url, type(self).__name__, other))

    def _wrap(self, sock, host):
        return sock

    def keep(self, link):
        self._link = link

    def close(self):
        """Close the connection that is kept."""
        if self._link:
            self._link.close()
            self._link = None

    def _connect(self, host, port):
        info = socket.getaddrinfo(host.strip("[]"), port, 0, socket.SOCK_STREAM)[0]
        raw = socket.socket(info[0], info[1], info[2])
        try:
            raw.settimeout(self._timeout)
            raw.connect(info[-1])
            sock = self._wrap(raw, host.strip("[]"))
        except Exception:
            raw.close()
            raise
        return Link(sock, raw if hasattr(raw, "write") else sock, self._timeout)

    def _exchange(self, url, extra):
        # One request; gives the link, the status and the headers.
        origin, host, port, path = split(url)
        auth = self._auth if origin == self._origin else ""
        netloc = origin[origin.find("//") + 2 :] if port not in (80, 443) else host
        request = "GET %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n" % (path, netloc, auth, extra)
        link, self._link = self._link, None
        if link and self._linked != origin:
            link.close()
            link = None
        while True:
            kept = link
            link = link or self._connect(host, port)
            self._linked = origin
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
        url = self._url + quote(name)
        extra = "Range: bytes=%d-\r\n" % start if start else ""
        if etag:
            extra += "%s: %s\r\n" % ("If-Range" if start else "If-None-Match", etag)
        for _ in range(_REDIRECTS + 1):
            try:
                link, status, headers = self._exchange(url, extra)
                if status not in (301, 302, 303, 307, 308):
                    return self._answer(url, link, status, headers, start)
                link.close()
                url = self._redirect(url, headers.get("location", ""))
            except TransportError as e:
                if e.status:
                    raise
                raise TransportError("GET %s: %s" % (url, e))
            except (OSError, ValueError) as e:
                raise TransportError("GET %s: %r" % (url, e))
        raise TransportError("GET %s: over %d redirects" % (self._url + name, _REDIRECTS))

    def _redirect(self, url, location):
        if location.startswith("/"):
            location = url[: url.find("/", 8)] + location
        elif "://" not in location:
            location = url[: url.rfind("/") + 1] + location
        self._check_scheme(location)
        return location

    def _answer(self, url, link, status, headers, start):
        if status == 304:
            self.keep(link)
            raise NotModified(url)
        if status in (200, 206):
            body = Body(self, link, headers)
            if status == 206:
                self._ranged(body, headers.get("content-range", ""), start)
            return body
        link.close()
        kind = NotFoundError if status in (404, 410) else TransportError
        error = kind("GET %s: status %d" % (url, status))
        error.status = status
        raise error

    def _ranged(self, body, told, start):
        # bytes START-END/SIZE
        first, _, size = told.replace("bytes ", "").partition("/")
        body.start = number(first.partition("-")[0])
        if body.start != start or not size.isdigit():
            body.close()
            raise TransportError("asked for %d-, got range %r" % (start, told))
        body.size = int(size)
