"""A board in CPython: the library's own code on a real littlefs2, whose flash keeps a journal and may lose power."""

import contextlib
import json
import os
from hashlib import sha256
from types import SimpleNamespace

import littlefs
from littlefs.context import UserContext

import ota.bootguard
import ota.storage
from ota.bootguard import boot, load
from ota.errors import OtaError
from ota.storage.littlefs import LittlefsStorage
from ota.trial import confirm, rollback, status
from ota.updater import Updater
from ota_host.testing import MemoryTransport

BLOCK, BLOCKS = 4096, 40


class Flash(UserContext):
    """NOR flash. `journal` gets (address, before, after) of every operation."""

    def __init__(self, image=None):
        super().__init__(buffer=bytearray(image or b"\xff" * (BLOCK * BLOCKS)))
        self.journal = []

    def _write(self, at, data):
        self.journal.append((at, bytes(self.buffer[at : at + len(data)]), bytes(data)))
        self.buffer[at : at + len(data)] = data
        return 0

    def prog(self, cfg, block, off, data):
        at = block * cfg.block_size + off
        assert all(old & new == new for old, new in zip(self.buffer[at:], data)), "0 to 1 without an erase"
        return self._write(at, data)

    def erase(self, cfg, block):
        return self._write(block * cfg.block_size, b"\xff" * cfg.block_size)


def cut(image, journal, number, share):
    """`image` after a power cut in operation `number`, of which `share` (0 to 1) happened."""
    image = bytearray(image)
    for at, before, after in journal[:number]:
        image[at : at + len(after)] = after
    at, before, after = journal[number]
    n = round(len(after) * share)
    image[at : at + n] = after[:n]
    return image


@contextlib.contextmanager
def errors():
    try:
        yield
    except littlefs.LittleFSError as e:
        raise OSError(-e.code, "littlefs") from None
    except (FileNotFoundError, IsADirectoryError, FileExistsError) as e:
        raise OSError(-e.__cause__.code, "littlefs") from None


class File:
    """A file whose errors are MicroPython's."""

    def __init__(self, f):
        self._f = f

    def __getattr__(self, name):
        method = getattr(self._f, name)

        def call(*args):
            with errors():
                return method(*args)

        return call

    def __iter__(self):
        return iter(self._f)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


class Board:
    """Power for an image. What boards run is called in `with board:`."""

    def __init__(self, image=None, prog=256):
        self.prog = prog
        self.power_on(image)

    def power_on(self, image=None):
        self.flash = Flash(image)
        self.files = []  # opened since then
        sizes = {"block_size": BLOCK, "block_count": BLOCKS, "prog_size": self.prog, "read_size": self.prog}
        sizes["cache_size"] = 4 * self.prog  # as MicroPython has it; shorter files need no block
        self.fs = littlefs.LittleFS(context=self.flash, mount=False, **sizes)
        if image is None:
            self.fs.format()
        self.fs.mount()
        self.flash.journal.clear()

    def __enter__(self):
        # The library's modules find this littlefs where they look for a file system.
        self._home, ota.bootguard._home = ota.bootguard._home, ""
        del ota.bootguard.problems[:]
        for module in (ota.bootguard, ota.storage):
            module.os = SimpleNamespace(**{name: self._call(name) for name in ("rename", "remove", "mkdir", "rmdir")})
            module.os.stat, module.os.statvfs = self._stat, self._statvfs
            module.os.listdir = lambda path: self._call("listdir")(path if path not in ("", ".") else "/")
            module.open = self._open

    def __exit__(self, *exc_info):
        ota.bootguard._home = self._home
        for module in (ota.bootguard, ota.storage):
            module.os = os
            del module.open

    def _call(self, name):
        def call(*args):
            with errors():
                return getattr(self.fs, name)(*args)

        return call

    def _stat(self, path):
        if path.startswith(".OTA"):
            raise OSError(2, "names do not fold")
        with errors():
            found = self.fs.stat(path)
        return (0x4000 if found.type == 2 else 0x8000, 0, 0, 0, 0, 0, found.size)

    def _statvfs(self, path):
        return (BLOCK, BLOCK, BLOCKS, max(0, BLOCKS - self.fs.used_block_count))

    def _open(self, path, mode="r"):
        with errors():
            self.files.append(File(self.fs.open(path, mode)))
            return self.files[-1]

    def tree(self):
        """{path: bytes} of all files outside of .ota/."""
        found = {}
        for folder, _, names in self.fs.walk("/"):
            for name in names:
                path = (folder.rstrip("/") + "/" + name).lstrip("/")
                if not path.startswith(".ota/"):
                    with self.fs.open(path, "rb") as f:
                        found[path] = f.read()
        return found

    def write(self, path, data):
        """What an application writes."""
        with self._open(path, "wb") as f:
            f.write(data)

    def every_path(self):
        """All files and folders, also those of the library."""
        found = []
        for folder, folders, names in self.fs.walk("/"):
            found += [(folder.rstrip("/") + "/" + name).lstrip("/") for name in folders + names]
        return found

    def content(self, path):
        """What is in a file (bytes), None where there is none."""
        try:
            with self.fs.open(path, "rb") as f:
                return f.read()
        except (FileNotFoundError, IsADirectoryError, littlefs.LittleFSError):
            return None

    def remove_all(self, path):
        """Remove a file, or a folder with all that is in it."""
        if path in self.every_path():
            self.fs.remove(path, recursive=True)

    def write_below(self, path, data):
        """The same, with the folders that it needs."""
        folder = path.rpartition("/")[0]
        if folder:
            self.fs.makedirs(folder, exist_ok=True)
        self.write(path, data)

    def remove_with_folders(self, path):
        """Remove a file, and the folders that it leaves empty."""
        self.fs.remove(path)
        while "/" in path:
            path = path.rpartition("/")[0]
            if self.fs.listdir(path):
                return
            self.fs.remove(path)

    def run(self, job):
        """Do `job` on the board; gives (image before, journal). Errors of the library are its own business."""
        image = bytes(self.flash.buffer)
        self.flash.journal.clear()
        with self:
            try:
                job()
            except OtaError:
                pass
        return image, list(self.flash.journal)


def updater(objects):
    return Updater(MemoryTransport(objects), storage=LittlefsStorage(""), trial_boots=2)


def objects(seq, files, **header):
    """What a server has: {name: bytes} of one release, with more of `header` in its manifest."""
    size = sum(map(len, files.values()))
    lines = [{"ota": 1, "project": "x", "version": f"v{seq}.0.0", "seq": seq, "files": len(files), "size": size, **header}]
    lines += [{"p": p, "s": len(d), "h": sha256(d).hexdigest()} for p, d in sorted(files.items())]
    found = {f"blobs/{h[:2]}/{h}": d for d in files.values() for h in (sha256(d).hexdigest(),)}
    found["stable.manifest"] = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return found


__all__ = ["Board", "boot", "confirm", "cut", "load", "objects", "rollback", "status", "updater"]
