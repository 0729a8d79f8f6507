"""Smaller forms of a content: the zlib form, and patches from what boards may have already.

A patch is bsdiff's, in detools' sequential layout without compression, in one zlib stream;
docs/reference/formats.md has it byte by byte. Boards need the window in RAM, hence its 4 KB.
"""

import contextlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import bsdiff4.core

from ota.errors import ManifestError
from ota.manifest import LINE
from ota.version import parse

from . import common
from .errors import HostError
from .moved import Places
from .shared_types import Entry, Progress
from .terms import line
from .tree import Manifest, Tree

KEPT = 5  # releases of a channel that get patches
MOST = 20  # of those: each takes up to 30 bytes of a manifest's line

_WINDOW = 12  # log2 of the window's bytes
_BLOCK = 1 << 16  # bytes looked at for repetition
_REPEATED = 1024  # bytes to which only a block that repeats itself compresses
_TRIPLE = 24  # bytes of bsdiff's control data: three numbers

# (place in the old content, differences from there, new bytes after them)
Record = tuple[int, bytes, bytes]


def pack(data: bytes) -> bytes:
    """One zlib stream with a 4 KB window (bytes)."""
    stream = zlib.compressobj(9, zlib.DEFLATED, _WINDOW, 9)
    return stream.compress(data) + stream.flush()


def unpack(packed: bytes, most: int) -> bytes:
    """What `pack` was given.

    Raises:
        HostError: no zlib stream, a larger window, more after its end, or over `most` bytes inside.
    """
    stream = zlib.decompressobj(_WINDOW)
    try:
        data = stream.decompress(packed, most + 1)
    except zlib.error as e:
        raise HostError(f"no zlib stream with a 4 KB window: {e}") from None
    if len(data) > most:
        raise HostError(f"a zlib stream of over {most} bytes")
    if not stream.eof or stream.unused_data:
        raise HostError("a zlib stream with bytes after its end" if stream.eof else "a zlib stream that is cut short")
    return data


def patch(old: bytes, new: bytes) -> bytes | None:
    """The patch that makes `new` of `old` (bytes), or None when nothing that they have in common is found.

    bsdiff gets all of both where it can take them: up to 4 MB, and without a long repetition, over which it
    needs quadratic time (1 MB of zeros: 16 s). Otherwise they are cut into parts first, see `common`.
    """
    if _is_for_bsdiff(old, new):
        records = _bsdiff(old, new, 0)
    else:
        parts = common.parts(old, new)
        if not any(part.is_same or _is_gap(old, new, part) for part in parts):
            return None
        records = _by_parts(old, new, parts)
    out = bytearray(b"\0" + _number(len(new)) + _number(0))
    place = 0  # in the old content
    is_first = True
    for start, diff, extra in records:
        if is_first and start:
            out += _number(0) + _number(0)
        if not is_first or start:
            out += _number(start - place)
        out += _number(len(diff)) + diff + _number(len(extra)) + extra
        place, is_first = start + len(diff), False
    if not is_first:
        out += _number(0)  # after the last one there is nowhere to go
    return pack(bytes(out))


def _is_for_bsdiff(old: bytes, new: bytes) -> bool:
    return max(len(old), len(new)) <= common.GAP and not _is_repetitive(new)


def _bsdiff(old: bytes, new: bytes, start: int) -> Iterator[Record]:
    # Gives (place in the old content, differences from there, new bytes after them); `old` lies at `start`.
    control, diff, extra = bsdiff4.core.diff(old, new)
    d = e = place = 0
    for at in range(0, len(control), _TRIPLE):
        copied, added, seek = (_signed(control[at + i : at + i + 8]) for i in (0, 8, 16))
        if copied or added:
            yield start + place, diff[d : d + copied], extra[e : e + added]
        place += copied + seek
        d, e = d + copied, e + added


def _is_gap(old: bytes, new: bytes, part: common.Part) -> bool:
    # Whether bsdiff is to look at a part.
    was, now = old[part.low : part.high], new[part.start : part.end]
    return not (part.is_same or part.is_run) and bool(was) and _is_for_bsdiff(was, now)


