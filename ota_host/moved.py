"""Files that were moved or copied: the path under which a board already has a content, or one that is much like it."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Iterable
from posixpath import basename, splitext

from .shared_types import Entry

_TRIED = 8  # files that are compared with a new one
_SAMPLE = 1 << 14  # bytes compared of each: both fit into the window of zlib


class Places:
    """What an older release has where.

    Args:
        entries: the file lines of its manifest.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)
        self.digests: dict[str, str] = {e["p"]: e["h"] for e in self.entries}
        self._paths: dict[str, list[str]] = {}
        for e in self.entries:
            self._paths.setdefault(e["h"], []).append(e["p"])

    def of_same(self, entry: Entry) -> str:
        """The path that had the content of a file line, preferably under the same name; empty if `entry["p"]` had it too."""
        if self.digests.get(entry["p"]) == entry["h"]:
            return ""
        paths = self._paths.get(entry["h"], [])
        return min(paths, key=lambda path: (basename(path) != basename(entry["p"]), path), default="")

    def of_similar(self, entry: Entry, data: bytes, taken: set[str], read: Callable[[str], bytes | None]) -> str:
        """The path of the file that is most like a new one; empty when none has much in common with it.

        Args:
            entry: the file line of the new file, and `data` its content.
            taken: the paths of the new release; a file that it removes comes first.
            read: gives the content with a SHA-256 (hex), or None when it is gone.
        """
        best, found = len(_packed(data, b"")) * 3 // 4, ""
        for old in heapq.nsmallest(_TRIED, self.entries, key=lambda e: (e["p"] in taken, *_distance(e, entry))):
            content = read(old["h"])
            size = best if content is None else len(_packed(data, content))
            if size < best:
                best, found = size, old["p"]
        return found


def _distance(old: Entry, new: Entry) -> tuple[bool, bool, int, str]:
    names = basename(old["p"]), basename(new["p"])
    (stem, suffix), (new_stem, new_suffix) = map(splitext, names)
    return names[0] != names[1], stem != new_stem and suffix != new_suffix, abs(old["s"] - new["s"]), old["p"]


def _packed(data: bytes, known: bytes) -> bytes:
    # What is in `known` as well takes next to nothing.
    stream = zlib.compressobj(wbits=-15, zdict=known[:_SAMPLE])
    return stream.compress(data[:_SAMPLE]) + stream.flush()
