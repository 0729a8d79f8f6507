"""littlefs, the file system of most boards: a rename over a file is one atomic commit."""

from . import Storage


class LittlefsStorage(Storage):
    """A folder on littlefs, where `replace` is atomic."""
