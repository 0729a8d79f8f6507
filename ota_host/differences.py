"""A channel's manifest as its difference from those that boards have: `<channel>.d/<crc>.manifest`.

`<crc>` is the CRC-32 of the file lines that a board has, which the header of its manifest names.
A difference is the new header, the file lines that are new or other, `{"p":…}` alone for a path
that is gone, sorted by path, then the signatures. For the release that the channel has it is the
header alone, which is all that a board reads to know that nothing is new.
"""

import io
from collections.abc import Sequence

from ota.errors import ManifestError
from ota.manifest import Reader
from ota.merge import merge

from . import delta
from .keys import split
from .terms import crc, line
from .tree import END, Manifest, Tree

KEPT = delta.KEPT  # releases before the channel's own
FOLDER = ".d"


def name(channel: str, crc_of_lines: str) -> str:
    """The name of the difference of a channel's manifest from the file lines with that CRC."""
    return f"{channel}{FOLDER}/{crc_of_lines}{END}"


def difference(old: Manifest, new: Manifest) -> bytes:
    """The Manifest `new` for a board that has the Manifest `old` (bytes)."""
    had, has = by_path(old), by_path(new)
    lines = [first(new)]
    for path in sorted(had.keys() | has.keys()):
        if path not in has:
            lines.append(line({"p": path}))
        elif has[path] != had.get(path):
            lines.append(has[path])
    return b"".join(lines) + new.raw[len(new.body) :]


def first(manifest: Manifest) -> bytes:
    """The line of the header of a Manifest (bytes)."""
    return manifest.raw[: manifest.raw.index(b"\n") + 1]


def by_path(manifest: Manifest) -> dict[str, bytes]:
    """The file lines of a Manifest: path -> line (bytes)."""
    return dict(zip((e["p"] for e in manifest.entries), io.BytesIO(manifest.lines()), strict=True))


def apply(content: bytes, old: Manifest) -> bytes:
    """The manifest that a board with the Manifest `old` makes of a difference (bytes).

    Raises:
        ManifestError: one that a board refuses.
    """
    readline = io.BytesIO(content).readline
    reader = Reader(readline)
    made = [reader.raw]
    reader.readline = merge(readline, io.BytesIO(old.body).readline)
    made += [reader.raw for _ in reader]
    return b"".join(made) + content[len(split(content)[0]) :]


def files(tree: Tree, channel: str, head: Manifest) -> dict[str, bytes]:
    """What belongs into the channel's folder when its manifest is the Manifest `head`: name -> content (bytes).

    The last one is that of `head` itself: where it is right, no other is missing. Hold the lock of
    the Tree: the manifests of before are read.
    """
    if "crc" not in head.header:
        return {}
    own = name(channel, head.header["crc"])
    every = len(tree.versions()) + len(tree.channel_names())
    is_there = tree.read(channel + END) == head.raw and tree.read(own) is not None
    older = delta.bases(tree, channel, head.version, every if is_there else KEPT + 1)
    # Which releases the channel had, only its folder tells once the manifest is replaced.
    older = [m for m in older if tree.read(name(channel, crc(m.lines()))) is not None or not is_there]
    older = [m for m in older if m.seq != head.seq][: every if is_there else KEPT]
    found = {name(channel, crc(old.lines())): _file(old, head, [head, *older]) for old in older}
    return {**{of: found[of] for of in sorted(found.keys() - {own})}, own: _file(head, head, [head, *older])}


def _file(old: Manifest, head: Manifest, known: Sequence[Manifest]) -> bytes:
    # A release that has the same files, and is another all the same, needs the signatures.
    same = all(m.seq == head.seq for m in known if m.lines() == old.lines())
    return first(head) if same else difference(old, head)


def problem(content: bytes, channel: str, head: Manifest, of: str, known: Sequence[Manifest]) -> tuple[str, str] | None:
    """What is wrong with the file of a difference: (expected, found), or None.

    Args:
        content (bytes): the file.
        channel, head (str, Manifest): the channel and its manifest.
        of (str): the CRC that the file is named by.
        known (list of Manifest): all that are in the tree.
    """
    expected = f"the difference of {channel}{END}"
    olds = [m for m in known if crc(m.lines()) == of]
    if not content.startswith(first(head)):
        return expected, "that of another manifest"
    # Of a release that is gone there is no more to know.
    if not olds or content == first(head) and any(m.seq == head.seq for m in olds):
        return None
    try:
        made = apply(content, olds[0])
    except ManifestError as e:
        return expected, str(e)
    return None if made == head.raw else (expected, "one that makes another manifest")
