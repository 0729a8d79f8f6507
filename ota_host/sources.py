"""The files of a release: collected from a folder by globs, every path and content checked before anything is used."""

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pathspec

from ota.errors import ManifestError
from ota.manifest import check_path

from . import content
from .config import Config
from .errors import ConfigError, HostError, OutsideError
from .excludes import ALWAYS, ENVIRONMENT
from .ignored import Ignored

# What an update puts beside a file: the new content, the old one, and what was in the way, numbered when there is more.
_RESERVED = re.compile(r"\.ota-(?:new|old|aside\d*)(?=/|$)", re.IGNORECASE)
# What FAT refuses in a name, beside what no path may have; tried on MicroPython's.
_NOT_ON_FAT = re.compile(r'["*<>?|]')
_SHOWN = 5  # names in a message
_LEAVE_OUT = "leave it out with `exclude`"


@dataclass
class Collected:
    """The `files` of a project, path on the board -> content (bytes), sorted as a manifest is, and `warnings` about them."""

    files: dict[str, bytes]
    warnings: list[str] = field(default_factory=list)


def collect(config: Config) -> Collected:
    """Read the files of a project.

    Args:
        config: its settings.

    Raises:
        ConfigError: no such folder, a bad glob, or globs that leave nothing.
        HostError: a path that a board could not hold, a link that leads out of the folder, or a content that no board
            should get, naming the path and the rule.
        OutsideError: a file cannot be read.
    """
    search = Search(config)
    files = {}
    for path, name in search.found():
        check(path)
        try:
            files[path] = Path(name).read_bytes()
        except OSError as e:
            raise OutsideError(f"{name}: cannot be read: {e.strerror}") from None
        content.check(path, files[path])
    if not files:
        ignored = f"; git ignores {some(search.ignored)}" if search.ignored else ""
        raise ConfigError(f"source = {config.source!r}: the globs leave no file of {config.source_folder}{ignored}")
    check_tree(files)
    return Collected({path: files[path] for path in sorted(files)}, search.warnings())


def check(path: str) -> None:
    """Check that a board may hold `path`; raises HostError."""
    try:
        check_path(path)
    except UnicodeEncodeError:
        raise HostError(f"path {path!r}: its name is not UTF-8") from None
    except ManifestError as e:
        raise HostError(f"{e} (leave it out with `exclude`, or rename it)") from None
    reserved = _RESERVED.search(path)
    if reserved:
        raise HostError(
            f"path {path!r}: a name that ends in {reserved[0]} is for what boards put beside their files "
            "(leave it out with `exclude`, or rename it)"
        )


def check_tree(paths: Collection[str]) -> None:
    """Refuse paths of one release that cannot lie beside one another.

    Raises:
        HostError: one is below another, or FAT, where names fold case, takes two for one; naming both.
    """
    names = set(paths)
    for path in sorted(paths):
        for i in range(1, path.count("/") + 1):
            above = path.rsplit("/", i)[0]
            if above in names:
                raise HostError(f"paths {above!r} and {path!r}: the first would be a file and a folder; rename one of them")
    check_case(paths)


def check_case(paths: Iterable[str]) -> None:
    """Refuse paths that FAT, where names fold case, takes for the same file or folder.

    Raises:
        HostError: naming both.
    """
    seen: dict[str, str] = {}
    for path in sorted(paths):
        parts = path.split("/")
        for i in range(1, len(parts) + 1):
            part = "/".join(parts[:i])
            other = seen.setdefault(part.casefold(), part)
            if other != part:
                raise HostError(f"paths {other!r} and {part!r} differ only in case: FAT takes them for one")


def not_on_fat(paths: Iterable[str]) -> list[str]:
    """A line for the paths that boards with FAT cannot hold, and so never install."""
    bad = [path for path in sorted(paths) if _NOT_ON_FAT.search(path)]
    if not bad:
        return []
    return [
        (
            f'{some(bad)}: FAT allows none of " * < > ? | in a name, so boards with FAT would refuse the release; '
            "rename the file, unless all your boards have littlefs"
        )
    ]


