"""Releases: build one from a folder, publish it into a server's tree, publish an old one again.

The rules that every tree keeps:

- A version names one content and one `seq` for ever; `releases/<version>.manifest` never changes.
- A channel's manifest is that of its release; only `expires`, `rollout` and the signatures may be
  changed later, and of a signed one the `channel` and the `time` at which it was made.
- Files are written in an order in which every reader finds whole releases: contents, their
  smaller forms, the release's manifest, the legacy layout with `version` last of it, the channel's manifest;
  last of all its differences, of which those of the manifest before are removed before it is replaced.
"""

import functools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ota.errors import ManifestError
from ota.version import compare, parse

from . import bootcheck, delta, git, imports, keep, legacy, mend, mpy, sources
from .config import Config
from .errors import ConfigError, HostError
from .keys import Seal
from .put import Published, Put
from .rules import Rules
from .shared_types import Entry, Header, Progress, Requires
from .terms import Terms, first_tag, header_line, line
from .tree import Manifest, Tree, parse_manifest

_AS_SOURCE = ("boot.py", "main.py")  # MicroPython starts these by name


@dataclass(frozen=True)
class Build:
    """A release before it has a version.

    `entries` are the file lines of its manifest (dicts); `contents` SHA-256 in hex -> bytes;
    `files` path -> bytes as in the source folder; `requires` what the board must have; `keep` the paths that it keeps.
    """

    project: str
    entries: list[Entry]
    contents: dict[str, bytes]
    files: dict[str, bytes]
    requires: Requires
    warnings: list[str]
    keep: list[str] = field(default_factory=list)


def build(config: Config, progress: Progress | None = None) -> Build:
    """Collect, check and compile the files of a project; writes nothing.

    Args:
        config (Config): its settings.
        progress: called with (what, done, total).

    Returns:
        Build.

    Raises:
        HostError: a path, a source or boot.py that would not work on a board.
    """
    collected = sources.collect(config)
    files = collected.files
    python = {path: data for path, data in files.items() if path.endswith(".py")}
    compiled = mpy.compile_all(python, progress)
    warnings = collected.warnings + _check_boot(files, config.legacy != "none")
    board, source_of = dict(files), dict(python)
    if config.compile:
        stays = sources.spec("compile_exclude", config.compile_exclude)
        board, source_of = _ship_compiled(files, compiled, warnings, stays.match_file)
    critical = bootcheck.imported_early(board, source_of) if "boot.py" in board else []
    if critical:
        warnings.append(
            "boot.py imports files of the project before ota.boot(), which makes them boot-critical: "
            + ", ".join(critical)
            + "; move ota.boot() to the first lines"
        )
    warnings += imports.hiding(board) + sources.not_on_fat(board)
    requires: Requires = {"platform": config.platform} if config.platform else {}
    requires.update(_mpy_version(board))
    requires.update(_architectures(board))
    entries: list[Entry] = []
    contents: dict[str, bytes] = {}
    for path in sorted(board):
        data = board[path]
        digest = sha256(data).hexdigest()
        contents[digest] = data
        entry: Entry = {"p": path, "s": len(data), "h": digest}
        if path in critical:
            entry["c"] = 1
        entries.append(entry)
    return Build(config.project, entries, contents, files, requires, warnings, config.keep)


def _check_boot(files: Mapping[str, bytes], is_legacy: bool) -> list[str]:
    source = files.get("boot.py")
    if source is None:
        return ["there is no boot.py: boards keep the one they have, and it must call ota.boot()"]
    tree = bootcheck.parse("boot.py", source)
    if bootcheck.calls_boot(tree):
        if bootcheck.is_whole(source):
            return []
        return [
            (
                "boot.py: this PC's Python cannot parse it, though MicroPython can, so it was only searched line by line; "
                "make sure that it calls ota.boot() before anything that may fail"
            )
        ]
    if is_legacy:
        for path in ("boot.py", "main.py"):
            if path in files and bootcheck.calls_ota_update(bootcheck.parse(path, files[path])):
                return [
                    (
                        "boot.py does not call ota.boot(): an install that loses power is repaired only when "
                        f"{path} reaches ota_update; put `import ota; ota.boot()` on the first lines of boot.py"
                    )
                ]
    raise HostError(
        "boot.py does not call ota.boot() when it is imported: a board would neither finish nor undo "
        "an install; put `import ota; ota.boot()` on its first lines"
    )


