"""What `import` finds on a board: the whole library or something else, and names that hide MicroPython's own modules.

A board looks in its root folder first, then in the firmware, then in `lib/`. In each it takes a folder
`x`, with or without `__init__.py`, before `x.py`, and that before `x.mpy`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from . import library
from .bootcheck import VITAL_FOLDERS, relative_imports
from .errors import HostError

# What the next boot of a board loads from the library. `ota/` looks for the same names before it installs.
NEEDED = ("__init__", "bootguard")
ENDS = (".py", ".mpy")
# What `ota.confirm` and an update load: the table in `ota/names` says where they are.
_TABLE = {b"updater Updater": "updater", b"core Updater": "core", b"trial confirm": "trial"}

# MicroPython's modules that a file or folder of the board hides: those in C that a port lets be extended,
# and those in Python that boards with a network have in their firmware.
BUILT_IN = frozenset(
    "array asyncio binascii bluetooth collections cryptolib errno hashlib heapq io json machine os platform "
    "random re select socket ssl struct time uasyncio websocket".split()
)


def has_library(paths: Iterable[str]) -> bool:
    """Whether a release with these paths brings the library, or a part of it."""
    return any(path.startswith(VITAL_FOLDERS) for path in paths)


def in_folder(paths: Iterable[str], folder: str) -> list[str]:
    """Those of `paths` that lie in `folder`, which ends in `/`, as FAT sees it: case does not count."""
    return [path for path in paths if path.lower().startswith(folder)]


def stem(path: str) -> str:
    """A module's path without its `.py` or `.mpy`; empty for a file that is no module."""
    return next((path[: -len(end)] for end in ENDS if path.endswith(end)), "")


def missing(paths: Iterable[str], folder: str) -> list[str]:
    """The modules that the next boot needs from the package in `folder` and does not find there (list of str)."""
    there = {stem(path) for path in paths}
    return [folder + name for name in NEEDED if folder + name not in there]


def check_library(paths: Collection[str], is_frozen: bool = False) -> None:
    """Refuse a release after which `import ota` would not give the library.

    Args:
        paths (collection of str): the paths on the board.
        is_frozen (bool): boards have the library in their firmware.

    Raises:
        HostError: an `ota.py`, another package `ota`, half a library, or one that hides that of the firmware.
    """
    for path in paths:
        if stem(path.lower()) in ("ota", "lib/ota") or path.lower() == "lib/ota":
            raise HostError(
                f"{path}: boards would take it for the update library when they import `ota`, and could never "
                "install or undo a release again; rename it, or leave it out with `exclude`"
            )
    for folder in VITAL_FOLDERS:
        found = in_folder(paths, folder)
        if not found:
            continue
        if is_frozen:
            raise HostError(
                f'{found[0]}: ota.toml says library = "frozen", and {folder} would hide the library in the '
                "firmware, or never be used; leave it out, or remove `library` from ota.toml"
            )
        lacks = missing(paths, folder)
        if lacks:
            raise HostError(
                f"{found[0]}: boards import the update library from {folder}, and this release has no "
                f"{' and no '.join(f'{name}.py or .mpy' for name in lacks)}: they could never install or undo a "
                "release again; rename a package of your own, or bring all of the library: `ota library` writes it"
            )


def check_whole(files: Mapping[str, bytes]) -> None:
    """Refuse a library that has only some of the modules that it imports.

    Args:
        files (dict): path on the board -> content (bytes).

    Raises:
        HostError: naming the module and who imports it.
    """
    for folder in VITAL_FOLDERS:
        there = {stem(path)[len(folder) :]: path for path in sorted(files, reverse=True) if path.startswith(folder)}
        todo = [name for name in NEEDED if name in there]
        seen = set(todo)
        while todo:
            path = there[todo.pop()]
            for name in _loads(path, files[path], folder):
                found = next((n for n in (name, f"{name}/__init__") if n in there), None)
                if not found:
                    raise HostError(
                        f"{path} imports {folder}{name}.py, and the release does not have it: the library would fail "
                        "on every board; bring all of it: `ota library` writes it"
                    )
                if found not in seen:
                    seen.add(found)
                    todo.append(found)


def _loads(path: str, data: bytes, folder: str) -> Iterator[str]:
    # The modules of the library, as paths below `folder` without an end, that one of them loads.
    name = stem(path)[len(folder) :]
    if name == "names":
        yield from (home for text, home in _TABLE.items() if text in data)
    if path.endswith(".py"):
        yield from relative_imports(path, data, name)
        return
    # Bytecode does not say what is relative: by the source of this version, as far as the names are in it.
    for found in relative_imports(path, library.source(name), name):
        if re.search(rb"\b%s\b" % found.rpartition("/")[2].encode(), data):
            yield found


def hiding(paths: Iterable[str]) -> list[str]:
    """A line (str) for each module of MicroPython that a file or folder of the release may hide."""
    first: dict[tuple[str, bool], tuple[str, str]] = {}
    for path in sorted(paths):
        rest = path.removeprefix("lib/")
        name = rest.split("/")[0] if "/" in rest else stem(rest)
        if name in BUILT_IN:
            first.setdefault((path[: -len(rest)] + name, "/" in rest), (path, name))
    return [
        f"{path}: on a board {f'the folder {place}/' if is_folder else path} hides MicroPython's own module {name}, "
        f"for your code and every library but ota; rename it, unless it is there to replace {name}"
        for (place, is_folder), (path, name) in first.items()
    ]


def check_moved(old: Collection[str], new: Collection[str], channel: str, version: str) -> None:
    """Refuse a release that has the library in the other folder.

    Where `ota/` stands beside `lib/ota/`, whole or not, `import ota` gives what is in `ota/`: from the first
    file that is staged there on, and until the last one is gone.

    Args:
        old, new (collection of str): the paths of what `channel` has now, of `version`, and of the release.

    Raises:
        HostError: naming both folders.
    """
    was, now = ({folder for folder in VITAL_FOLDERS if in_folder(paths, folder)} for paths in (old, new))
    if was and now and was != now:
        raise HostError(
            f"{version} on {channel} has the library in {' and '.join(sorted(was))}, this release in "
            f"{' and '.join(sorted(now))}: a board would import `ota` from a folder that is not whole while the "
            f"files come and go; keep it in {' and '.join(sorted(was))}"
        )
