"""Questions to git about a folder; every answer is None where there is no git, no repository, or no answer."""

import os
import subprocess
from pathlib import Path

_WAIT = 60  # seconds


def run(folder: Path, *words: str) -> str | None:
    """The output of a git command in `folder`, None when it fails; file names as `os.fsdecode` gives them."""
    command = ["git", "--no-optional-locks", "-C", os.fspath(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_WAIT, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None


def tracked(folder: Path) -> set[str]:
    """The files below `folder` that are in the index, those of submodules too, relative to it."""
    listed = run(folder, "ls-files", "-z", "--recurse-submodules") or run(folder, "ls-files", "-z") or ""
    return set(filter(None, listed.split("\0")))


def wanted(folder: Path) -> set[str] | None:
    """The files below `folder` that git does not ignore, tracked or not; None outside of a repository.

    A submodule, another repository and a link to a folder are one entry. The user's own list of ignored files does not
    count, and None is the answer as well when git ignores the folder itself.
    """
    # From the folder above, because git takes a trailing slash for the name of what is in it.
    if (run(folder, "rev-parse", "--show-prefix") or "").strip() and run(
        folder.parent, "check-ignore", "-q", folder.name
    ) is not None:
        return None
    listed = run(folder, "-c", "core.excludesFile=", "ls-files", "-z", "-c", "-o", "--exclude-standard")
    return None if listed is None else {path.rstrip("/") for path in listed.split("\0") if path}


def tags(folder: Path) -> list[str]:
    """The tags on the commit that is checked out."""
    return (run(folder, "tag", "--points-at", "HEAD") or "").split()


def differing(folder: Path) -> set[str] | None:
    """The files below `folder` that differ from the commit, relative to it: changed, deleted and untracked ones.

    A submodule that differs is named as a whole.
    """
    prefix = run(folder, "rev-parse", "--show-prefix")
    listed = run(folder, "status", "--porcelain", "--no-renames", "--untracked-files=all", "-z", "--", ".")
    if prefix is None or listed is None:
        return None
    return {line[3 + len(prefix.rstrip("\n")) :].rstrip("/") for line in listed.split("\0") if line}
