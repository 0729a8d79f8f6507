"""Where releases are staged. One storage a file; this one holds the base and picks the default."""

import gc

from ..builtin import own
from ..errors import OtaError, ours, refused

os = own("os")
_running = []  # the steps of the one run that may have files and a connection open


class Storage:
    """Base of the storages: a folder of files, with errors of ours that name the path.

    Args:
        root (str): the folder, empty for the current one.
    """

    block = 4096  # bytes that a file takes at least
    small = 0  # bytes of a file that is kept in its folder's list

    def __init__(self, root=""):
        self.root = root if not root or root.endswith("/") else root + "/"

    def _do(self, hook, path, *more):
        try:
            return hook(path, *more)
        except OSError as e:
            raise refused(path, e)

    def open(self, path, mode="rb"):
        """Open a file, `rb` or `wb`; the folders of one to write are made."""
        try:
            return self._open(path, mode)
        except OSError as e:
            if e.errno in (5, 28, 36) or mode == "rb":  # EIO, or no room
                raise refused(path, e)
            missing = e.errno == 2
        folder = path[: max(path.rfind("/"), 0)]
        # Of a file or folder of somebody else's in the place of our own nothing is lost.
        if folder == ".ota" or path[-8:] == ".ota-new" and not missing:
            from ..bootguard import move_aside

            try:
                move_aside(self.root + (folder if folder == ".ota" and self._size(folder) is not None else path))
            except OSError:
                pass  # there is none
        if folder:
            self.mkdir(folder)
        return self._do(self._open, path, mode)

    def replace(self, src, dst):
        """Put `src` in the place of `dst`; both are in one folder."""
        self._do(self._replace, src, dst)

    def remove(self, path):
        """Remove a file; one that is not there is fine."""
        if self.size(path) is not None:
            self._do(self._remove, path)

    def size(self, path):
        """The length of a file in bytes, None when there is none."""
        return self._do(self._size, path)

    def list(self, folder=""):
        """The names in a folder."""
        return self._do(self._list, folder)

    def ilistdir(self, folder):
        """Give (name, type, inode, bytes) of what is in a folder, by name, where that is its order; else none."""
        return iter(())

    def mkdir(self, path):
        """Make a folder and those above it; one that is there is fine."""
        at = 0
        while at >= 0:
            at = path.find("/", at + 1)
            part = path if at < 0 else path[:at]
            try:
                self._mkdir(part)
            except OSError as e:
                if e.errno != 17:  # EEXIST
                    self._do(self._fail, part, e)

    def _fail(self, path, e):
        raise e

    def free(self):
        """The bytes that are free."""
        return self._do(self._free_of, self.root)

    def _free_of(self, path):
        return self._free()

    # The hooks, for any file system that MicroPython has mounted.

    def _open(self, path, mode):
        return open(self.root + path, mode)

    def _replace(self, src, dst):
        os.rename(self.root + src, self.root + dst)

    def _remove(self, path):
        os.remove(self.root + path)

    def _size(self, path):
        try:
            info = os.stat(self.root + path)
        except OSError as e:
            if e.errno != 2 and e.errno != 20:  # ENOENT, ENOTDIR
                raise
            return None
        return None if info[0] & 0x4000 else info[6]

    def _list(self, folder):
        return os.listdir(self.root + folder or ".")

    def _mkdir(self, path):
        os.mkdir(self.root + path)

    def _free(self):
        info = os.statvfs(self.root or ".")
        # On a full littlefs the count of free blocks goes below zero, and wraps.
        return info[0] * info[3] if 0 <= info[3] <= info[2] else 0


def suitable(root):
    """The storage for the file system that the folder `root` is on."""
    try:
        entries = list(os.ilistdir(root or "."))
    except AttributeError:  # CPython
        entries = [(name, 0, 0, 0) for name in os.listdir(root or ".")]
    for entry in entries:
        other = entry[0].upper()
        # What has no size is mounted there: another file system.
        if entry[3:] and other not in [e[0] for e in entries]:
            try:
                os.stat(root + other)
            except OSError:
                break
            from .flash import FlashStorage  # names fold case: FAT

            return FlashStorage(root)
    from .littlefs import LittlefsStorage

    return LittlefsStorage(root)


def begin(*steps):
    # The run before ends, and `steps` are the one that has files and a connection open.
    # MicroPython runs no `finally` of a generator that is dropped: a later collection would close
    # its file, and littlefs put the short content over what another run has verified since.
    for old in _running:
        try:
            old.close()
        except (OSError, OtaError):
            pass  # what it had open is closed all the same
    _running[:] = steps
    gc.collect()  # and so is what an error has left


def guarded(steps):
    """Go through the generator `steps` as the only run; no garbage lies in the way of code that is loaded later."""
    threshold = getattr(gc, "threshold", int)  # CPython has neither, and int() does nothing
    try:
        with ours:
            begin(steps)
            # In a large heap there is room for more of it, and a collection takes longer.
            most = max(1024, getattr(gc, "mem_free", int)() // 16)
        while True:
            before = threshold()
            try:
                with ours:
                    threshold(most)
                    step = next(steps)
            finally:
                threshold(before)
            yield step
    except StopIteration:
        if steps not in _running:
            raise OtaError("ended: another update has begun")
    finally:
        with ours:
            steps.close()
        if steps in _running:
            del _running[:]


def all_of(steps):
    try:
        for _ in steps:
            pass
    finally:
        steps.close()
