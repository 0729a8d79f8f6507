"""A file system that fails under the library: at one call, at every call for one path, or at every write."""

import builtins
import os
import sys

ERRORS = {
    "ENOENT": 2, "EIO": 5, "EACCES": 13, "EEXIST": 17, "ENOTDIR": 20, "EISDIR": 21, "ENOSPC": 28, "ENAMETOOLONG": 36,
    "ENOTEMPTY": 39,
}  # fmt: skip
# How a file system says that nothing is there, and is believed.
ANSWERS = {"stat": (2, 20), "open": (2, 20), "read": (2, 20), "remove": (2, 20), "rmdir": (2, 20)}
CHANGES = ("rename", "remove", "mkdir", "rmdir", "create", "write", "close")

real_open = builtins.open
log = []  # (function, paths) of each call since `arm`
last = []  # of the run before
plan = [0, None, "/flash"]  # the errno; a function of (number of the call, function, paths): whether that call fails; where


class Cut(BaseException):
    """Ends a run where the power would fail."""


def arm(errno=0, fails=None):
    """From here on calls for which `fails` is true raise OSError(errno), but where that would be an answer; 0 cuts."""
    last[:] = log
    del log[:]
    plan[:2] = [errno, fails]


def once(number):
    return lambda n, what, paths: n == number


def on_path(path):
    return lambda n, what, paths: path in paths


def on_writes(n, what, paths):
    return what in CHANGES


def _meet(what, *paths):
    errno, fails, where = plan
    paths = [p[len(where) + 1 :] if p.startswith(where) else p for p in paths]
    if not fails or paths[0].startswith("/"):
        return
    log.append((what, paths))
    if errno not in ANSWERS.get(what, ()) and fails(len(log), what, paths):
        if not errno:
            raise Cut
        raise OSError(errno)


class Os:
    """The module `os`."""

    def __getattr__(self, name):
        do = getattr(os, name)
        if name not in ("stat", "listdir", "ilistdir", "statvfs", "rename", "remove", "mkdir", "rmdir"):
            return do

        def call(*paths):
            _meet(name, *paths)
            return do(*paths)

        return call


class File:
    """Of a write that failed littlefs keeps nothing; so the record of the state comes as a whole, when it is closed."""

    def __init__(self, path, mode="r", **options):
        self.path = path
        self.writes = "r" not in mode
        self.sound = True
        _meet("create" if self.writes else "open", path)
        self.whole = b"" if path.endswith(".ota/state") and self.writes and real_open(path, "ab").close() is None else None
        self.f = None if self.whole is not None else real_open(path, mode, **options)

    def read(self, *size):
        _meet("read", self.path)
        return self.f.read(*size)

    def readline(self, *size):
        _meet("read", self.path)
        return self.f.readline(*size)

    def readinto(self, buffer):
        _meet("read", self.path)
        return self.f.readinto(buffer)

    def __getattr__(self, name):
        return getattr(self.f, name)

    def write(self, data):
        self.sound = False
        _meet("write", self.path)
        self.sound = True
        if self.f:
            return self.f.write(data)
        self.whole += data

    def close(self):
        try:
            if self.writes:
                self.sound, sound = False, self.sound
                _meet("close", self.path)
                self.sound = sound
        finally:
            if not self.f and self.sound:
                self.f = real_open(self.path, "wb")
                self.f.write(self.whole)
            if self.f:
                self.f.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def install():
    """Put it under the library; before that is imported."""
    sys.modules["os"] = Os()
    builtins.open = File
