"""Manifests that are signed on another machine than the one that publishes.

ota publish --draft FILE                             # contents to the tree, the unsigned manifest to FILE
ota sign FILE --key K                                # elsewhere: the signature to FILE.sig
ota publish --manifest FILE --signature FILE.sig     # onto the channel
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from . import clock, delta, mend
from .errors import ConfigError, HostError, OutsideError
from .keys import Seal, Signer, check_signatures, sign_manifest, split
from .keys.seal import Signature, join, read_lines
from .put import Published, Put
from .release import check_version, contents_of, identity, legacy_again
from .rules import Rules
from .shared_types import Progress
from .terms import Terms, first_tag
from .tree import Manifest, Tree, parse_manifest


def read(path: str | Path) -> bytes:
    """A file's content (bytes); raises ConfigError when there is none, OutsideError when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as e:
        raise OutsideError(f"{path}: cannot be read: {e.strerror}") from None


def sign(path: str | Path, signers: Sequence[Signer], out: str | Path | None = None) -> tuple[Manifest, Path, bool]:
    """Write the signatures of a draft beside it.

    Args:
        path (Path): the draft, or a signed manifest.
        signers (list of Signer): who signs.
        out (Path): where to; default: `path`.sig.

    Returns:
        tuple: its Manifest, the file written, and whether that changed.

    Raises:
        HostError: no manifest that boards accept, or a file with signatures of others.
        OutsideError: a file cannot be read or written.
    """
    path = Path(path)
    manifest = parse_manifest(read(path), path)
    out = Path(out) if out else path.with_name(path.name + ".sig")
    before = b""
    if out.exists():
        before = read(out)
        others = {s["key"] for s in read_lines(before, out)} - {s.key_id for s in signers}
        if others:
            raise HostError(f"{out}: has a signature of {', '.join(sorted(others))}, which would be lost; give --out")
    signed = sign_manifest(manifest.body + before, signers)
    lines = signed[len(manifest.body) :]
    if lines == before:
        return manifest, out, False
    try:
        out.write_bytes(lines)
    except OSError as e:
        raise OutsideError(f"{out}: cannot be written: {e.strerror}") from None
    return manifest, out, True


def publish(
    path: Path,
    signatures: Iterable[Path],
    tree: Tree,
    project: str,
    *,
    channel: str = "stable",
    layout: str = "none",
    seal: Seal | None = None,
    allow: Rules | None = None,
    progress: Progress | None = None,
) -> Published:
    """Put a draft on the channel, with signatures that were made elsewhere.

    Args:
        path (Path): the draft.
        signatures (list of Path): files that `ota sign` wrote.
        tree (Tree): where to; it has the contents since the draft was made.
        project (str): the name of the project.
        channel (str): who gets it.
        layout (str): the legacy layout to write beside it: none, prefix or subdir.
        seal (Seal): who signs as well, and what boards trust.
        allow (Rules): what the publication may do.
        progress: called with (what, done, total).

    Returns:
        Published.

    Raises:
        ConfigError: no signature at all, or one of another manifest.
        HostError: another project's draft, one that was overtaken, a part of it that is gone, or
            too few signatures of the keys that boards trust, or a time that only a wrong clock gives.
    """
    seal = seal or Seal()
    draft = parse_manifest(read(path), path)
    check_version(draft.version)
    if draft.header["project"] != project:
        raise HostError(f"{path}: project is {draft.header['project']!r}, ota.toml has {project!r}")
    meant = draft.header.get("channel", channel)
    if meant != channel:
        raise HostError(f"{path}: is for the channel {meant}, not {channel}; make a draft for each")
    signed = _signed(draft, signatures, seal, path)
    with tree.locked():
        repaired = mend.notes(tree, seal)
        release = _release(tree, signed, path)
        _check_time(tree.sound(channel + ".manifest"), signed, channel, path)
        if not (allow and allow.clock):
            clock.check_draft(signed.header.get("time", 0), Terms().time, path)
        contents = contents_of(tree, signed)
        files, gone = delta.mended(tree, signed, contents)
        shown = first_tag(signed.version)
        old, lost = legacy_again(tree, signed, contents, layout, shown)
        notes = [*repaired, *gone, *lost]
        if not seal.keys:
            notes.append(f"the signatures of {path} were not checked: ota.toml has no `keys`")
        put = Put(tree, release, channel, Terms(), notes, seal, progress=progress, target=signed, allow=allow)
        return put.run(contents, files, old, shown if old and not lost else "")


def _signed(draft: Manifest, names: Iterable[Path], seal: Seal, path: Path) -> Manifest:
    found = split(draft.raw)[1]
    for name in names:
        there = read_lines(read(name), name)
        _check_known(draft.body, there, seal, name, path)
        found += there
    raw = seal.sign(join(draft.body, list({s["key"]: s for s in found}.values()), path))
    if not split(raw)[1]:
        raise ConfigError(f"{path}: is not signed: give --signature or --key")
    return parse_manifest(raw, path)


def _check_known(body: bytes, signatures: Sequence[Signature], seal: Seal, name: Path, path: Path) -> None:
    good = check_signatures(join(body, signatures, name), seal.keys)
    for key in {s["key"] for s in signatures} & {key.id for key in seal.keys}:
        if key not in good:
            raise HostError(f"{name}: the signature of {key} is not of {path}: that has sha256 {sha256(body).hexdigest()}")


def _release(tree: Tree, draft: Manifest, path: Path) -> Manifest:
    # The release of the draft: that of the tree, or the draft itself when it is the next.
    release = tree.release(draft.version)
    if not release:
        following = tree.next_seq()
        if draft.seq < following:
            raise HostError(f"{path}: seq {draft.seq} was overtaken: the next is {following}; make a new draft")
        return draft
    if release.seq != draft.seq or identity(release) != identity(draft):
        raise HostError(f"{path}: version {draft.version} is published already with seq {release.seq} or other content")
    return release


def _check_time(head: Manifest | None, draft: Manifest, channel: str, path: Path) -> None:
    if not head:
        return
    if head.seq > draft.seq:
        raise HostError(f"{path}: seq {draft.seq} was overtaken: {channel} has {head.version} with seq {head.seq}")
    times = [m.header.get("time", 0) for m in (head, draft)]
    if head.seq == draft.seq and times[0] > times[1]:
        raise HostError(f"{path}: time {times[1]} was overtaken: {channel} has the same release of time {times[0]}")
