"""`ota verify`: whether every board that asks a tree gets whole, right files."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from . import delta, differences, legacy, mend
from .errors import ConfigError, HostError, OutsideError
from .keys import Seal, split
from .prune import needed
from .release import check_version
from .shared_types import Entry, Header, Progress
from .terms import OF_RELEASE, first_tag
from .tree import END, Manifest, Tree, parse_manifest

_LEGACY = "publish the release again with --legacy"


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file: what was `expected` of it, what was `found`, and what mends it."""

    file: str
    expected: str
    found: str
    remedy: str = ""


@dataclass
class Report:
    """The result for one project: `channels` and counts, and what is wrong."""

    folder: str
    project: str = ""
    channels: dict[str, Header] = field(default_factory=dict)
    releases: int = 0
    contents: int = 0
    forms: int = 0  # zlib forms and patches
    unused: int = 0
    legacy: str = ""
    fixed: list[mend.Fix] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def projects(root: str | Path) -> list[Path]:
    """The projects' folders below `root`, or `root` itself when it is one.

    Raises:
        ConfigError: there is none.
    """
    root = Path(root)
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder")
    if _is_project(root):
        return [root]
    found = [p for p in sorted(root.iterdir()) if p.is_dir() and _is_project(p)]
    if not found:
        raise ConfigError(f"{root}: holds no release; `ota publish` writes one")
    return found


def _is_project(folder: Path) -> bool:
    return (folder / "releases").is_dir() or any(folder.glob("*" + END)) or (folder / "blobs").is_dir()


def verify(folder: Path, progress: Progress | None = None, seal: Seal | None = None) -> Report:
    """Check one project's tree by reading all of it.

    Args:
        folder (Path): the project's folder.
        progress: called with (what, done, total).
        seal (Seal): the keys that its boards trust.

    Returns:
        Report.

    Raises:
        OutsideError: a file cannot be read.
    """
    try:
        return _Audit(Tree(folder), progress, seal).run()
    except OSError as e:
        raise OutsideError(f"{e.filename}: cannot be read: {e.strerror}") from None


def _remedy(name: str | Path) -> str:
    name = str(name)
    if name.startswith("releases/"):
        version = name[len("releases/") : -len(END)]
        return f"publish {version} again from the same sources, or remove the file when no board has that release"
    return f"publish a release to {name[: -len(END)]} again"


