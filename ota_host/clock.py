"""Whether the PC's clock can be right: a signed release keeps the time at which it was made, and boards go by it.

A board whose clock is not set takes the highest signed time that it has seen for the time that it is. One release
that is signed far in the future would make it refuse every release that expires before then, and one that is signed
in the past would expire too early. The clock is judged by what else is known on the PC:

- the `time` of the channel's manifest: no release is signed before the one that it follows;
- when the sources were last changed: the time of the commit, which another PC's clock may have made, and of the
  files that differ from it, or of all where there is no git. A release is made of something that was changed not
  long ago.

A clock that is a few months ahead passes, and so does one that was just as wrong when the sources were edited: no
file on a PC says how late it really is.
"""

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from . import git
from .errors import HostError
from .tree import Manifest

# Seconds since 1970, and what says so.
Witness = tuple[int, str]

DAY = 86400  # seconds
# Archives and file servers put times of other zones on files, and two PCs may differ by one.
_EARLY = 2 * DAY
# From the last change of the sources to their publication. A release that is tried for a season is published by then.
_LATE = 180 * DAY
# From one signed manifest of a channel to the next, whatever the sources say.
_PAUSE = 5 * 365 * DAY


def witness(folder: Path, paths: Iterable[str]) -> Witness:
    """When the sources of a release were last changed, as far as something else than the clock of now says it.

    Args:
        folder (Path): the source folder. paths (collection of str): of its files.

    Returns:
        tuple: seconds since 1970, and what says so (str).
    """
    committed = git.run(folder, "log", "-1", "--format=%ct", "--", ".")
    if committed:
        edited = _differing(folder)
        paths = [path for path in paths if path in edited]
    times = [(int((folder / path).stat().st_mtime), f"{folder / path} was changed") for path in paths]
    if committed:
        times.append((int(committed), f"the last commit in {folder} was made"))
    return max(times)


def _differing(folder: Path) -> set[str]:
    # The paths below `folder` that differ from the commit.
    prefix = (git.run(folder, "rev-parse", "--show-prefix") or "").rstrip("\n")
    listed = git.run(folder, "status", "--porcelain", "--no-renames", "--untracked-files=all", "-z", "--", ".") or ""
    return {line[3 + len(prefix) :] for line in listed.split("\0")}


def check(now: int, head: Manifest | None, channel: str, witness: Witness | None = None) -> list[str]:
    """Refuse a clock that cannot be right.

    Args:
        now (int): the time that a manifest would be signed with, seconds since 1970.
        head (Manifest): what `channel` (str) has now, or None.
        witness (tuple): as of `witness`, or None.

    Returns:
        list of str: what may surprise.

    Raises:
        HostError: naming both times.
    """
    last = head.header.get("time", 0) if head else 0
    signed = head and f"when {head.version} on {channel} was signed"
    if now < last:
        _refuse(now, f"before {_date(last)}, {signed}")
    if last and now - last > _PAUSE:
        _refuse(now, f"more than {_PAUSE // (365 * DAY)} years after {_date(last)}, {signed}")
    if witness:
        changed, what = witness
        if now - max(changed, last) > _LATE:
            _refuse(now, f"more than {_LATE // DAY} days after {_date(changed)}, when {what}")
        if now < changed - _EARLY:
            return [f"the clock of this PC says {_date(now)}, which is before {_date(changed)}, when {what}"]
    return []


def check_draft(time: int, now: int, name: Path) -> None:
    """Refuse a draft whose PC and this one disagree.

    Args:
        time, now (int): of the draft, and of this PC's clock, seconds since 1970.
        name (Path): of the draft.

    Raises:
        HostError: naming both times.
    """
    if time > now + _EARLY:
        _refuse(now, f"before {_date(time)}, when the draft {name} was made")


def _refuse(now: int, why: str) -> NoReturn:
    raise HostError(
        f"the clock of this PC says {_date(now)}, which is {why}: boards keep the time of a signed release, and a "
        "wrong one makes them refuse good releases; set the clock, or, if it is right, add --trust-clock"
    )


def _date(seconds: int) -> str:
    # Not by the platform's functions, which know no year after 9999 or before 1970.
    try:
        when = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds} seconds after 1970"
    return when.strftime("%Y-%m-%d %H:%M UTC")
