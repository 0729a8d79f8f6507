"""The flash of a benchmark board: an image file, so that nothing of it is in the heap that is measured."""

import gc
import os
import vfs

_BLOCK = 4096
_ERASED = b"\xff" * 256


class Flash:
    """A block device on the file at `path`; with `watch` it looks at the heap at every write."""

    def __init__(self, path, watch=False):
        self._file = open(path, "r+b")
        self._blocks = self._file.seek(0, 2) // _BLOCK
        self._watch = watch
        self.peak = self.read = self.programmed = self.erased = 0  # bytes

    def readblocks(self, n, buf, off=0):
        self._file.seek(n * _BLOCK + off)
        self._file.readinto(buf)
        self.read += len(buf)

    def writeblocks(self, n, buf, off=0):
        self._file.seek(n * _BLOCK + off)
        self._file.write(buf)
        self.programmed += len(buf)
        if self._watch:
            gc.collect()
            self.peak = max(self.peak, gc.mem_alloc())

    def ioctl(self, op, arg):
        if op == 4:
            return self._blocks
        if op == 5:
            return _BLOCK
        if op == 6:
            # littlefs looks whether a block is erased, so it has to be.
            self._file.seek(arg * _BLOCK)
            for _ in range(_BLOCK // len(_ERASED)):
                self._file.write(_ERASED)
            self.erased += _BLOCK
        return 0

    def save(self):
        """Everything is in the file already."""


def power_up(path, prog, form=False, watch=False):
    """Mount the littlefs of the image at `path`, programmed `prog` bytes at a time; gives the Flash."""
    flash = Flash(path, watch)
    if form:
        vfs.VfsLfs2.mkfs(flash, progsize=prog)
    vfs.mount(vfs.VfsLfs2(flash, progsize=prog), "/flash")
    os.chdir("/flash")
    return flash
