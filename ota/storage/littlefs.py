"""littlefs, the file system of most boards: a rename over a file is one atomic commit."""

from ..builtin import own
from . import Storage

os = own("os")


class LittlefsStorage(Storage):
    """A folder on littlefs, where `replace` is atomic."""

    small = 128

    def ilistdir(self, folder):
        try:
            return os.ilistdir((self.root + folder)[:-1] or self.root or ".")
        except (OSError, AttributeError):  # it is not there; CPython has no such function
            return iter(())
