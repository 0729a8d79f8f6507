"""Releases: build one from a folder, publish it into a server's tree, publish an old one again.

The rules that every tree keeps:

- A version names one content and one `seq` for ever; `releases/<version>.manifest` never changes.
- A channel's manifest is that of its release; only `expires` and `rollout` may be changed later.
- Files are written in an order in which every reader finds whole releases: contents, the
  release's manifest, the legacy layout with `version` last of it, the channel's manifest last of all.
"""

import json
import re
import secrets
import subprocess
import time
from dataclasses import dataclass, field
from hashlib import sha256

from ota.errors import ManifestError
from ota.manifest import NUMBER
from ota.version import compare, parse

from . import bootcheck, legacy, mpy, sources
from .errors import ConfigError, HostError
from .tree import parse_manifest

_DAY = 86400  # seconds
_AS_SOURCE = ("boot.py", "main.py")  # MicroPython starts these by name
_AGAIN = re.compile(r"(?P<tag>.*)[+.]rollback\.\d+")


@dataclass(frozen=True)
class Build:
    """A release before it has a version.

    `entries` are the file lines of its manifest (dicts); `contents` SHA-256 in hex -> bytes;
    `files` path -> bytes as in the source folder; `requires` what the board must have.
    """

    project: str
    entries: list
    contents: dict
    files: dict
    requires: dict
    warnings: list


@dataclass
class Published:
    """What a publication did; `written` are the names of the files that changed in the tree."""

    project: str
    channel: str
    version: str
    seq: int
    files: int
    size: int
    written: list = field(default_factory=list)
    warnings: list = field(default_factory=list)

    @property
    def changed(self):
        return bool(self.written)


@dataclass(frozen=True)
class Terms:
    """For whom and how long: `expires` in days from now (0: never), `rollout` in percent; None leaves it."""

    expires: int | None = None
    rollout: float | None = None
    now: float | None = None  # seconds since 1970, for tests


def build(config, progress=None):
    """Collect, check and compile the files of a project; writes nothing.

    Args:
        config (Config): its settings.
        progress: called with (what, done, total).

    Returns:
        Build.

    Raises:
        HostError: a path, a source or boot.py that would not work on a board.
    """
    files = sources.collect(config)
    python = {path: data for path, data in files.items() if path.endswith(".py")}
    compiled = mpy.compile_all(python, progress)
    warnings = _check_boot(files, config.legacy != "none")
    board, source_of = dict(files), dict(python)
    if config.compile:
        board, source_of = _ship_compiled(files, compiled, warnings)
    critical = bootcheck.imported_early(board, source_of) if "boot.py" in board else []
    if critical:
        warnings.append(
            "boot.py imports files of the project before ota.boot(), which makes them boot-critical: "
            + ", ".join(critical)
            + "; move ota.boot() to the first lines"
        )
    requires = {"platform": config.platform} if config.platform else {}
    requires.update(_mpy_version(board))
    entries, contents = [], {}
    for path in sorted(board):
        data = board[path]
        digest = sha256(data).hexdigest()
        contents[digest] = data
        entries.append({"p": path, "s": len(data), "h": digest, **({"c": 1} if path in critical else {})})
    return Build(config.project, entries, contents, files, requires, warnings)


def _check_boot(files, is_legacy):
    source = files.get("boot.py")
    if source is None:
        return ["there is no boot.py: boards keep the one they have, and it must call ota.boot()"]
    tree = bootcheck.parse("boot.py", source)
    if bootcheck.calls_boot(tree):
        return []
    if is_legacy:
        for path in ("boot.py", "main.py"):
            if path in files and bootcheck.calls_ota_update(bootcheck.parse(path, files[path])):
                return [
                    "boot.py does not call ota.boot(): an install that loses power is repaired only when "
                    f"{path} reaches ota_update; put `import ota; ota.boot()` on the first lines of boot.py"
                ]
    raise HostError(
        "boot.py does not call ota.boot() when it is imported: a board would neither finish nor undo "
        "an install; put `import ota; ota.boot()` on its first lines"
    )


