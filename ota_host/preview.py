"""`ota publish --dry-run`: what a publication would change, found by publishing into a tree that writes nothing."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from . import delta
from .put import Published
from .shared_types import Entry
from .tree import END, WAIT, Manifest, Tree, parse_manifest

# Stands for a version that has not been chosen yet, and sorts after all others.
UNNAMED = "v999999999.0.0"
_LARGEST = 3  # files that are named


_From = TypedDict("_From", {"from": str}, total=False)


class FileNote(_From, total=False):
    """A file of a preview: `path`, and of the rest what is known."""

    path: str
    size: int
    fetched: int
    before: int


@dataclass
class Preview:
    """What would be published.

    `previous` is the version that `channel` has now, empty without one. `new`, `changed` and `removed` are files, each a
    dict with `path`, `size`, and `fetched`, the bytes that a board on `previous` fetches for it, or `before`, its old size;
    `from` is the path that a moved file had.
    `fetch` has the sum of these bytes: `raw`, `compressed` where that is smaller, and `delta` where that is smaller still,
    without what is copied on the board.
    """

    project: str
    channel: str
    version: str
    seq: int
    files: int
    size: int
    previous: str = ""
    new: list[FileNote] = field(default_factory=list)
    changed: list[FileNote] = field(default_factory=list)
    removed: list[FileNote] = field(default_factory=list)
    unchanged: int = 0
    fetch: dict[str, int] = field(default_factory=dict)
    largest: list[FileNote] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class DryTree(Tree):
    """A tree that a publication reads as ever; what it would write is kept in `files`, name -> content (bytes)."""

    is_dry = True

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.files: dict[str, bytes] = {}

    @contextlib.contextmanager
    def locked(self, wait: float = WAIT) -> Iterator[None]:
        yield

    def write(self, name: str, content: bytes, after: str = "") -> bool:
        if self.read(name) == content:
            return False
        self.files[name] = content
        return True

    def read(self, name: str) -> bytes | None:
        return self.files[name] if name in self.files else super().read(name)

    def keep_only(self, folder: str, files: Mapping[str, bytes]) -> None:
        pass

    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    def add_host_files(self) -> None:
        pass


def preview(tree: DryTree, channel: str, publish: Callable[[], Published]) -> Preview:
    """What a publication would change.

    Args:
        tree: where to.
        channel: who would get it.
        publish: publishes into that tree.

    Raises:
        HostError: as the publication itself.
    """
    before = tree.manifest(channel + END)
    done = publish()
    raw = tree.files.get(channel + END)
    after = parse_manifest(raw, "the new manifest") if raw else before
    made = Preview(done.project, channel, done.version, done.seq, done.files, done.size, warnings=done.warnings)
    if after:
        _compare(made, before, after)
    if done.version == UNNAMED:
        made.version = ""
    return made


def largest(entries: Iterable[Entry]) -> list[FileNote]:
    """The largest files of a release, by its file lines: dicts of `path` and `size`."""
    found = sorted(entries, key=lambda e: -e["s"])[:_LARGEST]
    return [{"path": e["p"], "size": e["s"]} for e in found]


def _compare(made: Preview, before: Manifest | None, after: Manifest) -> None:
    old = {e["p"]: e for e in before.entries} if before else {}
    paths = set(old)
    made.previous = before.version if before else ""
    made.largest = largest(after.entries)
    made.fetch = {"raw": 0, "compressed": 0, "delta": 0}
    least = {entry["p"]: size for entry, size in delta.missing(after, before)}
    for entry in after.entries:
        there = old.pop(entry["p"], None)
        if there and there["h"] == entry["h"]:
            made.unchanged += 1
            continue
        packed = min(entry["s"], entry.get("z", entry["s"]))
        fetched = least.get(entry["p"], 0)
        for form, size in (("raw", entry["s"]), ("compressed", packed), ("delta", fetched)):
            made.fetch[form] += size
        file: FileNote = {"path": entry["p"], "size": entry["s"], "fetched": fetched}
        if entry.get("m") in paths:
            file["from"] = entry["m"]
        if there:
            file["before"] = there["s"]
            made.changed.append(file)
        else:
            made.new.append(file)
    made.removed = [{"path": e["p"], "before": e["s"]} for e in old.values()]
