"""What git leaves out: .gitignore files, in a repository or not, and `.git/info/exclude`.

In a repository git itself is asked. Elsewhere, as in git, the nearest .gitignore decides, a `!` takes back, and a file that is tracked is never left out.
The user's own list (`core.excludesFile`) does not count: a release must not depend on whose PC publishes it.
"""

import os
import re
from pathlib import Path

import pathspec

from . import git
from .errors import OutsideError

NAME = ".gitignore"


class Ignored:
    """The rules for a source folder.

    Args:
        source: the folder.
        project: where a project without a repository begins.

    Raises:
        OutsideError: a .gitignore cannot be read.
    """

    def __init__(self, source: Path, project: Path) -> None:
        self._inner: dict[str, pathspec.GitIgnoreSpec] = {}
        self._outer: list[tuple[str, pathspec.GitIgnoreSpec]] = []  # (path from there to the source, rules), nearest last
        self._entries = git.wanted(source)
        self._wanted = _with_folders(self._entries or set())
        tracked = git.tracked(source)
        self._kept = _with_folders(tracked)
        top = _top(source, project)
        above = git.run(source, "rev-parse", "--git-path", "info/exclude")
        self._add_outer(source / above.rstrip("\n") if above else top / ".git/info/exclude", top, source)
        for folder in [p for p in reversed(source.parents) if p.is_relative_to(top)]:
            self._add_outer(folder / NAME, folder, source)
            if self._is_out("", self._outer):
                # The source folder itself is ignored, as that of a build is; it was named all the same.
                self._outer = []
                break

    def enter(self, prefix: str, folder: str) -> None:
        """Read the .gitignore of a folder; `prefix` is its path below the source, with a `/` at its end."""
        rules = _read(Path(folder) / NAME)
        if rules:
            self._inner[prefix] = rules

    def __call__(self, path: str, is_folder: bool) -> bool:
        """Whether git leaves out `path`, relative to the source; every folder above it has been entered."""
        if path in self._kept:
            return False
        # What is below a submodule, another repository or a link is not listed by itself: its own rules decide.
        if self._entries is not None and self._entries.isdisjoint(_folders(path)):
            return path not in self._wanted
        name = path + "/" if is_folder else path
        for prefix in [*(folder + "/" for folder in _folders(path)), ""]:
            rules = self._inner.get(prefix)
            verdict = rules.check_file(name[len(prefix) :]).include if rules else None
            if verdict is not None:
                return verdict
        return self._is_out(name, self._outer)

    def _add_outer(self, file: Path, base: Path, source: Path) -> None:
        rules = _read(file)
        if rules:
            lead = source.relative_to(base).as_posix() + "/"
            self._outer.append(("" if lead == "./" else lead, rules))

    @staticmethod
    def _is_out(name: str, rules: list[tuple[str, pathspec.GitIgnoreSpec]]) -> bool:
        for lead, spec in reversed(rules):
            verdict = spec.check_file(lead + name).include if lead + name else None
            if verdict is not None:
                return verdict
        return False


def _with_folders(paths: set[str]) -> set[str]:
    return paths | {folder for path in paths for folder in _folders(path)}


def _folders(path: str) -> list[str]:
    # Every folder above a path, the nearest first.
    parts = path.split("/")[:-1]
    return ["/".join(parts[:i]) for i in range(len(parts), 0, -1)]


def _top(source: Path, project: Path) -> Path:
    for folder in (source, *source.parents):
        if (folder / ".git").exists():
            return folder
    return project if source.is_relative_to(project) else source


def _read(file: Path) -> pathspec.GitIgnoreSpec | None:
    try:
        # git skips a byte order mark too.
        text = os.fsdecode(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as e:
        raise OutsideError(f"{file}: cannot be read: {e.strerror}") from None
    return pathspec.GitIgnoreSpec.from_lines(filter(_is_pattern, text.split("\n")))


def _is_pattern(line: str) -> bool:
    # Like git, ignore a line that is not valid.
    try:
        pathspec.GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return True