def _ship_compiled(
    files: Mapping[str, bytes], compiled: Mapping[str, bytes | None], warnings: list[str], stays: Callable[[str], bool]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    board: dict[str, bytes] = {}
    source_of: dict[str, bytes] = {}
    for path, data in files.items():
        code = compiled.get(path)
        target = path
        if path.endswith(".py") and path not in _AS_SOURCE and not stays(path):
            if code is None:
                warnings.append(f"{path} has machine code in it and goes to the board as source")
            else:
                target = path[:-3] + ".mpy"
                if target in files:
                    raise HostError(f"{path} compiles to {target}, which the source folder has too")
        board[target] = data if target == path or code is None else code
        if path.endswith(".py"):
            source_of[target] = data
    sources.check_tree(board)
    for path in board:
        sources.check(path)
    return board, source_of


def _mpy_version(board: Mapping[str, bytes]) -> Requires:
    found: dict[int, str] = {}
    for path, data in board.items():
        if path.endswith(".mpy"):
            number = mpy.version_of(data)
            if number is None:
                raise HostError(f"{path} is not a valid .mpy file: it begins with {data[:4]!r}")
            found.setdefault(number, path)
    if len(found) > 1:
        (a, first), (b, second), *_ = sorted(found.items())
        raise HostError(f"{first} has .mpy version {a} and {second} has {b}: no board runs both")
    return {"mpy": next(iter(found))} if found else {}


def _architectures(board: Mapping[str, bytes]) -> Requires:
    native = {path: abi for path, data in board.items() if path.endswith(".mpy") and (abi := mpy.native_abi(data))}
    able: set[int] | None = None
    for path, (architecture, version) in sorted(native.items()):
        name = _processor(architecture)
        boards = mpy.runs_on(architecture)
        for other, (its, its_version) in native.items():
            if version != its_version:
                raise HostError(
                    f"{path} has native code of interface {version} and {other} of {its_version}: no board runs both; "
                    "compile both with one version of mpy-cross"
                )
            if not boards & mpy.runs_on(its):
                raise HostError(
                    f"{path} has native code for {name} and {other} for {_processor(its)}: no board runs both; "
                    "publish a release for each on a channel of its own"
                )
        able = boards if able is None else able & boards
    return {"arch": sorted(able)} if able else {}


def _processor(number: int) -> str:
    return mpy.ARCHITECTURES[number] if number < len(mpy.ARCHITECTURES) else f"architecture {number}"


def choose_version(given: str | None, config: Config) -> str:
    """The version to publish: `given`, else that of ota.toml, else the tag of the work tree.

    Raises:
        ConfigError: none of them, one that is not of Semantic Versioning, or files that differ from the tag.
    """
    version = given or config.version
    return check_version(version or _git_tag(config))


def check_version(version: str) -> str:
    """Return `version` when it is of Semantic Versioning; raises ConfigError."""
    try:
        parse(version)
    except ManifestError as e:
        raise ConfigError(f"{e}; a version is one of Semantic Versioning, such as v1.0.0") from None
    return version


def _git_tag(config: Config) -> str:
    # The highest version among the tags of the commit, when the files of the release are those of the commit.
    tags = git.tags(config.source_folder)
    versions = sorted(filter(_is_version, tags))
    if not versions:
        there = f" (of the tags on this commit, {sources.some(tags)}, none is a version)" if tags else ""
        raise ConfigError(
            "no version: give --version, or `version` in ota.toml, or a git tag on the commit that is checked out" + there
        )
    tag = max(versions, key=functools.cmp_to_key(compare))
    changed = _changed(config)
    if changed:
        verb = "differs" if len(changed) == 1 else "differ"
        raise ConfigError(f"no version: {sources.some(changed)} {verb} from the git tag {tag}; commit and tag, or give --version")
    return tag


def _is_version(tag: str) -> bool:
    try:
        return bool(parse(tag))
    except ManifestError:
        return False


def _changed(config: Config) -> list[str]:
    # The files of the release that are not as in the commit, and those of the commit that are gone.
    changed = git.differing(config.source_folder) or set()
    search = sources.Search(config)
    top = os.path.realpath(config.source_folder)
    there = {path: os.path.relpath(os.path.realpath(name), top).replace(os.sep, "/") for path, name in search.found()}
    # Behind a link a file is known by where it is, and in a submodule by that.
    found = [path for path, real in there.items() if any(name in changed for p in (path, real) for name in _upwards(p))]
    gone = [p for p in changed - there.keys() if search.takes(p) and not os.path.lexists(config.source_folder / p)]
    return sorted(found + gone)


def _upwards(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts) + 1)]