def _ship_compiled(files, compiled, warnings):
    board, source_of = {}, {}
    for path, data in files.items():
        code = compiled.get(path)
        target = path
        if path.endswith(".py") and path not in _AS_SOURCE:
            if code is None:
                warnings.append(f"{path} has machine code in it and goes to the board as source")
            else:
                target = path[:-3] + ".mpy"
                if target in files:
                    raise HostError(f"{path} compiles to {target}, which the source folder has too")
        board[target] = data if target == path else code
        if path.endswith(".py"):
            source_of[target] = data
    sources.check_case(board)
    for path in board:
        sources.check(path)
    return board, source_of


def _mpy_version(board):
    found = {}
    for path, data in board.items():
        if path.endswith(".mpy"):
            number = mpy.version_of(data)
            if number is None:
                raise HostError(f"{path} is no .mpy file: it begins with {data[:4]!r}")
            found.setdefault(number, path)
    if len(found) > 1:
        (a, first), (b, second), *_ = sorted(found.items())
        raise HostError(f"{first} has .mpy version {a} and {second} has {b}: no board runs both")
    return {"mpy": n for n in found}


def choose_version(given, config):
    """The version to publish: `given`, else that of ota.toml, else the tag of the work tree.

    Raises:
        ConfigError: none of them, or one that is not of Semantic Versioning.
    """
    version = given or config.version
    return check_version(version or _git_tag(config.source_folder))


def check_version(version):
    """Return `version` when it is of Semantic Versioning; raises ConfigError."""
    try:
        parse(version)
    except ManifestError as e:
        raise ConfigError(f"{e}; a version is one of Semantic Versioning, such as v1.0.0") from None
    return version


def _git_tag(folder):
    def git(*words):
        try:
            done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    tag = git("describe", "--tags", "--exact-match")
    if not tag:
        raise ConfigError(
            "no version: give --version, or `version` in ota.toml, or a git tag on the commit that is checked out"
        )
    if git("status", "--porcelain", "--", ".") != "":
        raise ConfigError(f"no version: the files differ from the git tag {tag}; commit and tag them, or give --version")
    return tag


def publish(made, tree, version, *, channel="stable", layout="none", terms=None, progress=None):
    """Publish a build; the same content under the same version again changes nothing.

    Args:
        made (Build): what to publish.
        tree (Tree): where to.
        version (str): its tag.
        channel (str): who gets it.
        layout (str): the legacy layout to write beside it: none, prefix or subdir.
        terms (Terms): expiry and rollout.
        progress: called with (what, done, total).

    Returns:
        Published.

    Raises:
        HostError: the version is taken by other content, or boards would lose the library.
        OutsideError: the tree cannot be written, or another publisher does not end.
    """
    check_version(version)
    terms = terms or Terms()
    with tree.locked():
        release = tree.release(version)
        if release:
            _check_same(made, release)
        else:
            lines = b"".join(map(_line, made.entries))
            header = {"ota": 1, "project": made.project, "version": version, "seq": tree.next_seq()}
            header.update(files=len(made.entries), size=sum(e["s"] for e in made.entries))
            if made.requires:
                header["requires"] = made.requires
            release = _on_terms(parse_manifest(_line(header) + lines, "the new manifest"), terms)
        old = {}
        if layout != "none":
            old = {legacy.name(layout, version, path): data for path, data in made.files.items()}
        put = _Put(tree, release, channel, terms, made.warnings, progress)
        return put.run(made.contents, old, version if old else "")


def republish(tree, origin, *, channel="stable", version=None, layout="none", terms=None, progress=None):
    """Publish the content of the release `origin` again, so that boards of the channel go (back) to it.

    A channel that is behind `origin` simply gets it. Else the content needs a new `seq`, and so a
    version of its own: `version`, or `<origin>+rollback.<seq>`. A channel that has this content
    already is left alone.

    Args, Returns and Raises: as `publish`; HostError also when the tree lacks a part of `origin`.
    """
    terms = terms or Terms()
    with tree.locked():
        source = tree.release(check_version(origin))
        if not source:
            there = ", ".join(m.version for m in tree.releases()) or "none"
            raise HostError(f"{tree.folder}: there is no release {origin}; there are: {there}")
        contents = _contents(tree, source)
        head = tree.manifest(channel + ".manifest")
        release = source
        if version:
            release = tree.release(check_version(version)) or _again(source, version, tree.next_seq(), terms)
            if _identity(release) != _identity(source):
                raise HostError(f"version {version} is taken by other content than that of {origin}")
        elif head and head.seq > source.seq:
            release = tree.release(head.version) or head
            if _identity(head) != _identity(source):
                seq = tree.next_seq()
                release = _again(source, _tag(source.version, seq), seq, terms)
        shown = version or first_tag(source.version)
        old, lost = _legacy_again(tree, source, contents, layout, shown)
        put = _Put(tree, release, channel, terms, lost, progress)
        return put.run(contents, old, shown if old and not lost else "")


