"""The long parts that two contents have in common, found without sorting all of the old one.

bsdiff sorts every suffix of the old content, which takes 17 times its size in memory, and its search is quadratic
in the length of a repetition. So a large or repetitive content is cut up here first: what is plainly the same is
set aside, and only the gaps in between go to bsdiff.
"""

from __future__ import annotations

from dataclasses import dataclass

GAP = 4 << 20  # bytes, old or new, of a gap that bsdiff takes: with 4 MB it needs about a second
LARGEST = 16 << 20  # bytes of a content above which gaps are not halved for it
LEAST = 256  # bytes of a common part
_RUN = 8192  # bytes of a repetition that makes a part of its own
_CHUNK = 1 << 16  # bytes compared at a time; also of a gap that needs no further cut
_PROBE = 64  # bytes looked up in the old content
_SHORT = 24  # as many before a gap is halved
_PERIOD = 8  # bytes after which a repetition repeats itself, at most
_PROBES = 15  # places of a gap that are tried


@dataclass(frozen=True, order=True)
class Part:
    """A piece of the new content, new[start:end], and where to look for it in the old one, old[low:high].

    With `is_same` the two are equal; with `is_run` it is a repetition that the old one does not have.
    """

    start: int
    end: int
    low: int
    high: int
    is_same: bool = False
    is_run: bool = False


def head(a: bytes, b: bytes) -> int:
    """The number of bytes at the start that are the same in both."""
    most = min(len(a), len(b))
    at = 0
    while at < most and a[at : at + _CHUNK] == b[at : at + _CHUNK]:
        at = min(at + _CHUNK, most)
    end = min(at + _CHUNK, most)
    while at < end:
        middle = (at + end + 1) // 2
        if a[at:middle] == b[at:middle]:
            at = middle
        else:
            end = middle - 1
    return at


def tail(a: bytes, b: bytes) -> int:
    """The number of bytes at the end that are the same in both."""

    def is_same(start: int, end: int) -> bool:  # counted from the end
        return a[len(a) - end : len(a) - start] == b[len(b) - end : len(b) - start]

    most = min(len(a), len(b))
    at = 0
    while at < most and is_same(at, min(at + _CHUNK, most)):
        at = min(at + _CHUNK, most)
    end = min(at + _CHUNK, most)
    while at < end:
        middle = (at + end + 1) // 2
        if is_same(at, middle):
            at = middle
        else:
            end = middle - 1
    return at


def parts(old: bytes, new: bytes) -> list[Part]:
    """All of the new content in parts, in order."""
    start = head(old, new)
    end = tail(old[start:], new[start:])
    before, after = len(old) - end, len(new) - end
    found = [Part(0, start, 0, start, is_same=True), Part(after, len(new), before, len(old), is_same=True)]
    gaps = [Part(start, after, start, before)]
    while gaps:
        gap = gaps.pop()
        inside = _inside(old, new, gap) or _halves(old, new, gap)
        if not inside:
            found.append(gap)
            continue
        for part in inside:
            (found if part.is_same or part.is_run else gaps).append(part)
    return sorted(part for part in found if part.start < part.end)


def _halves(old: bytes, new: bytes, gap: Part) -> list[Part]:
    # Of a gap that is too large for bsdiff, when something of it is in the old content.
    size = gap.end - gap.start
    if max(size, gap.high - gap.low) <= GAP or size < _CHUNK or max(len(old), len(new)) > LARGEST:
        return []
    places = range(gap.start, gap.end - _SHORT, size // _PROBES)
    if not any(old.find(new[at : at + _SHORT]) >= 0 for at in places):
        return []
    middle, place = (gap.start + gap.end) // 2, (gap.low + gap.high) // 2
    return [Part(gap.start, middle, gap.low, place), Part(middle, gap.end, place, gap.high)]


def _inside(old: bytes, new: bytes, gap: Part) -> list[Part]:
    # A part within a gap, and the gaps before and after it.
    if gap.end - gap.start <= _CHUNK:
        return []
    for i in range(1, _PROBES + 1):
        at = gap.start + (gap.end - gap.start) * i // (_PROBES + 1)
        period = _period(new[at : at + _PROBE])
        part = _run(old, new, gap, at, period) if period else _equal(old, new, gap, at, _PROBE, LEAST)
        if part and gap.low <= part.low <= part.high <= gap.high and part.is_same:
            return [Part(gap.start, part.start, gap.low, part.low), part, Part(part.end, gap.end, part.high, gap.high)]
        if part:
            return [Part(gap.start, part.start, gap.low, gap.high), part, Part(part.end, gap.end, gap.low, gap.high)]
    return []


def _period(probe: bytes) -> int:
    return next((n for n in range(1, _PERIOD + 1) if probe[n:] == probe[:-n]), 0)


def _run(old: bytes, new: bytes, gap: Part, at: int, period: int) -> Part | None:
    # The repetition around new[at]: where the old content has as much of one, else alone.
    start = at - tail(new[gap.start : at], new[gap.start + period : at + period])
    end = at + period + head(new[at : gap.end - period], new[at + period : gap.end])
    if end - start < _RUN:
        return None
    return _equal(old, new, gap, start, _RUN, _RUN) or Part(start, end, gap.low, gap.low, is_run=True)


def _equal(old: bytes, new: bytes, gap: Part, at: int, size: int, least: int) -> Part | None:
    probe = new[at : at + size]
    # An edit in place leaves what follows where it was, counted from the start or from the end of the gap.
    places = (gap.low + at - gap.start, gap.high - (gap.end - at))
    place = next((p for p in places if p >= 0 and old[p : p + size] == probe), -1)
    if place < 0:
        place = old.find(probe, gap.low, gap.high)
    if place < 0:
        place = old.find(probe)
    if place < 0:
        return None
    # A part within the gap's own piece of the old content may not grow out of it: what lies around is in use.
    is_within = gap.low <= place < gap.high
    low, high = (gap.low, gap.high) if is_within else (0, len(old))
    before = tail(old[low:place], new[gap.start : at])
    after = head(old[place:high], new[at : gap.end])
    if before + after < least:
        return None
    return Part(at - before, at + after, place - before, place + after, is_same=True)
