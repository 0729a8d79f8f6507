"""The files of one project on a server, read and changed so that a reader never sees half of a change.

<project>/
  stable.manifest              one per channel: replaced last
  stable.d/<crc>.manifest      the same as its difference from what boards have, see `differences`
  blobs/<2 hex>/<sha256 hex>   contents, immutable; with .z behind it the same as a zlib stream
  deltas/<16 hex>-<16 hex>     patches from one content to another, immutable
  releases/<version>.manifest  every release ever published, immutable
  version, v1.0.1_main.py, …   the legacy layout
  .drafts/                     the manifests of drafts that are in no channel yet
  .lock, .tmp/                 of the publisher; nobody asks for them
  .gitattributes, .gitignore   for trees that are served from a git repository
"""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import cast

import filelock

from ota.errors import ManifestError
from ota.manifest import NUMBER, Reader

from .errors import HostError, OutsideError
from .keys import split
from .shared_types import Entry, Header

END = ".manifest"
DRAFTS = ".drafts/"
# Git must not change the end of a line, nor leave out what the .gitignore of a project happens to name, such as
# `*.manifest` or `lib/`.
GIT_FILES = {".gitattributes": b"* -text\n", ".gitignore": b"!*\n/.lock\n/.tmp/\n"}
# GitHub Pages leaves out names with `_` in front unless this file is beside them.
NO_JEKYLL = ".nojekyll"
WAIT = 60  # seconds for another publisher to finish


@dataclass(frozen=True)
class Manifest:
    """A manifest that keeps the format: `raw` (bytes), its `header` (dict) and `entries` (list of dicts)."""

    raw: bytes
    header: Header
    entries: list[Entry]

    @property
    def version(self) -> str:
        return self.header["version"]

    @property
    def seq(self) -> int:
        return self.header["seq"]

    @property
    def body(self) -> bytes:
        """All that a signature covers (bytes)."""
        return split(self.raw)[0]

    def lines(self) -> bytes:
        """The file lines (bytes) as they stand."""
        return self.body.split(b"\n", 1)[1]


def parse_manifest(raw: bytes, name: str | Path) -> Manifest:
    """Check `raw` (bytes) as a board does.

    Raises:
        HostError: it breaks the format; `name` says where it is.
    """
    try:
        reader = Reader(io.BytesIO(raw).readline)
        return Manifest(raw, cast(Header, reader.header), cast("list[Entry]", list(reader)))
    except ManifestError as e:
        raise HostError(f"{name}: {e}") from None