def previous(tree, channel):
    """The version that a rollback of the channel goes to: the release before the one whose content it has.

    Raises:
        HostError: the channel has nothing, nothing before it, or channels share the tree.
    """
    channels = tree.channels()
    if channel not in channels:
        raise HostError(f"{tree.folder}: there is no channel {channel}; there are: {', '.join(channels) or 'none'}")
    if len(channels) > 1:
        raise HostError(
            f"{tree.folder}: the channels {', '.join(channels)} share the releases, so name the one to go back to"
        )
    releases = tree.releases()
    now = _identity(channels[channel])
    first = next((m for m in releases if _identity(m) == now), channels[channel])
    before = [m for m in releases if m.seq < first.seq]
    if not before:
        raise HostError(f"{tree.folder}: there is no release before {first.version}")
    return before[-1].version


def first_tag(version):
    """The version whose content `<version>+rollback.<n>` is."""
    again = _AGAIN.fullmatch(version)
    return again["tag"] if again else version


def _tag(version, seq):
    version = first_tag(version)
    return f"{version}{'.' if '+' in version else '+'}rollback.{seq}"


def _line(obj):
    return json.dumps(obj, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _identity(release):
    # What a version stands for; the rest of a manifest is for whom and how long.
    requires = {k: v for k, v in release.header.get("requires", {}).items() if v}
    return release.header["project"], requires, [_content(e) for e in release.entries]


def _content(entry):
    return {key: entry[key] for key in ("p", "s", "h", "c") if key in entry}


def _check_same(made, release):
    project, requires, entries = _identity(release)
    where = f"version {release.version} is published already"
    for what, there, new in (("project", project, made.project), ("requires", requires, made.requires)):
        if there != new:
            raise HostError(f"{where} with {what} {there!r}, this one has {new!r}; give it a new version")
    there, new = ({e["p"]: e for e in es} for es in (entries, map(_content, made.entries)))
    differs = sorted(path for path in there.keys() | new.keys() if there.get(path) != new.get(path))
    if differs:
        some = ", ".join(differs[:5]) + (f" and {len(differs) - 5} more" if len(differs) > 5 else "")
        raise HostError(f"{where} with other content ({some}); give this one a new version")


def _on_terms(release, terms, salt=None):
    # The same release with another expiry or rollout in its header, in the format's order.
    header = dict(release.header)
    tail = {key: header.pop(key) for key in ("files", "size", "requires", "rollout") if key in header}
    if terms.expires is not None:
        header.pop("expires", None)
        if terms.expires:
            header["expires"] = _end_of_day(terms)
    rollout = tail.get("rollout", {})
    if terms.rollout is not None and terms.rollout != rollout.get("percent", 100):
        tail.pop("rollout", None)
        if terms.rollout < 100:
            percent = int(terms.rollout) if terms.rollout == int(terms.rollout) else terms.rollout
            tail["rollout"] = {"percent": percent, "salt": rollout.get("salt") or salt or secrets.token_hex(8)}
    raw = _line({**header, **tail}) + release.lines()
    return release if raw == release.raw else parse_manifest(raw, "the new manifest")


def _end_of_day(terms):
    # Whole days, so that a job that runs twice a day publishes the same bytes.
    now = time.time() if terms.now is None else terms.now
    end = (int(now) // _DAY + terms.expires + 1) * _DAY
    if end > NUMBER:
        raise ConfigError(f"expires = {terms.expires}: ends after 19 January 2038, the last time that boards accept")
    return end


def _again(source, version, seq, terms):
    header = {key: value for key, value in source.header.items() if key not in ("expires", "rollout")}
    header.update(version=version, seq=seq)
    raw = _line(header) + source.lines()
    return _on_terms(parse_manifest(raw, "the new manifest"), terms)


def _contents(tree, release):
    contents = {}
    for entry in release.entries:
        name = tree.blob(entry["h"])
        data = tree.read(name)
        found = "no such file" if data is None else sha256(data).hexdigest()
        if found != entry["h"]:
            raise HostError(f"{tree.folder / name}: the content of {entry['p']} is gone: {found}")
        contents[entry["h"]] = data
    return contents


def _legacy_again(tree, source, contents, layout, version):
    # Old devices go back by the old tag, whose files mostly are there. Sources of .mpy must be.
    old, lost = {}, []
    if layout == "none":
        return old, lost
    for entry in source.entries:
        path = entry["p"]
        data = contents[entry["h"]]
        if path.endswith(".mpy"):
            path = path[:-4] + ".py"
            data = tree.read(legacy.name(layout, version, path))
            if data is None:
                lost.append(f"the tree has no source of {entry['p']}: devices of the legacy layout stay where they are")
                continue
        old[legacy.name(layout, version, path)] = data
    return old, lost


class _Put:
    """One publication, under the lock: decides everything first, then writes in the order of the rules."""

    def __init__(self, tree, release, channel, terms, warnings, progress):
        self.tree, self.release, self.channel = tree, release, channel
        self.progress = progress or (lambda what, done, total: None)
        header = release.header
        numbers = release.version, release.seq, header["files"], header["size"]
        self.done = Published(header["project"], channel, *numbers, warnings=list(warnings))
        channels = tree.channels()
        self.head = channels.get(channel)
        self._check_others(channels)
        self.target = self._target(terms)

    def _check_others(self, channels):
        for name, head in channels.items():
            if head.header["project"] != self.done.project:
                was = f"{self.tree.folder / name}.manifest: project is {head.header['project']!r}"
                raise HostError(f"{was}, not {self.done.project!r}; publish to another folder")
            if _has_library(head) and not _has_library(self.release):
                raise HostError(
                    f"the release has no file of the library, and {head.version} on {name} has: "
                    "boards would delete it and never update again; put ota/ or lib/ota/ into the source folder"
                )

    def _target(self, terms):
        # The channel's new manifest, or None when the channel is further.
        if self.head and self.head.seq > self.release.seq:
            self.done.warnings.append(
                f"{self.channel} has {self.head.version} since then, and keeps it; "
                f"`ota rollback {self.release.version}` goes back"
            )
            return None
        salt = self.release.header.get("rollout", {}).get("salt")
        if self.head and self.head.seq == self.release.seq:
            return _on_terms(self.head, terms, salt)
        is_new = not _AGAIN.fullmatch(self.release.version)
        if self.head and is_new and compare(self.release.version, self.head.version) < 0:
            self.done.warnings.append(
                f"{self.release.version} sorts before {self.head.version}, which {self.channel} has now; "
                "boards install it all the same, because seq decides"
            )
        return _on_terms(self.release, terms, salt)

    def run(self, contents, old, shown):
        """Write; `old` are the legacy files (name -> bytes), `shown` what `version` is to say, if anything."""
        if self.target is None:
            old, shown = {}, ""
        for name, data in old.items():
            there = self.tree.read(name)
            if there is not None and there != data:
                raise HostError(f"{self.tree.folder / name}: is there with other content; give this release a new version")
        files = [(self.tree.blob(digest), data) for digest, data in sorted(contents.items())]
        files.append((f"releases/{self.release.version}.manifest", self.release.raw))
        files += sorted(old.items())
        if shown:
            files.append(("version", shown.encode()))
        if self.target:
            files.append((self.channel + ".manifest", self.target.raw))
        for i, (name, data) in enumerate(files, 1):
            if self.tree.write(name, data):
                self.done.written.append(name)
            self.progress("writing", i, len(files))
        self._note_legacy(shown)
        return self.done

    def _note_legacy(self, shown):
        says = self.tree.read("version")
        if says is not None and self.target and not shown:
            text = says.decode(errors="replace")
            self.done.warnings.append(f"the legacy file `version` still says {text!r}: this is not for those devices")


def _has_library(release):
    return any(e["p"].startswith(bootcheck.VITAL_FOLDERS) for e in release.entries)


__all__ = ["Build", "Published", "Terms", "build", "choose_version", "previous", "publish", "republish"]
