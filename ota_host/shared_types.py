"""Types that several modules share: what a manifest holds, and callables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

# Called with (what is being done, how many are done, of how many).
Progress = Callable[[str, int, int], object]


class Requires(TypedDict, total=False):
    """What a board must be to install a release."""

    platform: list[str]
    mpy: int
    arch: list[int]


class Rollout(TypedDict):
    """The share of the boards that get a release."""

    percent: float
    salt: str


class Header(TypedDict, total=False):
    """The first line of a manifest; `ota`, `project`, `version`, `seq`, `files` and `size` are always there."""

    ota: int
    project: str
    channel: str
    version: str
    seq: int
    time: int
    expires: int
    files: int
    size: int
    crc: str
    requires: Requires
    keep: list[str]
    rollout: Rollout


class _Always(TypedDict):
    p: str
    s: int
    h: str


class Entry(_Always, total=False):
    """A file line of a manifest: path, size and SHA-256 (hex); see docs/reference/formats.md for the rest."""

    c: int
    z: int
    m: str
    d: dict[str, int]


class Request(TypedDict):
    """One request to the server, for its log."""

    client: str
    agent: str
    method: str
    path: str
    status: int
    bytes: int
    ms: float