class Tree:
    """One project's folder on the server.

    Args:
        folder (Path): made when the first file is written.
    """

    is_dry = False  # whether nothing is written

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def blob(self, digest: str) -> str:
        """The name of a content's file."""
        return f"blobs/{digest[:2]}/{digest}"

    def packed(self, digest: str) -> str:
        """The name of a content's zlib form."""
        return self.blob(digest) + ".z"

    def patch(self, old: str, new: str) -> str:
        """The name of the patch from one content to another (SHA-256 in hex)."""
        return f"deltas/{old[:16]}-{new[:16]}"

    def read(self, name: str) -> bytes | None:
        """The content of a file (bytes), or None when there is none."""
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def manifest(self, name: str) -> Manifest | None:
        """The Manifest in the file `name`, or None when there is none.

        Raises:
            HostError: it is damaged.
        """
        raw = self.read(name)
        try:
            return None if raw is None else parse_manifest(raw, self.folder / name)
        except HostError as e:
            raise HostError(f"{e}; `ota verify --fix` repairs what it can") from None

    def sound(self, name: str) -> Manifest | None:
        """The Manifest in the file `name`, or None when there is none or it is damaged."""
        with contextlib.suppress(HostError):
            return self.manifest(name)
        return None

    def release(self, version: str) -> Manifest | None:
        """The Manifest of a release, or None; raises HostError when it is damaged."""
        return self.manifest(f"releases/{version}{END}")

    def channels(self, skip_damaged: bool = False) -> dict[str, Manifest]:
        """Channel -> its Manifest; raises HostError for a damaged one unless they are skipped."""
        found = {name: self._read_manifest(name + END, skip_damaged) for name in self.channel_names()}
        return {name: head for name, head in found.items() if head}

    def channel_names(self) -> list[str]:
        """The channels, damaged ones too."""
        return [name[: -len(END)] for name in self._manifests("")]

    def versions(self) -> list[str]:
        """The versions of all releases, as their files are named."""
        return [name[len("releases/") : -len(END)] for name in self._manifests("releases/")]

    def releases(self, skip_damaged: bool = False) -> list[Manifest]:
        """Every release's Manifest, oldest first; raises HostError for a damaged one unless they are skipped."""
        found = [self._read_manifest(f"releases/{version}{END}", skip_damaged) for version in self.versions()]
        return sorted(filter(None, found), key=lambda m: m.seq)

    def _read_manifest(self, name: str, skip_damaged: bool) -> Manifest | None:
        return self.sound(name) if skip_damaged else self.manifest(name)

    def seqs(self) -> dict[str, int | None]:
        """The `seq` of every manifest here whose header can be read: name of the file -> int, None for the others."""
        return {name: self._seq(name) for name in self._manifests("") + self._manifests("releases/")}

    def next_seq(self) -> int:
        """One more than the highest `seq` that any manifest here can have.

        Each damaged manifest may be a release of its own after the highest one that is known.

        Raises:
            HostError: boards count no further.
        """
        seqs = list(self.seqs().values())
        last = max((seq for seq in seqs if seq), default=0) + seqs.count(None)
        if last >= NUMBER:
            raise HostError(f"{self.folder}: seq {last} is the last one that boards accept")
        return last + 1

    def newest(self) -> list[str]:
        """The versions of the releases whose header can be read, newest first."""
        seqs = {version: seq for version in self.versions() if (seq := self._seq(f"releases/{version}{END}"))}
        return sorted(seqs, key=lambda version: -seqs[version])

    def _seq(self, name: str) -> int | None:
        with contextlib.suppress(ManifestError), (self.folder / name).open("rb") as f:
            return cast(Header, Reader(f.readline).header)["seq"]
        return None

    def tuf_manifests(self) -> dict[str, Manifest]:
        """File name -> Manifest of what the two newest targets of The Update Framework lead boards to."""
        targets = sorted(
            (int(path.name.split(".")[0]), path) for path in self.folder.glob("tuf/*.targets.json") if path.name[0].isdecimal()
        )
        found: dict[str, Manifest] = {}
        for _, path in targets[-2:]:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                for name, target in json.loads(path.read_bytes())["signed"]["targets"].items():
                    copy = f"tuf/targets/{target['hashes']['sha256']}.{name}"
                    manifest = self.sound(copy)
                    if manifest and sha256(manifest.raw).hexdigest() == target["hashes"]["sha256"]:
                        found[copy] = manifest
        return found

    def drafts(self) -> list[Manifest]:
        """The Manifests of drafts that no channel has got yet."""
        return [m for name in self._manifests(DRAFTS) if (m := self.sound(name))]

    def _manifests(self, folder: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = sorted(os.listdir(self.folder / folder))
            return [folder + n for n in names if n.endswith(END) and not n.startswith(".")]
        return []

    @contextlib.contextmanager
    def locked(self, wait: float = WAIT) -> Iterator[None]:
        """Keep other publishers out; what one that died left half-written is removed.

        Raises:
            OutsideError: another one still publishes after `wait` seconds, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.folder / ".lock", timeout=wait):
                shutil.rmtree(self.folder / ".tmp", ignore_errors=True)
                try:
                    yield
                finally:
                    shutil.rmtree(self.folder / ".tmp", ignore_errors=True)
        except filelock.Timeout:
            raise OutsideError(f"{self.folder}: another publisher holds the lock for over {wait} s") from None
        except OSError as e:
            raise OutsideError(f"{e.filename or self.folder}: {e.strerror or e}") from None

    def write(self, name: str, content: bytes, after: str = "") -> bool:
        """Give the file `name` the content (bytes), whole or not at all; hold the lock.

        Args:
            after (str): the name of a file that it is no older than.

        Returns:
            bool: False when it had it already.
        """
        path = self.folder / name
        if self.read(name) == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.folder / ".tmp" / sha256(name.encode()).hexdigest()
        scratch.parent.mkdir(exist_ok=True)
        with scratch.open("wb") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        _make_later(scratch, path)
        if after:
            os.utime(scratch, (max(scratch.stat().st_mtime, (self.folder / after).stat().st_mtime),) * 2)
        os.replace(scratch, path)
        _sync_folder(path.parent)
        return True

    def remove(self, name: str) -> None:
        """Remove the file `name`, and its folder when nothing else is in it; hold the lock."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            while path.parent != self.folder:
                path = path.parent
                path.rmdir()

    def add_host_files(self) -> None:
        """Write the files that keep git and GitHub Pages from changing the tree, where there are none; hold the lock."""
        for name, content in GIT_FILES.items():
            if not (self.folder / name).exists():
                self.write(name, content)
        root = self.folder.parent
        # A site of the project's own that Jekyll makes would be lost.
        if not any((root / name).exists() for name in (NO_JEKYLL, "_config.yml")):
            (root / NO_JEKYLL).touch()

    def keep_only(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Remove what a folder holds but for the files (dict: name -> content) that are as here; hold the lock."""
        with contextlib.suppress(FileNotFoundError):
            for path in sorted((self.folder / folder).iterdir()):
                if path.read_bytes() != files.get(path.relative_to(self.folder).as_posix()):
                    path.unlink()


def _make_later(new: Path, old: Path) -> None:
    # Some servers make entity tags of the size and the time in whole seconds: two manifests of
    # one size, replaced within a second, must not share one.
    with contextlib.suppress(FileNotFoundError):
        before = int(old.stat().st_mtime)
        if int(new.stat().st_mtime) <= before:
            os.utime(new, (before + 1, before + 1))


def _sync_folder(folder: Path) -> None:
    # A name is on disk when its folder is; Windows has no such call and needs none.
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
