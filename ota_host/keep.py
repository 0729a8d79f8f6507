"""`keep`: files and folders that belong to the board once they exist, in ota.toml and in a manifest's header."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ota.errors import ManifestError
from ota.manifest import LINE, check_path

from .errors import HostError
from .shared_types import Header

if TYPE_CHECKING:
    from .tree import Manifest

ALLOWED = 'must be a list of paths on the board, such as "settings.json" or "data/", without wildcards'
_WILD = set("*?[")

OLDER = (
    "keep: a board with an older library ignores it and overwrites these files; until its library is updated, pass "
    "the same keep= to its Updater"
)


def plain(path: str) -> str:
    """A path of `keep` as a manifest has it: without `/` or `./` in front, and without `/` or `/*` at the end.

    Raises:
        ValueError: no path of a release.
    """
    short = path.rstrip("*") if path.rstrip("*").endswith("/") else path
    while short.startswith(("/", "./")):
        short = short.partition("/")[2]
    short = short.rstrip("/")
    try:
        check_path(short)
    except ManifestError as e:
        raise ValueError(str(e)) from None
    if _WILD & set(short) or {".", ".."} & set(short.split("/")):
        raise ValueError(short)
    return short


def is_right(value: Any) -> bool:
    """Whether `value` is what `keep` of ota.toml may be."""
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        return False
    try:
        return all(map(plain, value))
    except ValueError:
        return False


def header_key(*lists: Iterable[str]) -> Header:
    """The header key `keep` for the paths of all `lists`; empty without any."""
    paths = sorted({plain(path) for paths in lists for path in paths})
    return {"keep": paths} if paths else {}


def check_size(header: Mapping[str, Any], raw: bytes) -> bytes:
    """Return `raw`, the first line of a manifest, when boards read it.

    Raises:
        HostError: it is too long, with how much of it is `keep`.
    """
    if len(raw) > LINE:
        paths = header.get("keep", [])
        share = sum(len(path.encode()) + 3 for path in paths)
        why = f"; `keep` in ota.toml takes {share} of them for {len(paths)} paths: name folders instead of their files"
        raise HostError(f"the first line of the manifest has {len(raw)} bytes, boards read {LINE}{why if paths else ''}")
    return raw


def notes(release: Manifest, head: Manifest | None) -> list[str]:
    """A warning when `release` is the first one with `keep` after `head`, what the channel has."""
    is_new = release.header.get("keep") and not (head and head.header.get("keep"))
    return [OLDER] if is_new else []
