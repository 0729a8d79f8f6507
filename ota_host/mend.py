"""Repairs a tree from what the rest of it still has: `ota verify --fix`, and the first step of every publication.

Nothing is signed here. A manifest is repaired only with the bytes of one that was published: the channel's from
its release, its differences or what is left of it, a release's from a channel that has it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import cast

from ota.errors import ManifestError
from ota.manifest import Reader

from . import delta, differences, legacy
from .errors import HostError
from .keys import Seal, check_signatures, split
from .shared_types import Entry, Header, Progress
from .terms import OF_RELEASE, crc, first_tag
from .tree import END, Manifest, Tree, parse_manifest


@dataclass(frozen=True)
class Fix:
    """One file that was repaired, and `how`."""

    file: str
    how: str


def fix(folder: Path, seal: Seal | None = None, progress: Progress | None = None) -> list[Fix]:
    """Repair all that the rest of a project's tree allows.

    Args:
        folder: of the project.
        seal: the keys that its boards trust; a manifest that they did not sign is no good then.
        progress: called with (what, done, total).

    Raises:
        OutsideError: the tree cannot be written, or another publisher does not end.
    """
    tree = Tree(folder)
    with tree.locked():
        done = manifests(tree, seal)
        found = [*tree.releases(skip_damaged=True), *tree.channels(skip_damaged=True).values()]
        done += _contents(tree, found, progress or (lambda what, done, total: None))
        done += _forms(tree, found)
        done += _legacy(tree)
        done += _differences(tree)
    return done


def manifests(tree: Tree, seal: Seal | None = None) -> list[Fix]:
    """Repair the manifests of releases and channels, as far as the rest of the tree allows; hold the lock."""
    seal = seal or Seal()
    done = []
    for _ in range(2):  # what one channel brings back may be what another one needs
        heads = {channel: _good(tree, channel + END, seal) for channel in tree.channel_names()}
        for channel, head in heads.items():
            own = head and _good(tree, f"releases/{head.version}{END}", seal)
            if not head or seal.problem(head.raw, channel) or _differs(head, own, seal):
                made = _channel(tree, channel, seal, alone=len(heads) == 1)
                if made and tree.write(channel + END, made[0].raw):
                    heads[channel] = made[0]
                    done.append(Fix(str(tree.folder / channel) + END, f"restored from {made[1]}"))
        for channel, head in heads.items():
            name = f"releases/{head.version}{END}" if head else ""
            if head and not _is_whole(tree, head.version, seal) and tree.write(name, head.raw):
                done.append(Fix(str(tree.folder / name), f"restored from {channel}{END}"))
    return done


def _is_whole(tree: Tree, version: str, seal: Seal) -> bool:
    manifest = _good(tree, f"releases/{version}{END}", seal)
    return manifest is not None and manifest.version == version


def notes(tree: Tree, seal: Seal | None = None) -> list[str]:
    """Repair the manifests before a publication, and say so in a line each; hold the lock."""
    return [f"{done.file} was damaged or missing; {done.how}" for done in manifests(tree, seal)]


def _good(tree: Tree, name: str, seal: Seal) -> Manifest | None:
    # A manifest that can be read, and of which no signature is known to be wrong.
    manifest = tree.sound(name)
    with contextlib.suppress(HostError):
        return manifest if manifest and not wrong_signers(manifest, seal) else None
    return None


def wrong_signers(manifest: Manifest, seal: Seal) -> list[str]:
    """The ids of the known keys whose signature on a manifest does not verify."""
    signers = {s["key"] for s in split(manifest.raw)[1]}
    good = check_signatures(manifest.raw, seal.keys)
    return [key.id for key in seal.keys if key.id in signers and key.id not in good]


def _differs(head: Manifest, release: Manifest | None, seal: Seal) -> bool:
    # Whether a channel's manifest is not that of its release; what the keys have signed is right.
    if not release or seal.keys and not seal.problem(head.raw, ""):
        return False
    return any(head.header.get(k) != release.header.get(k) for k in OF_RELEASE) or (head.lines() != release.lines())


def _channel(tree: Tree, channel: str, seal: Seal, alone: bool) -> tuple[Manifest, str] | None:
    # The manifest that the channel must have had, and where it is from.
    releases = {v: m for v in tree.versions() if _is_whole(tree, v, seal) and (m := tree.release(v))}
    raw = tree.read(channel + END) or b""
    header = _header(raw)
    copies = tree.tuf_manifests().items()
    found = [
        *_rest(raw, header, releases, seal),
        *_from_differences(tree, channel, releases),
        *((m.raw, name) for name, m in copies if name.endswith(f".{channel}{END}")),
    ]
    if header.get("version") in releases:
        version = header["version"]
        found.append((releases[version].raw, f"releases/{version}{END}"))
    good = []
    for made, origin in found:
        with contextlib.suppress(HostError):
            manifest = parse_manifest(made, channel)
            is_right = _is_for(manifest, channel, seal) and not _differs(manifest, releases.get(manifest.version), seal)
            if is_right and manifest.seq >= header.get("seq", 0) and _has_terms(manifest, header):
                good.append((manifest, origin))
    if not good and not header and alone and releases:
        newest = max(releases.values(), key=lambda m: m.seq)
        if _is_for(newest, channel, seal):
            return newest, f"releases/{newest.version}{END}; check its rollout and expiry, which may have been changed"
    return max(good, key=lambda m: (m[0].seq, m[0].header.get("time", 0)), default=None)


def remainder(tree: Tree, channel: str) -> Manifest | None:
    """A damaged manifest of a channel by its first line and its release, without signatures; None when these are lost."""
    raw = tree.read(channel + END) or b""
    header = _header(raw)
    release = tree.sound(f"releases/{header.get('version')}{END}")
    with contextlib.suppress(HostError):
        return release and parse_manifest(raw[: raw.index(b"\n") + 1] + release.lines(), channel)
    return None


def _has_terms(manifest: Manifest, header: Header) -> bool:
    # A rollout that was stopped must not go on because an older manifest comes back.
    return not header or all(manifest.header.get(key) == header.get(key) for key in ("rollout", "expires"))


def _is_for(manifest: Manifest, channel: str, seal: Seal) -> bool:
    is_signed = bool(split(manifest.raw)[1]) or "time" not in manifest.header
    return is_signed and manifest.header.get("channel", channel) == channel and not seal.problem(manifest.raw, channel)


def _header(raw: bytes) -> Header:
    with contextlib.suppress(ManifestError):
        return cast(Header, Reader(io.BytesIO(raw).readline).header)
    return {}


def _rest(raw: bytes, header: Header, releases: dict[str, Manifest], seal: Seal) -> Iterator[tuple[bytes, str]]:
    # What is left of the manifest itself, with the file lines of its release.
    release = releases.get(header.get("version", ""))
    if release:
        body = raw[: raw.index(b"\n") + 1] + release.lines()
        if "time" not in header:
            yield body, f"its first line and releases/{release.version}{END}"
        at = raw.find(b'\n{"sig"') + 1
        if at and seal.keys:  # only then is known whether the signatures are whole
            yield body + raw[at:], f"what was left of it and releases/{release.version}{END}"


def _from_differences(tree: Tree, channel: str, releases: dict[str, Manifest]) -> Iterator[tuple[bytes, str]]:
    by_crc: dict[str, list[Manifest]] = {}
    for release in releases.values():
        by_crc.setdefault(crc(release.lines()), []).append(release)
    for path in sorted((tree.folder / (channel + differences.FOLDER)).glob("[!.]*" + END)):
        for old in by_crc.get(path.name[: -len(END)], []):
            with contextlib.suppress(ManifestError, HostError, ValueError):
                made = differences.apply(path.read_bytes(), old)
                # The difference of a channel's own release may have no signatures: the release has.
                signed = [m.raw for m in releases.values() if m.body == made]
                yield (signed or [made])[0], path.relative_to(tree.folder).as_posix()


def _contents(tree: Tree, found: Iterable[Manifest], progress: Progress) -> list[Fix]:
    entries = {e["h"]: e for manifest in found for e in manifest.entries}
    patches: dict[str, list[tuple[str, str]]] = {}
    for name, _, entry, base in (form for manifest in found for form in delta.named(tree, manifest)):
        patches.setdefault(entry["h"], []).append((name, base))
    todo = []
    for i, digest in enumerate(sorted(entries), 1):
        data = tree.read(tree.blob(digest))
        if data is None or sha256(data).hexdigest() != digest:
            todo.append(digest)
        progress("reading", i, len(entries))
    done: list[Fix] = []
    before = -1
    while len(done) > before:  # one content may be what a patch to another one begins with
        before = len(done)
        for digest in list(todo):
            made = _content(tree, entries[digest], patches.get(digest, []))
            if made:
                tree.write(tree.blob(digest), made[0])
                todo.remove(digest)
                done.append(Fix(str(tree.folder / tree.blob(digest)), f"restored from {made[1]}"))
    return done


def _content(tree: Tree, entry: Entry, forms: list[tuple[str, str]]) -> tuple[bytes, str] | None:
    digest, size = entry["h"], entry["s"]
    for name, base in [(tree.packed(digest), ""), *forms]:
        packed, old = tree.read(name), delta.content_of(tree, base) if base else None
        if packed is None or base and old is None:
            continue
        with contextlib.suppress(HostError):
            data = delta.unpack(packed, size) if old is None else delta.apply(packed, old, size)
            if sha256(data).hexdigest() == digest:
                return data, name
    for version in tree.versions():
        for layout in legacy.LAYOUTS:
            name = legacy.name(layout, version, entry["p"])
            copy = tree.read(name)
            if copy is not None and sha256(copy).hexdigest() == digest:
                return copy, name
    return None


def _forms(tree: Tree, found: Iterable[Manifest]) -> list[Fix]:
    done = []
    named = {(name, size): (entry, base) for m in found for name, size, entry, base in delta.named(tree, m)}
    for (name, size), (entry, base) in sorted(named.items()):
        old = delta.content_of(tree, base) if base else None
        there = tree.read(name)
        if not delta.problem(there, size, entry, base, old):
            continue
        data = delta.content_of(tree, entry["h"])
        made = data if data is None else delta.again(size, data, base, old)
        if made is not None:
            tree.write(name, made)
            done.append(Fix(str(tree.folder / name), "rebuilt"))
        elif there is not None:
            tree.remove(name)
            done.append(Fix(str(tree.folder / name), f"removed; boards fetch all of {entry['p']} instead"))
    return done


def _legacy(tree: Tree) -> list[Fix]:
    text = tree.read("version")
    if text is None:
        return []
    done = []
    shown = text.decode(errors="replace").strip()
    if shown not in tree.versions():
        # What the legacy devices had was published together with a channel's release.
        heads = {first_tag(head.version) for head in tree.channels(skip_damaged=True).values()}
        heads = {version for version in heads if legacy.layout_of(tree.folder, version)}
        if len(heads) != 1:
            return []
        (shown,) = heads
        tree.write("version", shown.encode())
        done.append(Fix(str(tree.folder / "version"), f"set to {shown}, the release whose files are there"))
    release = tree.sound(f"releases/{shown}{END}")
    layout = legacy.layout_of(tree.folder, shown)
    for entry in release.entries if release and layout else ():
        name, data = legacy.name(layout, shown, entry["p"]), delta.content_of(tree, entry["h"])
        if data is not None and not entry["p"].endswith(".mpy") and tree.write(name, data):
            done.append(Fix(str(tree.folder / name), f"restored from {tree.blob(entry['h'])}"))
    return done


def _differences(tree: Tree) -> list[Fix]:
    done = []
    for channel, head in tree.channels(skip_damaged=True).items():
        folder = channel + differences.FOLDER
        known = [*tree.releases(skip_damaged=True), *tree.channels(skip_damaged=True).values()]
        bad = [
            path
            for path in sorted((tree.folder / folder).glob("[!.]*" + END))
            if differences.problem(path.read_bytes(), channel, head, path.name[: -len(END)], known)
        ]
        if not bad:
            continue
        short = differences.files(tree, channel, head)
        tree.keep_only(folder, short)
        for name, data in short.items():
            tree.write(name, data, channel + END)
        done += [Fix(str(path), "rebuilt" if path.exists() else f"removed; boards fetch {channel}{END}") for path in bad]
    return done
