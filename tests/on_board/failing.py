"""A file system that fails under the library: at one call, at every call for one path, or at every write."""

import builtins
import os

ENOENT, EIO, EACCES, EEXIST, ENOTDIR, EISDIR, ENOSPC, ENAMETOOLONG, ENOTEMPTY = 2, 5, 13, 17, 20, 21, 28, 36, 39
# How a file system says that nothing is there, and is believed.
ANSWERS = {"stat": (ENOENT, ENOTDIR), "open": (ENOENT, ENOTDIR), "remove": (ENOENT, ENOTDIR), "rmdir": (ENOENT, ENOTDIR)}
CHANGES = ("rename", "remove", "mkdir", "rmdir", "create", "write", "close")

real_open = builtins.open
log = []  # (function, paths) of each call since `arm`
plan = []  # the errno, and a function of (number of the call, function, paths): whether that call fails


def arm(errno=0, fails=None):
    """From here on calls for which `fails` is true raise OSError(errno), but where that would be an answer."""
    del log[:]
    plan[:] = [errno, fails]


def once(number):
    return lambda n, what, paths: n == number


def on_path(path):
    return lambda n, what, paths: path in paths


def on_writes(n, what, paths):
    return what in CHANGES


def _meet(what, *paths):
    log.append((what, paths))
    errno, fails = plan
    if fails and errno not in ANSWERS.get(what, ()) and fails(len(log), what, paths):
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
    def __init__(self, path, mode):
        self.path = path
        self.writes = "r" not in mode
        _meet("create" if self.writes else "open", path)
        self.f = real_open(path, mode)

    def read(self, *size):
        _meet("read", self.path)
        return self.f.read(*size)

    def readline(self, *size):
        _meet("read", self.path)
        return self.f.readline(*size)

    def readinto(self, buffer):
        _meet("read", self.path)
        return self.f.readinto(buffer)

    def seek(self, *place):
        return self.f.seek(*place)

    def write(self, data):
        _meet("write", self.path)
        return self.f.write(data)

    def close(self):
        try:
            if self.writes:
                _meet("close", self.path)
        finally:
            self.f.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def under(*modules):
    """Put it under these modules of the library."""
    for module in modules:
        if hasattr(module, "os"):
            module.os = Os()
        module.open = lambda path, mode="r": File(path, mode)


arm()
