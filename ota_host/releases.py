"""`ota releases`: what a tree has, on which channels, since when, and what it costs a board."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from . import delta
from .prune import live_drafts
from .terms import AGAIN, first_tag
from .tree import DRAFTS, END, Manifest, Tree

LIVE, DRAFT, REPLACED, WITHDRAWN = "live", "draft", "replaced", "withdrawn"


class OnChannel(TypedDict):
    """How a channel has a release."""

    rollout: float
    expires: int


@dataclass(frozen=True)
class Row:
    """One release or draft.

    `channels` says for each channel that has it the percentage of its rollout, and when it `expires` (seconds since
    1970, 0: never); `published` is when it was made (seconds since 1970); `fetch_files` and `fetch_bytes` are what a
    board with the release `base` fetches to get it, `base` being the one before it.
    """

    version: str
    seq: int
    state: str
    channels: dict[str, OnChannel]
    published: int
    files: int
    bytes: int
    base: str
    fetch_files: int
    fetch_bytes: int


@dataclass
class Listing:
    """All releases of a project, newest first, and the names of manifests that are `damaged`."""

    project: str = ""
    folder: str = ""
    releases: list[Row] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def listing(folder: Path) -> Listing:
    """Read what is published in a project's folder."""
    tree = Tree(folder)
    heads, releases = tree.channels(skip_damaged=True), tree.releases(skip_damaged=True)
    drafts = live_drafts(tree, heads, releases)
    found = Listing(folder=str(folder))
    found.project = next((m.header["project"] for m in [*releases, *heads.values(), *drafts]), "")
    good = {f"releases/{m.version}{END}" for m in releases} | {channel + END for channel in heads}
    found.damaged = sorted(set(tree.seqs()) - good)
    for manifest in drafts:
        name = f"{DRAFTS}{manifest.version}-{manifest.header.get('channel')}{END}"
        found.releases.append(_row(tree, manifest, name, DRAFT, releases, {}))
    for manifest in reversed(releases):
        on = {channel: head for channel, head in heads.items() if head.seq == manifest.seq}
        state = LIVE if on else WITHDRAWN if _is_withdrawn(manifest, releases) else REPLACED
        found.releases.append(_row(tree, manifest, f"releases/{manifest.version}{END}", state, releases, on))
    return found


def _row(tree: Tree, manifest: Manifest, name: str, state: str, releases: list[Manifest], heads: dict[str, Manifest]) -> Row:
    base = max((m for m in releases if m.seq < manifest.seq), key=lambda m: m.seq, default=None)
    files, size = fetched(base, manifest)
    header = manifest.header
    return Row(
        version=manifest.version,
        seq=manifest.seq,
        state=state,
        channels={
            channel: {
                "rollout": head.header.get("rollout", {}).get("percent", 100),
                "expires": head.header.get("expires", 0),
            }
            for channel, head in heads.items()
        },
        published=header.get("time") or int((tree.folder / name).stat().st_mtime),
        files=header["files"],
        bytes=header["size"],
        base=base.version if base else "",
        fetch_files=files,
        fetch_bytes=size,
    )


def fetched(old: Manifest | None, new: Manifest) -> tuple[int, int]:
    """How many files, and bytes of them in the smallest form, a board with `old` (None: with nothing) fetches."""
    sizes = [size for _, size in delta.missing(new, old)]
    return len(sizes), sum(sizes)


def _is_withdrawn(manifest: Manifest, releases: Iterable[Manifest]) -> bool:
    # Whether a later rollback went back past it, and nothing has brought it back since.
    seqs = {m.version: m.seq for m in releases}
    tag = first_tag(manifest.version)
    later = [m for m in releases if m.seq > manifest.seq]
    if any(first_tag(m.version) == tag for m in later):
        return False
    return any(AGAIN.fullmatch(m.version) and seqs.get(first_tag(m.version), 0) < manifest.seq for m in later)
