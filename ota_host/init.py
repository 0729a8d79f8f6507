"""`ota init`: writes an ota.toml that says what it does."""

import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from .config import NAME, PLAIN, is_plain
from .errors import ConfigError, OutsideError
from .excludes import BESIDE
from .sources import foreign

DESTINATION = "public"
_TEXT = """\
# What `ota publish` takes, and where it puts it. Every key: docs/reference/cli.md
project = {project}
source = {source}              # the folder that mirrors the board's root
include = ["*"]                # as in .gitignore; hidden files, caches and what git ignores stay out by themselves
exclude = {exclude}
destination = {destination}    # the folder that the web server serves; the release goes to {destination_plain}/{project_plain}/
channel = {channel}
legacy = {legacy}              # "prefix" or "subdir": also the layout of micropython_ota, for its devices
# compile = true                # ship .mpy files, which need less RAM on the board
# compile_exclude = ["/apps/*.py"]    # sources that `compile` leaves as they are
# keep = ["settings.json", "data/"]    # belongs to the board once it exists: updates leave it alone
# key = ["~/keys/{project_plain}.key"]    # signs every release; `ota keygen` makes one, outside of this folder
# keys = ["RS256:..."]          # what the boards trust, as `ota keygen` prints it; nothing else is published
"""


def defaults(folder: Path) -> dict[str, str]:
    """What a folder (Path) suggests: a dict of the answers that `write` takes."""
    project = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.absolute().name).strip("-.") or "project"
    source = "src" if (folder / "src").is_dir() else "."
    return {"project": project, "source": source, "destination": _destination(folder), "channel": "stable", "legacy": "none"}


def _destination(folder: Path) -> str:
    # A folder that others use, such as for the pages of a web site, is not ours to publish into.
    names = itertools.chain([DESTINATION, f"ota-{DESTINATION}"], (f"ota-{DESTINATION}-{i}" for i in itertools.count(2)))
    return next(name for name in names if not os.path.lexists(folder / name) or _is_free(folder / name))


def _is_free(path: Path) -> bool:
    return path.is_dir() and not foreign(path)


def _patterns(groups: Iterable[tuple[str, list[str]]]) -> str:
    # One line for each kind, so that it is easy to change.
    return "[\n" + "".join(f"    {json.dumps(globs)[1:-1]},  # {what}\n" for what, globs in groups) + "]"


def write(folder: Path, answers: Mapping[str, str], force: bool = False) -> Path:
    """Write ota.toml.

    Args:
        folder (Path): where.
        answers (dict): project, source, destination, channel, legacy.
        force (bool): replace one that is there.

    Returns:
        Path: the file.

    Raises:
        ConfigError: the file already exists, or an answer is not allowed.
        OutsideError: it cannot be written.
    """
    path = folder / NAME
    for key in ("project", "channel"):
        if not is_plain(answers[key]):
            raise ConfigError(f"{key} = {answers[key]!r}: {PLAIN}")
    # What lies beside the sources when they lie in the project's own folder.
    exclude = _patterns(BESIDE) if answers["source"] == "." else "[]"
    quoted = {key: json.dumps(value) for key, value in answers.items()}
    text = _TEXT.format(
        exclude=exclude,
        destination_plain=answers["destination"],
        project_plain=answers["project"],
        **quoted,
    )
    text = re.sub(r" {2,}#", "  #", text)
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
    except FileExistsError:
        raise ConfigError(f"{path}: already exists; use --force to overwrite it") from None
    except OSError as e:
        raise OutsideError(f"{path}: cannot be written: {e.strerror}") from None
    return Path(path)
