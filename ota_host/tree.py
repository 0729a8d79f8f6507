"""The files of one project on a server, read and changed so that a reader never sees half of a change.

    <project>/
      stable.manifest              one per channel: replaced last
      stable.d/<crc>.manifest      the same as its difference from what boards have, see `differences`
      blobs/<2 hex>/<sha256 hex>   contents, immutable; with .z behind it the same as a zlib stream
      deltas/<16 hex>-<16 hex>     patches from one content to another, immutable
      releases/<version>.manifest  every release ever published, immutable
      version, v1.0.1_main.py, …   the legacy layout
      .lock, .tmp/                 of the publisher; nobody asks for them
"""

import contextlib
import io
import os
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import filelock

from ota.errors import ManifestError
from ota.manifest import NUMBER, Reader

from .errors import HostError, OutsideError
from .keys import split

END = ".manifest"
WAIT = 60  # seconds for another publisher to finish


@dataclass(frozen=True)
class Manifest:
    """A manifest that keeps the format: `raw` (bytes), its `header` (dict) and `entries` (list of dicts)."""

    raw: bytes
    header: dict
    entries: list

    @property
    def version(self):
        return self.header["version"]

    @property
    def seq(self):
        return self.header["seq"]

    @property
    def body(self):
        """All that a signature covers (bytes)."""
        return split(self.raw)[0]

    def lines(self):
        """The file lines (bytes) as they stand."""
        return self.body.split(b"\n", 1)[1]


def parse_manifest(raw, name):
    """Check `raw` (bytes) as a board does.

    Raises:
        HostError: it breaks the format; `name` says where it is.
    """
    try:
        reader = Reader(io.BytesIO(raw).readline)
        return Manifest(raw, reader.header, list(reader))
    except ManifestError as e:
        raise HostError(f"{name}: {e}") from None


class Tree:
    """One project's folder on the server.

    Args:
        folder (Path): made when the first file is written.
    """

    is_dry = False  # whether nothing is written

    def __init__(self, folder):
        self.folder = Path(folder)

    def blob(self, digest):
        """The name of a content's file."""
        return f"blobs/{digest[:2]}/{digest}"

    def packed(self, digest):
        """The name of a content's zlib form."""
        return self.blob(digest) + ".z"

    def patch(self, old, new):
        """The name of the patch from one content to another (SHA-256 in hex)."""
        return f"deltas/{old[:16]}-{new[:16]}"

    def read(self, name):
        """The content of a file (bytes), or None when there is none."""
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def manifest(self, name):
        """The Manifest in the file `name`, or None when there is none; raises HostError."""
        raw = self.read(name)
        return None if raw is None else parse_manifest(raw, self.folder / name)

    def release(self, version):
        """The Manifest of a release, or None."""
        return self.manifest(f"releases/{version}{END}")

    def channels(self):
        """Channel -> its Manifest; raises HostError."""
        return {name[: -len(END)]: self.manifest(name) for name in self._manifests("")}

    def versions(self):
        """The versions of all releases, as their files are named."""
        return [name[len("releases/") : -len(END)] for name in self._manifests("releases/")]

    def releases(self):
        """Every release's Manifest, oldest first; raises HostError."""
        return sorted(map(self.release, self.versions()), key=lambda m: m.seq)

    def next_seq(self):
        """One more than the highest `seq` of any manifest here.

        Raises:
            HostError: a manifest cannot be read, so the highest is not known.
        """
        last = max(map(self._seq, self._manifests("") + self._manifests("releases/")), default=0)
        if last >= NUMBER:
            raise HostError(f"{self.folder}: seq {last} is the last one that boards accept")
        return last + 1

    def newest(self):
        """The versions of all releases, newest first, of which only the headers are read; raises HostError."""
        return sorted(self.versions(), key=lambda version: -self._seq(f"releases/{version}{END}"))

    def _seq(self, name):
        with (self.folder / name).open("rb") as f:
            try:
                return Reader(f.readline).header["seq"]
            except ManifestError as e:
                raise HostError(f"{self.folder / name}: {e}; `ota verify` lists all that is wrong") from None

    def _manifests(self, folder):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = sorted(os.listdir(self.folder / folder))
            return [folder + n for n in names if n.endswith(END) and not n.startswith(".")]
        return []

    @contextlib.contextmanager
    def locked(self, wait=WAIT):
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

    def write(self, name, content, after=""):
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


    def keep_only(self, folder, files):
        """Remove what a folder holds but for the files (dict: name -> content) that are as here; hold the lock."""
        with contextlib.suppress(FileNotFoundError):
            for path in sorted((self.folder / folder).iterdir()):
                if path.read_bytes() != files.get(path.relative_to(self.folder).as_posix()):
                    path.unlink()


def _make_later(new, old):
    # Some servers make entity tags of the size and the time in whole seconds: two manifests of
    # one size, replaced within a second, must not share one.
    with contextlib.suppress(FileNotFoundError):
        before = int(old.stat().st_mtime)
        if int(new.stat().st_mtime) <= before:
            os.utime(new, (before + 1, before + 1))


def _sync_folder(folder):
    # A name is on disk when its folder is; Windows has no such call and needs none.
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