def _by_parts(old: bytes, new: bytes, parts: Iterable[common.Part]) -> Iterator[Record]:
    # As `_bsdiff`.
    for part in parts:
        now = new[part.start : part.end]
        if part.is_same:
            yield part.low, bytes(len(now)), b""
        elif _is_gap(old, new, part):
            yield from _bsdiff(old[part.low : part.high], now, part.low)
        else:
            yield part.low, b"", now


def apply(packed: bytes, old: bytes, size: int) -> bytes:
    """Make the new content of the `old` one (bytes) and a patch.

    Args:
        packed (bytes): the patch.
        old (bytes): the content that it is from.
        size (int): bytes of the new content.

    Raises:
        HostError: no patch, or one that does not make `size` bytes of this content.
    """
    # The worst patch has a triple, of at most 16 bytes, for each byte.
    reader = _Patch(unpack(packed, 16 * size + 64))
    if reader.take(1) != b"\0":
        raise HostError("a patch of another type than sequential without compression")
    found = reader.number()
    if found != size:
        raise HostError(f"a patch that makes {found} bytes")
    if reader.number():
        raise HostError("a patch with a data format")
    new, at = bytearray(), 0
    while len(new) < size:
        diff = reader.take(reader.number())
        base = old[at : at + len(diff)] if at >= 0 else b""
        if len(base) < len(diff):
            raise HostError(f"a patch that reads {len(diff)} bytes at {at} of {len(old)}")
        new += bytes(a + b & 255 for a, b in zip(diff, base, strict=True)) if any(diff) else base
        new += reader.take(reader.number())
        at += len(diff) + reader.number()
    if len(new) > size or reader.left():
        raise HostError(f"a patch that goes on after {size} bytes")
    return bytes(new)


class _Patch:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, n: int) -> bytes:
        if not 0 <= n <= self.left():
            raise HostError(f"a patch that has {self.left()} of {n} bytes at {self.at}")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self) -> int:
        byte = self.take(1)[0]
        is_negative, value, shift = byte & 64, byte & 63, 6
        while byte & 128:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
        return -value if is_negative else value


def _number(n: int) -> bytes:
    # detools' numbers: six bits and the sign in the first byte, seven in each that follows.
    rest = abs(n)
    out = bytearray([rest & 63 | (64 if n < 0 else 0)])
    rest >>= 6
    while rest:
        out[-1] |= 128
        out.append(rest & 127)
        rest >>= 7
    return bytes(out)


def _signed(data: bytes) -> int:
    # bsdiff's numbers: the highest of 64 bits is the sign.
    value = int.from_bytes(data, "little")
    return -(value & (1 << 63) - 1) if value >> 63 else value


def _is_repetitive(data: bytes) -> bool:
    whole = range(0, len(data) - _BLOCK + 1, _BLOCK)
    return any(len(zlib.compress(data[at : at + _BLOCK], 1)) < _REPEATED for at in whole)


def bases(tree: Tree, channel: str, version: str, count: int) -> list[Manifest]:
    """The releases whose boards get patches to a new one, newest first.

    A release does not say which channels had it. So the channel's own comes first, then those
    of the other channels, since a release may go from one to another as it is, then the newest
    of the rest. A pre-release is not of the rest when channels share the tree and the new
    release is none.

    Args:
        tree (Tree): with the lock held.
        channel (str): who gets the new release.
        version (str): its tag.
        count (int): how many at most.

    Returns:
        list of Manifest.
    """
    channels = tree.channels(skip_damaged=True)
    own = [channels.pop(channel)] if channel in channels else []
    found = (own + sorted(channels.values(), key=lambda m: -m.seq))[:count]
    for older in tree.newest() if len(found) < count else ():
        if len(found) == count:
            break
        if older in {m.version for m in found} or (channels and is_early(older) and not is_early(version)):
            continue
        with contextlib.suppress(HostError):  # boards that have a damaged release fetch whole files
            release = tree.release(older)
            found += [release] if release else []
    return found


def is_early(version: str) -> bool:
    """Whether a version (str) is a pre-release."""
    try:
        return bool(parse(version)[3])
    except ManifestError:
        return False