def publish(
    made: Build,
    tree: Tree,
    version: str,
    *,
    channel: str = "stable",
    layout: str = "none",
    terms: Terms | None = None,
    deltas: int = delta.KEPT,
    compress: bool = True,
    seal: Seal | None = None,
    draft: Path | None = None,
    allow: Rules | None = None,
    progress: Progress | None = None,
) -> Published:
    """Publish a build; the same content under the same version again changes nothing.

    Args:
        made (Build): what to publish.
        tree (Tree): where to.
        version (str): its tag.
        channel (str): who gets it.
        layout (str): the legacy layout to write beside it: none, prefix or subdir.
        terms (Terms): expiry and rollout.
        deltas (int): how many older releases get patches to it, see `delta.bases`.
        compress (bool): make the zlib form of contents too.
        seal (Seal): who signs, and what boards trust.
        draft (Path): write the contents, and the unsigned manifest to this file; change no channel.
        allow (Rules): what the publication may do.
        progress: called with (what, done, total).

    Returns:
        Published.

    Raises:
        HostError: the version is taken by other content, boards would lose the library, or might end in no
            whole release, too few of the keys that they trust signed it, or the PC's clock is wrong.
        OutsideError: the tree cannot be written, or another publisher does not end.
    """
    check_version(version)
    terms = terms or Terms()
    with tree.locked():
        notes = mend.notes(tree, seal)
        release = tree.sound(f"releases/{version}.manifest")
        if release:
            _check_same(made, release)
            files, lost = delta.mended(tree, release, made.contents)
            notes += lost
        else:
            seq = _seq(tree, version, channel)
            forms = delta.Forms(tree, made.contents, delta.bases(tree, channel, version, deltas), compress, progress)
            release = _first(made, version, seq, forms.lines(made.entries))
            files = forms.files
        old = {}
        if layout != "none":
            old = {legacy.name(layout, version, path): data for path, data in made.files.items()}
        put = Put(tree, release, channel, terms, [*notes, *made.warnings], seal, draft, progress, allow=allow)
        return put.run(made.contents, files, old, version if old else "")


def _seq(tree: Tree, version: str, channel: str) -> int:
    # That of a new release; of one whose manifest is damaged what it had, or a number that moves no board.
    name = f"releases/{version}.manifest"
    seqs = tree.seqs()
    if name in seqs:
        head = tree.sound(f"{channel}.manifest") or mend.remainder(tree, channel)
        free = [n for n in range(1, head.seq if head else 1) if n not in seqs.values()]
        if seqs[name] or free:
            return seqs[name] or free[-1]
    return tree.next_seq()


def _first(made: Build, version: str, seq: int, entries: Iterable[Entry]) -> Manifest:
    lines = b"".join(map(line, entries))
    header: Header = {"ota": 1, "project": made.project, "version": version, "seq": seq}
    header["files"], header["size"] = len(made.entries), sum(e["s"] for e in made.entries)
    if made.requires:
        header["requires"] = made.requires
    header.update(keep.header_key(made.keep))
    return parse_manifest(header_line(header) + lines, "the new manifest")


def republish(
    tree: Tree,
    origin: str,
    *,
    channel: str = "stable",
    version: str | None = None,
    keeps: Collection[str] = (),
    layout: str = "none",
    terms: Terms | None = None,
    deltas: int = delta.KEPT,
    compress: bool = True,
    seal: Seal | None = None,
    draft: Path | None = None,
    allow: Rules | None = None,
    progress: Progress | None = None,
) -> Published:
    """Publish the content of the release `origin` again, so that boards of the channel go (back) to it.

    A channel that is behind `origin` simply gets it. Else the content needs a new `seq`, and so a
    version of its own: `version`, or `<origin>+rollback.<seq>`. A channel that has this content
    already is left alone.

    Args, Returns and Raises: as `publish`; `keeps` (list of str) are paths that boards keep besides those that
    `origin` names, in a release that is made anew; HostError also when the tree lacks a part of `origin`.
    """
    terms = terms or Terms()
    with tree.locked():
        notes = mend.notes(tree, seal)
        source = tree.release(check_version(origin))
        if not source:
            there = ", ".join(m.version for m in tree.releases(skip_damaged=True)) or "none"
            raise HostError(f"{tree.folder}: there is no release {origin}; there are: {there}")
        contents = contents_of(tree, source)
        head = tree.sound(channel + ".manifest") or mend.remainder(tree, channel)
        release = _choose(tree, source, head, channel, version)
        if isinstance(release, str):
            forms = delta.Forms(tree, contents, delta.bases(tree, channel, release, deltas), compress, progress)
            release = _again(source, release, tree.next_seq(), forms.lines(source.entries), keeps)
            files = forms.files
            gone: list[str] = []
        else:
            files, gone = delta.mended(tree, release, contents)
        shown = version or first_tag(source.version)
        old, lost = legacy_again(tree, source, contents, layout, shown)
        put = Put(tree, release, channel, terms, [*notes, *gone, *lost], seal, draft, progress, allow=allow)
        return put.run(contents, files, old, shown if old and not lost else "")


