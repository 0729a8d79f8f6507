"""littlefs, the file system of most boards: a rename over a file is one atomic commit."""

import os

from . import Storage


class LittlefsStorage(Storage):
    """A folder on littlefs, where `replace` is atomic."""

    def listed(self, folder):
        # A folder that is not there yet has nothing.
        path = self.root + folder
        try:
            return os.ilistdir((path[:-1] if len(path) > 1 else path) or ".")
        except (OSError, AttributeError):  # CPython has no such function
            return iter(())