@dataclass
class Forms:
    """The smaller forms that a new release gets.

    Args:
        tree (Tree): where they go, with the lock held; forms that are there stay as they are.
        contents (dict): SHA-256 in hex -> content (bytes) of the new release.
        bases (list of Manifest): releases to make patches from, newest first.
        compress (bool): make the zlib form.
        progress: called with (what, done, total).
    """

    tree: Tree
    contents: Mapping[str, bytes]
    bases: list[Manifest]
    compress: bool = True
    progress: Progress | None = None

    def __post_init__(self) -> None:
        self.files: dict[str, bytes] = {}  # name -> content (bytes), of all that the lines name
        self._places = [Places(base.entries) for base in self.bases]
        self._paths: set[str] = set()
        self._before = {e["p"]: e for base in self.bases[:1] for e in base.entries}

    def lines(self, entries: Sequence[Entry]) -> list[Entry]:
        """The file lines (list of dicts) with `z`, `m` and `d`; fills `files`."""
        self._paths = {entry["p"] for entry in entries}
        out = []
        for entry in entries:
            out.append(self._line(entry))
            if self.progress:
                self.progress("packing", len(out), len(entries))
        return out

    def _line(self, entry: Entry) -> Entry:
        entry = entry.copy()
        for key in ("z", "m", "d"):
            entry.pop(key, None)  # type: ignore[misc]  # a key by its name
        data, least = self.contents[entry["h"]], entry["s"]
        if self.compress:
            name = self.tree.packed(entry["h"])
            packed = self._there(name, entry, None) or pack(data)
            if len(packed) < least:
                least = entry["z"] = len(packed)
                self.files[name] = packed
        origin = self._origin(entry, data)
        if origin:
            entry["m"] = origin
        for old in dict.fromkeys(self._olds(entry)):
            if old != entry["h"]:
                entry = self._with_patch(entry, old, data, least)
        if origin and not any(self._is_use(entry, places.digests.get(origin, "")) for places in self._places):
            del entry["m"]
        return self._as_before(entry)

    def _is_use(self, entry: Entry, old: str) -> bool:
        return old == entry["h"] or old[:16] in entry.get("d", {})

    def _olds(self, entry: Entry) -> Iterator[str]:
        # What boards may have of it, by SHA-256.
        for places in self._places:
            for path in (entry["p"], entry.get("m", "")):
                if path in places.digests:
                    yield places.digests[path]
                    break

    def _origin(self, entry: Entry, data: bytes) -> str:
        # The path under which a board has the content, or one like it; "" for none.
        if not data or not self._places:
            return ""
        path, first = entry["p"], self._places[0]
        found = first.of_same(entry)
        before = self._before.get(path, {"p": path, "s": 0, "h": ""})
        if not found and before.get("h") == entry["h"]:
            found = before.get("m", "")
        if not found and path not in first.digests:
            found = first.of_similar(entry, data, self._paths, lambda digest: content_of(self.tree, digest))
        return found or next(filter(None, (places.of_same(entry) for places in self._places[1:])), "")

    def _as_before(self, entry: Entry) -> Entry:
        # A line that stays as it was does not travel: older patches than wanted do no harm in it, nor does `m`.
        before = self._before.get(entry["p"])
        if before is None:
            return entry
        patches = before.get("d", {})
        same = {"m": None, **before, "d": None} == {"m": before.get("m"), **entry, "d": None}
        if not same or not entry.get("d", {}).items() <= patches.items():
            return entry
        gone = [base for base in patches if self.tree.read(self.tree.patch(base, entry["h"])) is None]
        return entry if gone else before

    def _with_patch(self, entry: Entry, old: str, data: bytes, least: int) -> Entry:
        base, patches = old[:16], entry.get("d", {})
        name = self.tree.patch(base, entry["h"])
        content = content_of(self.tree, base)
        if base in patches or content is None:
            return entry
        made = self.files.get(name) or self._there(name, entry, content) or patch(content, data)
        if made is None or len(made) >= least:
            return entry
        longer = entry.copy()
        longer["d"] = {**patches, base: len(made)}
        if len(line(longer)) > LINE:
            return entry
        self.files[name] = made
        return longer

    def _there(self, name: str, entry: Entry, base: bytes | None) -> bytes | None:
        # Another zlib may make other bytes, and older manifests name the size of these.
        there = self.tree.read(name)
        return there if there and not _wrong_inside(there, entry, base) else None


