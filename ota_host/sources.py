"""The files of a release: collected from a folder by globs, every path checked before anything is used."""

import os
import re
import stat

import pathspec

from ota.errors import ManifestError
from ota.manifest import check_path

from .errors import ConfigError, HostError, OutsideError

# Left out unless `exclude` takes it back with a `!`. Hidden names cover .git, .venv, .ota and the like.
ALWAYS = [".*", "__pycache__/", "*.py[co]", "ota.toml"]
# What an update puts beside a file: the new content, the old one, and what was in the way, numbered when there is more.
_RESERVED = re.compile(r"\.ota-(?:new|old|aside\d*)(?=/|$)", re.IGNORECASE)


def collect(config):
    """Read the files of a project.

    Args:
        config (Config): its settings.

    Returns:
        dict: path on the board -> content (bytes), sorted as a manifest is.

    Raises:
        ConfigError: no such folder, a bad glob, or globs that leave nothing.
        HostError: a path that a board could not hold, naming the path and the rule.
        OutsideError: a file cannot be read.
    """
    source = config.source_folder
    if not source.is_dir():
        raise ConfigError(f"source = {config.source!r}: {source} is no folder")
    include = _spec("include", config.include)
    exclude = _spec("exclude", ALWAYS + config.exclude)
    files = {}
    for path, entry in _walk(source, "", exclude, (os.path.realpath(source), os.path.realpath(config.root))):
        if include.match_file(path):
            check(path)
            try:
                with open(entry.path, "rb") as f:
                    files[path] = f.read()
            except OSError as e:
                raise OutsideError(f"{entry.path}: cannot be read: {e.strerror}") from None
    if not files:
        raise ConfigError(f"source = {config.source!r}: the globs leave no file of {source}")
    check_tree(files)
    return {path: files[path] for path in sorted(files)}


def check(path):
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


def check_tree(paths):
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


def check_case(paths):
    """Refuse paths that FAT, where names fold case, takes for the same file or folder.

    Raises:
        HostError: naming both.
    """
    seen = {}
    for path in sorted(paths):
        parts = path.split("/")
        for i in range(1, len(parts) + 1):
            part = "/".join(parts[:i])
            other = seen.setdefault(part.casefold(), part)
            if other != part:
                raise HostError(f"paths {other!r} and {part!r} differ only in case: FAT takes them for one")


def _spec(key, patterns):
    try:
        return pathspec.GitIgnoreSpec.from_lines(patterns)
    except ValueError as e:
        raise ConfigError(f"{key} = {patterns!r}: {e}") from None


def _walk(folder, prefix, exclude, above):
    # `above`: the real folders on the way here, against loops of links, and the destination.
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda e: e.name)
    except OSError as e:
        raise OutsideError(f"{folder}: cannot be read: {e.strerror}") from None
    for entry in entries:
        path = prefix + entry.name
        is_folder = entry.is_dir()
        if exclude.match_file(path + "/" if is_folder else path):
            continue
        if is_folder:
            real = os.path.realpath(entry.path)
            if real not in above:
                yield from _walk(entry.path, path + "/", exclude, (*above, real))
        elif _is_file(entry):
            yield path, entry
        else:
            raise HostError(f"path {path!r}: is no file (leave it out with `exclude`)")


def _is_file(entry):
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # a link to nowhere
        return False