def _choose(tree: Tree, source: Manifest, head: Manifest | None, channel: str, version: str | None) -> Manifest | str:
    # The release that has the content of `source` for the channel, or the version of one to make.
    if version:
        release = tree.release(check_version(version))
        if release and identity(release) != identity(source):
            raise HostError(f"version {version} is taken by other content than that of {source.version}")
        return release or version
    # Of a damaged channel it is not known what its boards have: the newest release is never older.
    is_lost = not head and channel in tree.channel_names() and source.version != tree.newest()[0]
    if not is_lost and (not head or head.seq <= source.seq):
        return source
    if head and identity(head) == identity(source):
        return tree.release(head.version) or head
    return _tag(source.version, tree.next_seq())


def previous(tree: Tree, channel: str) -> str:
    """The version that a rollback of the channel goes to: the release before the one whose content it has.

    Raises:
        HostError: the channel has nothing, nothing before it, or channels share the tree.
    """
    channels = tree.channels()
    if channel not in channels:
        raise HostError(f"{tree.folder}: there is no channel {channel}; there are: {', '.join(channels) or 'none'}")
    if len(channels) > 1:
        raise HostError(f"{tree.folder}: the channels {', '.join(channels)} share the releases, so name the one to go back to")
    releases = tree.releases()
    now = identity(channels[channel])
    first = next((m for m in releases if identity(m) == now), channels[channel])
    before = [m for m in releases if m.seq < first.seq]
    if not before:
        raise HostError(f"{tree.folder}: there is no release before {first.version}")
    return before[-1].version


def _tag(version: str, seq: int) -> str:
    version = first_tag(version)
    return f"{version}{'.' if '+' in version else '+'}rollback.{seq}"


def identity(release: Manifest) -> tuple[str, dict[str, object], list[dict[str, object]]]:
    """What the version of a Manifest stands for; the rest is for whom and how long."""
    requires = {k: v for k, v in release.header.get("requires", {}).items() if v}
    return release.header["project"], requires, [_content(e) for e in release.entries]


def _content(entry: Entry) -> dict[str, object]:
    return {key: entry[key] for key in ("p", "s", "h", "c") if key in entry}


def _check_same(made: Build, release: Manifest) -> None:
    project, requires, entries = identity(release)
    where = f"version {release.version} is published already"
    keeps = release.header.get("keep", []), keep.header_key(made.keep).get("keep", [])
    for what, there, new in (("project", project, made.project), ("requires", requires, made.requires), ("keep", *keeps)):
        if there != new:
            raise HostError(f"{where} with {what} {there!r}, this one has {new!r}; give it a new version")
    had, has = ({str(e["p"]): e for e in es} for es in (entries, map(_content, made.entries)))
    differs = sorted(path for path in had.keys() | has.keys() if had.get(path) != has.get(path))
    if differs:
        some = ", ".join(differs[:5]) + (f" and {len(differs) - 5} more" if len(differs) > 5 else "")
        raise HostError(f"{where} with other content ({some}); give this one a new version")


def _again(source: Manifest, version: str, seq: int, entries: Iterable[Entry], keeps: Collection[str]) -> Manifest:
    header = {key: value for key, value in source.header.items() if key not in ("channel", "time", "expires", "crc", "rollout")}
    header.update(version=version, seq=seq, **keep.header_key(source.header.get("keep", []), keeps))
    return parse_manifest(header_line(header) + b"".join(map(line, entries)), "the new manifest")


def contents_of(tree: Tree, release: Manifest) -> dict[str, bytes]:
    """The contents of a release: SHA-256 in hex -> bytes; raises HostError when one is gone or damaged."""
    contents: dict[str, bytes] = {}
    for entry in release.entries:
        name = tree.blob(entry["h"])
        data = tree.read(name)
        found = "no such file" if data is None else sha256(data).hexdigest()
        if data is None or found != entry["h"]:
            raise HostError(f"{tree.folder / name}: the content of {entry['p']} is gone: {found}")
        contents[entry["h"]] = data
    return contents


def legacy_again(
    tree: Tree, source: Manifest, contents: Mapping[str, bytes], layout: str, version: str
) -> tuple[dict[str, bytes], list[str]]:
    # Old devices go back by the old tag, whose files mostly are there. Sources of .mpy must be.
    old: dict[str, bytes] = {}
    lost: list[str] = []
    if layout == "none":
        return old, lost
    for entry in source.entries:
        path = entry["p"]
        data = contents[entry["h"]]
        if path.endswith(".mpy"):
            path = path[:-4] + ".py"
            there = tree.read(legacy.name(layout, version, path))
            if there is None:
                lost.append(f"the tree has no source of {entry['p']}: devices of the legacy layout stay where they are")
                continue
            data = there
        old[legacy.name(layout, version, path)] = data
    return old, lost


__all__ = ["Build", "Published", "Rules", "Terms", "build", "choose_version", "previous", "publish", "republish"]