def mended(tree: Tree, release: Manifest, contents: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """What a release that is in the tree already names, made again where it is gone or damaged.

    A form that does not come out in the size that the release names, as from another version of zlib, is
    removed: boards take the whole file where a form is missing.

    Args:
        tree (Tree): with the lock held.
        release (Manifest): the release.
        contents (dict): SHA-256 in hex -> content (bytes) of it.

    Returns:
        tuple: name -> content (bytes), and a line (str) for each form that cannot be made again.
    """
    files: dict[str, bytes] = {}
    lost: list[str] = []
    for name, size, entry, base in named(tree, release):
        old = content_of(tree, base) if base else None
        there = tree.read(name)
        if not problem(there, size, entry, base, old):
            continue
        made = again(size, contents[entry["h"]], base, old)
        if made is not None:
            files[name] = made
            continue
        if there is not None:
            tree.remove(name)
        lost.append(
            f"{tree.folder / name} was damaged or missing and cannot be rebuilt in {size} bytes; "
            f"boards fetch all of {entry['p']} instead"
        )
    return files, lost


def again(size: int, data: bytes, base: str, old: bytes | None) -> bytes | None:
    """A smaller form (bytes) of the content `data` (bytes) once more, or None when it does not get this `size`.

    Args:
        base (str): what it is a patch from, "" for the zlib form.
        old (bytes): that content, None when it is gone.
    """
    made = pack(data) if not base else patch(old, data) if old is not None else None
    return made if made is not None and len(made) == size else None


def named(tree: Tree, release: Manifest) -> Iterator[tuple[str, int, Entry, str]]:
    """The smaller forms that a manifest names: (file name, its bytes, the file's entry, 16 hex of the base or "")."""
    for entry in release.entries:
        if "z" in entry:
            yield tree.packed(entry["h"]), entry["z"], entry, ""
        for base, size in entry.get("d", {}).items():
            yield tree.patch(base, entry["h"]), size, entry, base


def missing(new: Manifest, old: Manifest | None) -> Iterator[tuple[Entry, int]]:
    """The files that a board fetches for a release: (file line, bytes in the smallest form) of each.

    Args:
        new: the release.
        old: what the board has, None for nothing.
    """
    had = {e["p"]: e["h"] for e in old.entries} if old else {}
    for entry in new.entries:
        there = [had[path] for path in (entry["p"], entry.get("m", "")) if path in had]
        if entry["h"] not in there:
            patches = entry.get("d", {})
            forms = [patches[digest[:16]] for digest in there if digest[:16] in patches]
            yield entry, min([entry["s"], entry.get("z", entry["s"]), *forms])


def content_of(tree: Tree, digest: str) -> bytes | None:
    """The content (bytes) whose SHA-256 begins with `digest` (hex), or None when the tree has none."""
    for path in sorted((tree.folder / "blobs" / digest[:2]).glob(digest + "*")):
        data = path.read_bytes() if len(path.name) == 64 else b""
        if sha256(data).hexdigest() == path.name:
            return data
    return None


def problem(data: bytes | None, size: int, entry: Entry, base: str, old: bytes | None) -> tuple[str, str] | None:
    """What is wrong with the file of a smaller form: (expected, found), or None.

    Args:
        data (bytes): the file, None when there is none.
        size (int): its bytes, as the manifest says.
        entry (dict): the line of the file that it makes.
        base (str): 16 hex of what it is a patch from, "" for the zlib form.
        old (bytes): that content; None when the tree has it no more, and only the stream is checked.
    """
    if data is None:
        return f"{size} bytes", "no such file"
    if len(data) != size:
        return f"{size} bytes", f"{len(data)} bytes"
    if base and old is None:
        return _wrong_stream(data, entry)
    return _wrong_inside(data, entry, old)


def _wrong_stream(data: bytes, entry: Entry) -> tuple[str, str] | None:
    try:
        unpack(data, 16 * entry["s"] + 64)
    except HostError as e:
        return "a patch", str(e)
    return None


def _wrong_inside(data: bytes, entry: Entry, old: bytes | None) -> tuple[str, str] | None:
    try:
        made = unpack(data, entry["s"]) if old is None else apply(data, old, entry["s"])
    except HostError as e:
        return f"sha256 {entry['h']} inside", str(e)
    found = sha256(made).hexdigest()
    return None if found == entry["h"] else (f"sha256 {entry['h']} inside", f"sha256 {found}")
