"""`ota prune`: removes what no board can need any more from a tree that only grows otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import delta, differences, legacy
from .terms import crc, first_tag
from .tree import DRAFTS, END, Manifest, Tree

KEEP = 5  # releases that stay unless another number is given: the next one gets patches from them


_OBJECT = re.compile(
    r"(releases/|\.drafts/)[^.].*\.manifest|blobs/([0-9a-f]{2})/\2[0-9a-f]{62}(\.z)?|deltas/[0-9a-f]{16}-[0-9a-f]{16}"
)


@dataclass
class Pruned:
    """What was removed, or would be: `releases` and `kept` are versions, `removed` names of files, `bytes` their sum."""

    folder: str
    dry_run: bool = False
    releases: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    bytes: int = 0


def prune(folder: Path, keep: int, dry_run: bool = False) -> Pruned:
    """Remove the releases that are neither needed nor among the newest, and every content that only they had.

    What boards may be fetching right now stays: of each channel its release and the one before, and the release of
    the legacy layout with the one before.

    Args:
        folder: of the project.
        keep: how many of the newest releases stay in any case, and of those that are no pre-releases.
        dry_run: remove nothing.

    Raises:
        HostError: a manifest is damaged, so what it needs is not known.
        OutsideError: the tree cannot be written, or another publisher does not end.
    """
    tree = Tree(folder)
    if dry_run:
        return _prune(tree, keep, True)
    with tree.locked():
        return _prune(tree, keep, False)


def needed(tree: Tree, manifest: Manifest) -> set[str]:
    """The names of the files that a manifest leads boards to, and of what its patches were made from."""
    names = {tree.blob(e["h"]) for e in manifest.entries}
    for name, _, _, base in delta.named(tree, manifest):
        names.add(name)
        if base:
            found = (path for path in (tree.folder / "blobs" / base[:2]).glob(base + "*") if len(path.name) == 64)
            names.update(tree.blob(path.name) for path in found)
    return names


def live_drafts(tree: Tree, heads: dict[str, Manifest], releases: list[Manifest]) -> list[Manifest]:
    """The drafts that nothing has overtaken, which `ota publish --manifest` still takes."""
    last = max((m.seq for m in [*releases, *heads.values()]), default=0)
    seqs = {m.version: m.seq for m in releases}
    found = []
    for draft in tree.drafts():
        head = heads.get(draft.header.get("channel", ""))
        is_known = seqs.get(draft.version) == draft.seq and (not head or head.seq <= draft.seq)
        if draft.seq > last or is_known:
            found.append(draft)
    return found


def _prune(tree: Tree, keep: int, dry_run: bool) -> Pruned:
    heads, releases = tree.channels(), tree.releases()
    kept = _kept(tree, heads, releases, keep)
    drafts = live_drafts(tree, heads, releases)
    names = {f"releases/{m.version}{END}" for m in kept}
    names |= {f"{DRAFTS}{m.version}-{m.header.get('channel')}{END}" for m in drafts}
    for manifest in [*kept, *heads.values(), *drafts, *tree.tuf_manifests().values()]:
        names |= needed(tree, manifest)
    done = Pruned(str(tree.folder), dry_run, kept=[m.version for m in kept])
    done.releases = [m.version for m in releases if m not in kept]
    shown = {first_tag(m.version) for m in kept}
    old = [m for m in releases if m not in kept and first_tag(m.version) not in shown]
    # Manifests first: at no moment one is left that leads to nothing.
    removable = [*_objects(tree), *_legacy_files(tree, old)]
    done.removed = [name for name in removable if name not in names]
    for name in done.removed:
        done.bytes += (tree.folder / name).stat().st_size
        if not dry_run:
            tree.remove(name)
    return done


def _kept(tree: Tree, heads: dict[str, Manifest], releases: list[Manifest], keep: int) -> list[Manifest]:
    newest = releases[::-1]
    found = newest[:keep] + [m for m in newest if not delta.is_early(m.version)][:keep]
    for channel, head in heads.items():
        found += [m for m in newest if m.version == head.version]
        before = [m for m in newest if m.seq < head.seq]
        found += before[:1]
        if len(heads) > 1:
            found += _had(tree, channel, before)
    shown = (tree.read("version") or b"").decode(errors="replace").strip()
    for i, manifest in enumerate(newest):
        if manifest.version == shown:
            found += newest[i : i + 2]
    tuf = {m.version for m in tree.tuf_manifests().values()}
    return [m for m in releases if m in found or m.version in tuf]


def _had(tree: Tree, channel: str, releases: list[Manifest]) -> list[Manifest]:
    # What a channel may have had before. A signed release says for which one it was made; otherwise only the
    # channel's differences say something, though also of what others had.
    own = [m for m in releases if m.header.get("channel") == channel]
    return own[:1] or [m for m in releases if tree.read(differences.name(channel, crc(m.lines()))) is not None]


def _objects(tree: Tree) -> Iterator[str]:
    for pattern in ("releases/*", DRAFTS + "*", "blobs/*/*", "deltas/*"):
        for path in sorted(tree.folder.glob(pattern)):
            name = path.relative_to(tree.folder).as_posix()
            if _OBJECT.fullmatch(name):
                yield name


def _legacy_files(tree: Tree, releases: list[Manifest]) -> Iterator[str]:
    found: set[str] = set()
    for manifest in releases:
        version = first_tag(manifest.version)
        for path in (e["p"] for e in manifest.entries):
            for form in {path, path.removesuffix(".mpy") + ".py" if path.endswith(".mpy") else path}:
                found.update(legacy.name(layout, version, form) for layout in legacy.LAYOUTS)
    yield from sorted(name for name in found if (tree.folder / name).is_file())
