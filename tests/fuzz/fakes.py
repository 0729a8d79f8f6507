"""A server without a network, for the fuzz targets: on CPython and on MicroPython."""

import io
import os

from ota.errors import NotFoundError
from ota.transports import Transport
from ota.transports.http import HttpTransport
from ota.transports.wire import Link

_STARTS = ("GET /", "User-Agent: mpota", "Host: ", "Range: ", "If-Range: ", "If-None-Match: ", "Authorization: ")
_AFTER_END = 64  # reads after the end before it counts as a hang
_nothing = open(os.devnull, "rb") if hasattr(os, "devnull") else None


class Pieces(io.IOBase):
    """Gives `data` (bytes) in pieces of changing length, as a network does; and is a socket."""

    def __init__(self, data):
        self._data = memoryview(data)
        self._at = self._end = 0
        self.said = b""

    def readinto(self, buffer):
        n = min(len(buffer), len(self._data) - self._at, 1 + self._at * 7 % 61)
        if not n and len(buffer):
            self._end += 1
            if self._end > _AFTER_END:
                raise AssertionError("reads on after the end")
        buffer[:n] = self._data[self._at : self._at + n]
        self._at += n
        return n

    def write(self, data):
        self.said += bytes(data)
        return len(data)

    def sendall(self, data):
        self.write(data)

    def recv_into(self):
        pass  # says that what there is comes at once

    def settimeout(self, seconds):
        pass

    def setblocking(self, flag):
        pass

    def ioctl(self, request, argument):
        return 1 if request == 3 else 0  # to poll: it can be read

    def fileno(self):
        return _nothing.fileno()

    def close(self):
        pass


class Wire(HttpTransport):
    """An HttpTransport whose n-th connection says the n-th of `answers` (list of bytes)."""

    def __init__(self, answers):
        super().__init__("http://board.test/p", token="SECRET", retries=0)
        self.etag = None
        self._answers = answers
        self._sockets = []

    def _connect(self, origin, host, port):
        if len(self._sockets) >= len(self._answers):
            raise OSError(111)
        sock = Pieces(self._answers[len(self._sockets)])
        self._sockets.append((origin, sock))
        return Link(sock, sock, self._timeout, origin)

    def check(self):
        """Nothing that a server said may shape the next request, or send the secret elsewhere."""
        for origin, sock in self._sockets:
            for line in sock.said.decode().split("\r\n"):
                if line and not line.startswith(_STARTS) or "\r" in line or "\n" in line:
                    raise AssertionError("request has the line %r" % line)
            if b"SECRET" in sock.said and origin != "http://board.test:80":
                raise AssertionError("the secret went to %s" % origin)


class Shelf(Transport):
    """Objects by name: `find` is called with one and gives bytes, or None for a 404."""

    retries = 0

    def __init__(self, find):
        self._find = find

    def _open(self, name, start=0, etag=None):
        data = self._find(name)
        if data is None:
            raise NotFoundError(name)
        return Pieces(data)
