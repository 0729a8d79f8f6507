"""The layout of micropython_ota on a server: a file `version`, and the files under a name with the version in it."""

from pathlib import Path

from .errors import ConfigError

_JOIN = {"prefix": "_", "subdir": "/"}
LAYOUTS = tuple(_JOIN)


def name(layout: str, version: str, path: str) -> str:
    """The name on the server of one file of a release."""
    if layout not in _JOIN:
        raise ConfigError(f"legacy = {layout!r}: must be none, prefix or subdir")
    return version + _JOIN[layout] + path


def layout_of(folder: Path, version: str) -> str:
    """`prefix` or `subdir`, as the files of `version` lie in `folder` (Path); empty for neither."""
    if (folder / version).is_dir():
        return "subdir"
    return "prefix" if any(p.name.startswith(version + "_") for p in folder.iterdir()) else ""
