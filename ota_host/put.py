"""One publication: what the channel gets, who signs it, and the order in which its files are written."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ota.version import compare

from . import clock, differences, imports, mend, rules
from .errors import HostError
from .keys import Seal, split
from .shared_types import Progress
from .terms import AGAIN, Terms, on_terms
from .tree import DRAFTS, END, Manifest, Tree, parse_manifest

LARGEST = 16 << 20  # bytes of a release that no common board has room for


@dataclass
class Published:
    """What a publication did.

    `written` are the names of the files that changed in the tree; `signed` the ids of the keys that
    signed the channel's manifest; `draft` the file with an unsigned manifest, when the channel got none.
    """

    project: str
    channel: str
    version: str
    seq: int
    files: int
    size: int
    written: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    draft: str = ""

    @property
    def changed(self) -> bool:
        return bool(self.written)


class Put:
    """One publication, under the lock: decides everything first, then writes in the order of the rules.

    Args:
        tree (Tree): where to.
        release (Manifest): what; signed here when it is new.
        channel (str): who gets it.
        terms (Terms): expiry and rollout.
        warnings (list of str): to pass on.
        seal (Seal): who signs, and what boards trust.
        draft (Path): as for `publish`.
        progress: called with (what, done, total).
        target (Manifest): what the channel is to have, when that is decided already.
        allow (Rules): what the publication may do.
    """

    def __init__(
        self,
        tree: Tree,
        release: Manifest,
        channel: str,
        terms: Terms,
        warnings: Iterable[str],
        seal: Seal | None = None,
        draft: Path | None = None,
        progress: Progress | None = None,
        target: Manifest | None = None,
        allow: rules.Rules | None = None,
    ) -> None:
        self.tree, self.release, self.channel, self.terms = tree, release, channel, terms
        self.allow = allow or rules.Rules()
        self.seal, self.draft = seal or Seal(), draft
        self.signs = bool(self.seal.signers or draft)
        self.progress = progress or (lambda what, done, total: None)
        header = release.header
        numbers = release.version, release.seq, header["files"], header["size"]
        self.done = Published(header["project"], channel, *numbers, warnings=list(warnings))
        channels = tree.channels(skip_damaged=True)
        self.head = channels.get(channel) or mend.remainder(tree, channel)
        self._note_damaged(channels)
        self._check_others(channels)
        self._note_size()
        if not target and tree.sound(self._name()) is None:
            self.release = self._sign(on_terms(release, terms, channel, signs=self.signs))
        self.target = target or self._target()
        self._check_clock()

    def _name(self) -> str:
        return f"releases/{self.release.version}.manifest"

    def _sign(self, manifest: Manifest) -> Manifest:
        if self.draft:
            return manifest
        raw = self.seal.sign(manifest.raw)
        return manifest if raw == manifest.raw else parse_manifest(raw, "the new manifest")

    def _check_others(self, channels: Mapping[str, Manifest]) -> None:
        for name, head in channels.items():
            if head.header["project"] != self.done.project:
                was = f"{self.tree.folder / name}.manifest: project is {head.header['project']!r}"
                raise HostError(f"{was}, not {self.done.project!r}; publish to another folder")
        self.done.warnings += rules.check(self.release, channels, self.channel, self.allow)

    def _note_damaged(self, channels: Mapping[str, Manifest]) -> None:
        for name in self.tree.channel_names():
            if name not in channels:
                path = f"{self.tree.folder / name}{END}"
                if name != self.channel:
                    what = f"publish a release to {name} again"
                elif self.head:
                    what = f"its first line is whole ({self.head.version}), and it is replaced on those terms"
                else:
                    what = f"nothing in the tree shows which release {name} had, and it is replaced; check --rollout"
                self.done.warnings.append(f"{path} is damaged: {what}")

    def _note_size(self) -> None:
        if self.done.size > LARGEST:
            largest = sorted(self.release.entries, key=lambda e: -e["s"])
            shown = ", ".join(f"{e['p']} ({_mb(e['s'])})" for e in largest[:3] if e["s"] > largest[0]["s"] // 10)
            self.done.warnings.append(
                f"{self.release.version} takes {_mb(self.done.size)} on a board, more than the 16 MB of flash that the "
                f"largest common boards have; largest files: {shown}; "
                "leave out what boards do not need with `exclude`"
            )

    def _check_clock(self) -> None:
        # One that goes on the channel as it was signed before asks no clock.
        made = self.target and self.target.header.get("time")
        if made and not self.allow.clock and (not self.head or made != self.head.header.get("time")):
            self.done.warnings += clock.check(made, self.head, self.channel, self.allow.witness)

    def _target(self) -> Manifest | None:
        # The channel's new manifest, or None when the channel is further.
        if self.head and self.head.seq > self.release.seq:
            self.done.warnings.append(
                f"{self.channel} has {self.head.version} since then, and keeps it; "
                f"`ota rollback {self.release.version}` goes back"
            )
            return None
        salt = self.release.header.get("rollout", {}).get("salt")
        if self.head and self.head.seq == self.release.seq:
            return self._sign(on_terms(self.head, self.terms, self.channel, salt, self.signs))
        is_new = not AGAIN.fullmatch(self.release.version)
        if self.head and is_new and compare(self.release.version, self.head.version) < 0:
            self.done.warnings.append(
                f"{self.release.version} sorts before {self.head.version}, which {self.channel} has now; "
                "boards install it all the same, because seq decides"
            )
        return self._sign(on_terms(self.release, self.terms, self.channel, salt, self.signs))

    def run(self, contents: Mapping[str, bytes], smaller: Mapping[str, bytes], old: Mapping[str, bytes], shown: str) -> Published:
        """Write.

        Args:
            contents (dict): SHA-256 in hex -> content (bytes).
            smaller (dict): the smaller forms, and `old` (dict) the legacy files: name -> content (bytes).
            shown (str): what `version` is to say, if anything.
        """
        imports.check_whole({e["p"]: contents[e["h"]] for e in self.release.entries})
        self._check_secrets({**contents, **old})
        files = [(self.tree.blob(digest), data) for digest, data in sorted(contents.items())]
        files += sorted(smaller.items())
        if self.draft:
            return self._write_draft(files, self.draft)
        if self.target is None:
            old, shown = {}, ""
        else:
            self._check_signed()
        for name, data in old.items():
            there = self.tree.read(name)
            if there is not None and there != data:
                raise HostError(f"{self.tree.folder / name}: is there with other content; give this release a new version")
        files.append((self._name(), self.release.raw))
        files += sorted(old.items())
        if shown:
            files.append(("version", shown.encode()))
        if self.target:
            short = differences.files(self.tree, self.channel, self.target)
            self.tree.remove(self._draft_name())
            # From here to the end boards find no difference, and ask for the manifest that is there.
            self.tree.keep_only(self.channel + differences.FOLDER, short)
            files.append((self.channel + ".manifest", self.target.raw))
            files += short.items()
        self._write(files)
        self._note_legacy(shown)
        return self.done

    def _draft_name(self) -> str:
        return f"{DRAFTS}{self.release.version}-{self.channel}{END}"

    def _write(self, files: list[tuple[str, bytes]]) -> None:
        self.tree.add_host_files()
        for i, (name, data) in enumerate(files, 1):
            # A difference that replaces one must not look as old as that to a server.
            after = self.channel + ".manifest" if name.startswith(self.channel + differences.FOLDER) else ""
            if self.tree.write(name, data, after):
                self.done.written.append(name)
            self.progress("writing", i, len(files))

    def _check_secrets(self, contents: Mapping[str, bytes]) -> None:
        for key, secret in self.seal.secrets().items():
            for name, data in contents.items():
                if secret in data:
                    paths = [e["p"] for e in self.release.entries if e["h"] == name] or [name]
                    raise HostError(
                        f"{paths[0]}: holds the secret of the HS256 key {key}: whoever reads the server could sign; "
                        "keep it in a file on the board that is in no release"
                    )

    def _check_signed(self) -> None:
        if self.tree.is_dry or self.target is None:
            return
        name = self.tree.folder / f"{self.channel}.manifest"
        self.seal.check(self.target.raw, name)
        signatures = split(self.target.raw)[1]
        self.done.signed = [s["key"] for s in signatures]
        if self.head and not signatures and (split(self.head.raw)[1] or "time" in self.head.header):
            self.done.warnings.append(
                f"{self.channel} had a signed manifest and this one is not: "
                "boards with a SignatureVerifier refuse it; publish it again with --key"
            )
        before = [s["key"] for s in split(self.head.raw)[1]] if self.head else []
        if self.head and before and self.done.signed and not set(before) & set(self.done.signed):
            self.done.warnings.append(
                f"{self.head.version} on {self.channel} is signed by {', '.join(before)}, and this release only by "
                f"{', '.join(self.done.signed)}: boards that do not trust the new key yet refuse it; sign with both "
                "(--key OLD --key NEW) until every board has installed a release that contains the new board key"
            )

    def _write_draft(self, files: list[tuple[str, bytes]], draft: Path) -> Published:
        if self.target is None:
            newer = self.head.version if self.head else "a release"
            raise HostError(f"{self.channel} has {newer}, which is newer: nothing to draft")
        body = self.target.body
        with contextlib.suppress(OSError, HostError):
            there = parse_manifest(draft.read_bytes(), draft)
            if _but_for_time(there) == _but_for_time(self.target):
                body = there.body
        self._write(files)
        # For `ota prune` and `ota releases`: boards do not look there.
        self.tree.write(self._draft_name(), body)
        self.done.draft = str(draft)
        if not draft.is_file() or draft.read_bytes() != body:
            draft.write_bytes(body)
            self.done.written.append(self.done.draft)
        return self.done

    def _note_legacy(self, shown: str) -> None:
        says = self.tree.read("version")
        if says is not None and self.target and not shown:
            text = says.decode(errors="replace")
            self.done.warnings.append(f"the legacy file `version` still says {text!r}: this is not for those devices")


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _but_for_time(manifest: Manifest) -> tuple[dict[str, object], bytes]:
    return {**manifest.header, "time": 0}, manifest.lines()