def some(names: list[str]) -> str:
    """At most five of the names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def is_served(folder: Path) -> bool:
    """Whether a folder looks like the tree of a project, as `ota publish` writes it."""
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries}
    return not names or bool(names & {"blobs", "releases", "tuf", ".lock"}) or any(n.endswith(".manifest") for n in names)


def foreign(destination: Path) -> list[str]:
    """What lies in a destination beside the trees of projects; hidden files do not count.

    Raises:
        OutsideError: it cannot be read.
    """
    entries = _entries(destination) if destination.is_dir() else []
    found = [e for e in entries if not e.name.startswith(".")]
    return [e.name for e in found if not e.is_dir() or not is_served(Path(e.path))]


def spec(key: str, patterns: list[str]) -> pathspec.GitIgnoreSpec:
    """The globs of the key of ota.toml; raises ConfigError."""
    try:
        return pathspec.GitIgnoreSpec.from_lines(patterns)
    except (ValueError, re.error) as e:
        raise ConfigError(f"{key} = {patterns!r}: {e}") from None


class Search:
    """The search for the files of a project; `ignored` and `empty` are what it came by on the way.

    Args:
        config: the settings of the project.

    Raises:
        ConfigError: no such folder, or a bad glob.
    """

    def __init__(self, config: Config) -> None:
        self._source = config.source_folder
        if not self._source.is_dir():
            raise ConfigError(f"source = {config.source!r}: {self._source} is not a folder")
        self._include = spec("include", config.include)
        self._exclude = spec("exclude", ALWAYS + config.exclude)
        self._real = os.path.realpath(self._source)
        self._git = Ignored(Path(self._real), Path(os.path.realpath(config.folder)))
        # The destination is no source, whether it lies in the source folder or is it.
        self._served = {os.path.realpath(config.root), os.path.realpath(config.tree)} - {self._real}
        self._destination = config.root
        self.ignored: list[str] = []
        self.empty: list[str] = []

    def found(self) -> Iterator[tuple[str, str]]:
        """Gives (path on the board, name on the PC) of every file.

        Raises:
            HostError: a link that leads nowhere or out of the source folder, or what is neither file nor folder.
            OutsideError: a folder cannot be read.
        """
        return self._walk(str(self._source), "", (self._real,))

    def takes(self, path: str) -> bool:
        """Whether a file of that path would be in the release, where there is one."""
        parts = path.split("/")
        above = ("/".join(parts[:i]) for i in range(1, len(parts)))
        is_out = any(self._excluded(folder, True) for folder in above) or self._excluded(path, False)
        return not is_out and self._include.match_file(path)

    def warnings(self) -> list[str]:
        """A line for each kind of what was left out and may be missed."""
        lines = []
        if self.ignored:
            lines.append(
                f'left out because git ignores it: {some(self.ignored)}; to publish one, put "!/{self.ignored[0]}" into '
                "`exclude` in ota.toml"
            )
        if self.empty:
            lines.append(
                f"{some(self.empty)}: an empty folder, and a release has files only; for a submodule run "
                "`git submodule update --init --recursive`, else leave it out with `exclude`"
            )
        root = os.path.realpath(self._destination)
        if root in self._served and Path(root).is_relative_to(self._real):
            name = Path(root).relative_to(self._real).as_posix()
            others = [f"{name}/{other}" for other in foreign(Path(root))]
            if others:
                lines.append(
                    f"{some(others)}: not published, because releases are served from {name}/; choose another "
                    "`destination` in ota.toml"
                )
        return lines

    def _walk(self, folder: str, prefix: str, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        # `above`: the real folders on the way here, against loops of links.
        entries = _entries(folder)
        if prefix and any(entry.name == ENVIRONMENT for entry in entries):
            return
        if prefix and not entries and self._include.match_file(prefix):
            self.empty.append(prefix)
        self._git.enter(prefix, folder)
        for entry in entries:
            path = prefix + entry.name
            is_folder = os.path.isdir(entry.path)
            real = os.path.realpath(entry.path) if is_folder or entry.is_symlink() else ""
            if real in self._served or self._leaves_out(path, is_folder):
                continue
            if is_folder:
                self._check_link(path, entry, real)
                if real not in above:
                    yield from self._walk(entry.path, path + "/", (*above, real))
            elif self._include.match_file(path) and not self._excluded(path, bool(real) and not os.path.exists(real)):
                if real:
                    self._check_link(path, entry, real)
                if not stat.S_ISREG(os.stat(entry.path).st_mode):
                    raise HostError(f"path {path!r}: is neither a file nor a folder ({_LEAVE_OUT})")
                yield path, entry.path

    def _leaves_out(self, path: str, is_folder: bool) -> bool:
        if self._excluded(path, is_folder):
            return True
        if not self._is_ignored(path, is_folder):
            return False
        name = path + "/" if is_folder else path
        if self._include.match_file(name):
            self.ignored.append(name)
        return True

    def _excluded(self, path: str, is_folder: bool) -> bool:
        return bool(self._exclude.check_file(path + "/" if is_folder else path).include)

    def _is_ignored(self, path: str, is_folder: bool) -> bool:
        taken_back = self._exclude.check_file(path + "/" if is_folder else path).include is False
        return not taken_back and self._git(path, is_folder)

    def _check_link(self, path: str, entry: os.DirEntry[str], real: str) -> None:
        if Path(real).is_relative_to(self._real) and os.path.exists(real):
            return
        to = os.readlink(entry.path) if entry.is_symlink() else real
        if not os.path.exists(entry.path):
            raise HostError(
                f"path {path!r}: is a link to {to}, which does not exist; restore it (for a submodule: "
                f"`git submodule update --init --recursive`), or {_LEAVE_OUT}"
            )
        raise HostError(
            f"path {path!r}: is a link to {to}, outside of the source folder; copy what it leads to into the source "
            f"folder, or {_LEAVE_OUT}"
        )


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda e: e.name)
    except OSError as e:
        raise OutsideError(f"{folder}: cannot be read: {e.strerror}") from None
