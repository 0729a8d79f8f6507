"""FAT and file systems that nobody knows: a rename over a file may be two steps."""

from ..builtin import own
from ..bootguard import OLD, exists
from . import Storage

os = own("os")


class FlashStorage(Storage):
    """A folder on FAT. `replace` keeps the old file until the new one is in its place.

    A cut in between leaves it beside its name, and the next look at the name brings it back.
    """

    def _replace(self, src, dst):
        to = self.root + dst
        if self._size(dst) is not None:
            if exists(to + OLD):
                os.remove(to + OLD)
            os.rename(to, to + OLD)
        os.rename(self.root + src, to)
        if exists(to + OLD):
            os.remove(to + OLD)

    def _open(self, path, mode):
        self._size(path)
        return open(self.root + path, mode)

    def _size(self, path):
        size = super()._size(path)
        if size is None and not path.endswith(OLD) and exists(self.root + path + OLD) == 1 and not exists(self.root + path):
            os.rename(self.root + path + OLD, self.root + path)
            size = super()._size(path)
        return size