class _Audit:
    def __init__(self, tree: Tree, progress: Progress | None, seal: Seal | None = None) -> None:
        self.tree = tree
        self.seal = seal or Seal()
        self.progress = progress or (lambda what, done, total: None)
        self.report = Report(str(tree.folder))
        self.wanted: dict[str, int] = {}  # digest -> size
        self.versions: dict[str, list[str]] = {}  # digest -> versions of the releases that have it
        self.manifests: list[Manifest] = []
        self.forms: dict[tuple[str, int], tuple[Entry, str]] = {}  # (name, bytes) -> entry, base: smaller forms

    def run(self) -> Report:
        releases = {v: m for v in self.tree.versions() if (m := self._manifest(f"releases/{v}{END}"))}
        heads = {}
        for path in sorted(self.tree.folder.glob("*" + END)):
            head = self._manifest(path.name)
            if head:
                heads[path.name[: -len(END)]] = head
        self.report.channels = {name: head.header for name, head in heads.items()}
        self.report.releases = len(releases)
        self._check_releases(releases)
        for name, head in heads.items():
            self._check_channel(name, head, releases)
            self._check_differences(name, head, [*releases.values(), *heads.values()])
        self._check_projects({**releases, **heads})
        self._check_contents()
        self._check_forms()
        self._count_unused()
        self._check_legacy(releases)
        return self.report

    def _problem(self, name: str | Path, expected: str, found: str, remedy: str = "") -> None:
        self.report.problems.append(Problem(str(self.tree.folder / name), expected, found, remedy))

    def _again(self, digest: str) -> str:
        versions = list(dict.fromkeys(map(first_tag, self.versions[digest])))
        some = " or ".join(versions[:3]) + (" or a later one" if len(versions) > 3 else "")
        return f"publish {some} again from the same sources"

    def _manifest(self, name: str) -> Manifest | None:
        try:
            manifest = parse_manifest(self.tree.read(name) or b"", name)
            split(manifest.raw, name)
        except HostError as e:
            self._problem(name, "a manifest that boards accept", str(e).split(": ", 1)[1], _remedy(name))
            return None
        self.manifests.append(manifest)
        for entry in manifest.entries:
            self.wanted[entry["h"]] = entry["s"]
            self.versions.setdefault(entry["h"], []).append(manifest.version)
        for form, size, entry, base in delta.named(self.tree, manifest):
            self.forms[form, size] = entry, base
        self._check_known(name, manifest)
        return manifest

    def _check_known(self, name: str, manifest: Manifest) -> None:
        # Old releases may carry signatures of keys that are no longer trusted; those say nothing.
        for key in mend.wrong_signers(manifest, self.seal):
            self._problem(name, f"a signature of {key} on what it says", "one that does not verify", _remedy(name))

    def _check_releases(self, releases: Mapping[str, Manifest]) -> None:
        of_seq: dict[int, str] = {}
        for version, manifest in releases.items():
            name = f"releases/{version}{END}"
            if manifest.version != version:
                self._problem(name, f"version {version}", f"version {manifest.version}")
            other = of_seq.setdefault(manifest.seq, version)
            if other != version:
                self._problem(name, "a seq of its own", f"seq {manifest.seq}, which {other} has")

    def _check_channel(self, channel: str, head: Manifest, releases: Mapping[str, Manifest]) -> None:
        name = channel + END
        release = releases.get(head.version)
        if not release:
            self._problem(name, f"releases/{head.version}{END} beside it", "no such file, or a bad one", _remedy(name))
        else:
            for key in OF_RELEASE:
                want, found = release.header.get(key), head.header.get(key)
                if want != found:
                    expected = f"{key} {want} as in the release {head.version}"
                    self._problem(name, expected, f"{key} {found}", _remedy(name))
            if release.lines() != head.lines():
                self._problem(name, f"the files of the release {head.version}", "others", _remedy(name))
        problem = self.seal.problem(head.raw, name)
        if problem:
            self._problem(name, *problem, "publish it again with --key")
        expires = head.header.get("expires")
        if expires and expires < time.time():
            when = time.strftime("%Y-%m-%d", time.gmtime(expires))
            self.report.warnings.append(f"{name}: expired on {when}: boards refuse it; publish it again with --expires")

    def _check_differences(self, channel: str, head: Manifest, known: Sequence[Manifest]) -> None:
        for path in sorted((self.tree.folder / (channel + differences.FOLDER)).glob("[!.]*" + END)):
            problem = differences.problem(path.read_bytes(), channel, head, path.name[: -len(END)], known)
            if problem:
                self._problem(path.relative_to(self.tree.folder), *problem, _remedy(channel + END))

    def _check_projects(self, manifests: Mapping[str, Manifest]) -> None:
        names = sorted({m.header["project"] for m in manifests.values()})
        self.report.project = ", ".join(names)
        if len(names) > 1:
            self._problem("", "manifests of one project", f"of {', '.join(names)}")

    def _check_contents(self) -> None:
        self.report.contents = len(self.wanted)
        for i, (digest, size) in enumerate(sorted(self.wanted.items()), 1):
            name = self.tree.blob(digest)
            data = self.tree.read(name)
            if data is None:
                self._problem(name, f"{size} bytes", "no such file", self._again(digest))
            elif len(data) != size:
                self._problem(name, f"{size} bytes", f"{len(data)} bytes", self._again(digest))
            elif sha256(data).hexdigest() != digest:
                self._problem(name, f"sha256 {digest}", f"sha256 {sha256(data).hexdigest()}", self._again(digest))
            self.progress("verifying", i, len(self.wanted))

    def _check_forms(self) -> None:
        self.report.forms = len(self.forms)
        for i, ((name, size), (entry, base)) in enumerate(sorted(self.forms.items()), 1):
            old = delta.content_of(self.tree, base) if base else None
            data = self.tree.read(name)
            problem = delta.problem(data, size, entry, base, old)
            if data is None:
                self.report.warnings.append(
                    f"{self.tree.folder / name}: no such file; boards fetch all of {entry['p']} ({entry['s']} bytes) instead"
                )
            elif problem:
                self._problem(name, *problem, self._again(entry["h"]))
            self.progress("unpacking", i, len(self.forms))

    def _count_unused(self) -> None:
        folder = self.tree.folder
        there = {p for p in (folder / "blobs").glob("*/*") if len(p.name.removesuffix(".z")) == 64}
        there |= {p for p in (folder / "deltas").glob("*") if not p.name.startswith(".")}
        named: set[Path] = set()
        for manifest in [*self.tree.drafts(), *self.tree.tuf_manifests().values(), *self.manifests]:
            named |= {folder / name for name in needed(self.tree, manifest)}
        self.report.unused = len(there - named)

    def _check_legacy(self, releases: Mapping[str, Manifest]) -> None:
        text = self.tree.read("version")
        if text is None:
            return
        version = text.decode(errors="replace").strip()
        try:
            check_version(version)
        except ConfigError:
            self._problem("version", "a version of Semantic Versioning", repr(version[:128]), _LEGACY)
            return
        release = releases.get(version)
        if not release:
            self._problem("version", "the version of a release", f"{version}, which is not in releases/", _LEGACY)
            return
        layout = legacy.layout_of(self.tree.folder, version)
        self.report.legacy = f"{version} ({layout or 'no files'})"
        for entry in release.entries:
            self._check_legacy_file(layout or "prefix", version, entry)

    def _check_legacy_file(self, layout: str, version: str, entry: Entry) -> None:
        path = entry["p"]
        if path.endswith(".mpy"):
            path = path[:-4] + ".py"  # the legacy layout has the sources; the release does not know their hashes
            name = legacy.name(layout, version, path)
            if self.tree.read(name) is None:
                self._problem(name, f"the source of {entry['p']}", "no such file", _LEGACY)
            return
        name = legacy.name(layout, version, path)
        data = self.tree.read(name)
        if data is None:
            self._problem(name, f"{entry['s']} bytes", "no such file", _LEGACY)
        elif sha256(data).hexdigest() != entry["h"]:
            self._problem(name, f"sha256 {entry['h']}", f"sha256 {sha256(data).hexdigest()}", _LEGACY)
