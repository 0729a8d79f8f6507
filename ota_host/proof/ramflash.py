"""A NOR flash in RAM for the unix port: counts its operations and loses power at one of them."""

import builtins
import os
import vfs


class Flash:
    """A block device. Bits go from 1 to 0 by programming and back only by erasing a block."""

    def __init__(self, blocks=64, block=4096, image=None):
        self.block = block
        self.image = image or bytearray(b"\xff" * (blocks * block))
        self.ops = 0  # programs and erases so far
        self.programmed = 0  # bytes
        self.erased = 0  # bytes
        self.read = 0  # bytes
        self.cut_at = None  # the operation at which the power fails, counted from 0
        self.torn = 0  # how many 256ths of that operation still happen
        self.dead = False
        self.whole_sectors = False  # an SD card: a sector is written in one operation, or not at all
        self.journal = None  # a list here gets (address, old bytes, new bytes) of each operation

    def readblocks(self, n, buf, off=0):
        at = n * self.block + off
        # A file that the collector closes after the cut reads with the heap locked.
        if self.dead:
            raise OSError(5)
        self.read += len(buf)
        buf[:] = memoryview(self.image)[at : at + len(buf)]

    def _change(self, at, data):
        if self.dead:
            raise OSError(5)
        size = len(data)
        if self.ops == self.cut_at:
            self.dead = True
            size = size * self.torn // 256
        self.ops += 1
        if self.journal is not None:
            self.journal.append((at, bytes(self.image[at : at + size]), bytes(data)))
        self.image[at : at + size] = data[:size]
        if self.dead:
            raise OSError(5)

    def writeblocks(self, n, buf, off=None):
        if off is None and self.whole_sectors:
            self.programmed += len(buf)
            for i in range(0, len(buf), self.block):
                self._change(n * self.block + i, memoryview(buf)[i : i + self.block])
        elif off is None:  # the plain protocol, of FAT: whole blocks
            for i in range(len(buf) // self.block):
                self.ioctl(6, n + i)
                self._program((n + i) * self.block, memoryview(buf)[i * self.block :][: self.block])
        else:
            self._program(n * self.block + off, buf)

    def _program(self, at, buf):
        old = int.from_bytes(memoryview(self.image)[at : at + len(buf)], "big")
        new = int.from_bytes(buf, "big")
        if old & new != new:
            raise SystemExit("NOR: 0 to 1 without an erase at %d" % at)
        self.programmed += len(buf)
        self._change(at, buf)

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.image) // self.block
        if op == 5:
            return self.block
        if op == 6:
            self.erased += self.block
            self._change(arg * self.block, b"\xff" * self.block)
        return 0


def driver(kind, prog=256):
    """The file system class of `kind` (`lfs2` or `fat`) and its keywords."""
    if kind == "fat":
        return vfs.VfsFat, {}
    return vfs.VfsLfs2, {"progsize": prog}  # no more is said by the firmware of a Pico


def mount(flash, kind="lfs2", form=False, prog=256, at="/flash"):
    """Mount `flash` at `at`, formatted first when `form`, and go there."""
    cls, kw = driver(kind, prog)
    if form:
        cls.mkfs(flash, **kw)
    vfs.mount(cls(flash, **kw), at)
    os.chdir(at)


_real_open = builtins.open
_files = []  # opened since the last mount
_kept = []


def _open(*args):
    f = _real_open(*args)
    _files.append(f)
    return f


builtins.open = _open


def umount(flash, at="/flash"):
    """Leave `flash`, in order or, when it lost its power, as it is."""
    if flash.dead:
        # After a failed write littlefs must not be touched again, not even to close a file:
        # it may follow a list into memory that is gone. So nothing of it is ever collected.
        _kept.extend(_files)
        flash.image = None
    del _files[:]
    os.chdir("/")
    vfs.umount(at)


def folder(path):
    """Make a folder, and those above it."""
    done = ""
    for part in path.split("/"):
        done += part
        try:
            os.mkdir(done)
        except OSError:
            pass
        done += "/"


def write(path, data):
    """Write a file, with its folders."""
    if "/" in path:
        folder(path[: path.rfind("/")])
    with open(path, "wb") as f:
        f.write(data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def tree(folder="", of=read, empty=None):
    """All files below the current folder: {path: of(path)}, by default the content, without what is in .ota/.

    Where `empty` is given, {path/: empty} for each folder that nothing is in, too.
    """
    found = {}
    entries = list(os.ilistdir(folder[:-1] or "."))
    if folder and not entries and empty is not None:
        found[folder] = empty
    for entry in entries:
        path = folder + entry[0]
        if entry[1] & 0x4000:
            if path != ".ota":
                found.update(tree(path + "/", of, empty))
        else:
            found[path] = of(path)
    return found
