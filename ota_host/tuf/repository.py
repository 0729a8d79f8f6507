"""Repository: the metadata in a project's tree, changed whole. The rules that every change keeps:

- What is there now is found as a client finds it, from the newest root and the timestamp on, so
  that what a publisher that died has left behind counts for nothing.
- Everything is signed and checked against the root before the first file is written.
- The timestamp is written after all that it leads to. A new root comes last, when what is on the
  server then holds for boards of the old root and of the new one; else first, as it must.
"""

import datetime
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from securesystemslib.signer import Signer, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer
from tuf.repository import Repository as Base

from ..errors import ConfigError, HostError
from ..tree import END, Tree

FOLDER = "tuf/"
DAYS = {"root": 365, "targets": 365, "snapshot": 30, "timestamp": 7}  # until each expires
ROLES = tuple(DAYS)
_KINDS = {"root": Root, "targets": Targets, "snapshot": Snapshot, "timestamp": Timestamp}
# What boards read at most: `limits` of ota/verifiers/tuf/files.py.
_LIMITS = {"root": 131072, "timestamp": 16384, "snapshot": 131072, "targets": 131072}


@dataclass
class Done:
    """What a change did: `written` names of files, and of each role its `versions` and when it `expires`."""

    written: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    expires: dict[str, str] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    draft: str = ""


class Repository(Base):
    """The TUF repository of a project.

    Args:
        tree (ota_host.tree.Tree): of the project.
        signers (list of TufSigner): each signs every role that its key is of.
        days (dict): role -> days until what is signed now expires; default `DAYS`.
        now (datetime): UTC; default: now.
    """

    def __init__(
        self,
        tree: Tree,
        signers: Iterable[Signer] = (),
        days: Mapping[str, int] | None = None,
        now: datetime.datetime | None = None,
    ) -> None:
        self.tree = tree
        self._signers = {s.public_key.keyid: s for s in signers}
        self._days = {**DAYS, **(days or {})}
        self._now = (now or datetime.datetime.now(datetime.timezone.utc)).replace(microsecond=0)
        self._new: dict[str, bytes] = {}  # name -> bytes of what is to be written
        self._before: Root | None = None  # the root that boards have, when there is a new one
        self._is_first = False

    # What tuf.repository asks for.

    def open(self, role: str) -> Metadata[Any]:
        """The Metadata of a role as it is, of version 0 when there is none; raises HostError."""
        data = self._read(self._name(role)) if role == "root" or not self._is_first else self._new.get(self._name(role))
        if data is None:
            made = Metadata(_KINDS[role]())
            made.signed.version = 0
            return made
        try:
            return Metadata.from_bytes(data)
        except DeserializationError as e:
            raise HostError(f"{self.tree.folder / FOLDER / self._name(role)}: invalid metadata: {e.__cause__ or e}") from None

    def close(self, role: str, md: Metadata[Any]) -> None:
        """Sign a new version of a role; raises HostError when too few of its keys are at hand."""
        md.signed.version += 1
        md.signed.expires = self._now + datetime.timedelta(days=self._days[role])
        if role == "snapshot":
            md.signed.meta.update(self.targets_infos)
        elif role == "timestamp":
            md.signed.snapshot_meta = self.snapshot_info
        md.signatures.clear()
        # While a root is replaced, what both roots' keys have signed is good before and after.
        roots = filter(None, (self.root(), self._before))
        for keyid in dict.fromkeys(keyid for root in roots for keyid in root.roles[role].keyids):
            if keyid in self._signers:
                md.sign(self._signers[keyid], append=True)
        self._check_signed(role, md, self.root())
        self._put(role, md)

    @property
    def targets_infos(self) -> dict[str, MetaFile]:
        return {"targets.json": self._info("targets")}

    @property
    def snapshot_info(self) -> MetaFile:
        return self._info("snapshot")

    # The operations.

    def init(self, root: Metadata[Root]) -> Done:
        """Begin, with `root` (Metadata) as version 1.

        Raises:
            ConfigError: there is one already. HostError: as `publish`.
        """
        with self.tree.locked():
            if self.tree.read(FOLDER + "1.root.json") is not None:
                raise ConfigError(f"{self.tree.folder / FOLDER}1.root.json: already exists; change keys with `ota tuf rotate`")
            self._is_first = True
            self._take_root(root)
            self._targets(True)
            return self._finish()

    def publish(self) -> Done:
        """Make the channels' manifests the targets; always with a new timestamp.

        Raises:
            HostError: a manifest that boards would refuse, or too few keys.
        """
        with self.tree.locked():
            self._check_root()
            self._targets(False)
            return self._finish()

    def renew(self) -> Done:
        """A new timestamp, and a new snapshot when half of its time is over; reads no manifest.

        Raises:
            HostError: too few keys.
        """
        with self.tree.locked():
            self._check_root()
            self._check_kept("targets")
            self._online(self._is_half_over("snapshot") and self._can_sign("snapshot"))
            return self._finish()

    def new_root(
        self, role: str = "root", old: Iterable[str] = (), new: Iterable[SSlibKey] = (), threshold: int | None = None
    ) -> Metadata[Root]:
        """The next root (Metadata), signed with what keys there are, not written.

        Args:
            role (str): whose keys change. old (list of str): ids of keys that go.
            new (list of SSlibKey): that come. threshold (int): how many must sign, from now on.

        Raises:
            ConfigError: a key that the role has not, or has; a threshold that no signatures reach.
        """
        self._check_there()
        root = self.open("root")
        part = root.signed.roles[role]
        for keyid in old:
            if keyid not in part.keyids:
                raise ConfigError(f"{role}: has no key {keyid[:16]}; it has {_short(part.keyids)}")
            root.signed.revoke_key(keyid, role)
        for key in new:
            if key.keyid in part.keyids:
                raise ConfigError(f"{role}: has the key {key.keyid[:16]} already")
            root.signed.add_key(key, role)
        part.threshold = part.threshold if threshold is None else threshold
        if not 1 <= part.threshold <= len(part.keyids):
            raise ConfigError(
                f"{role}: a threshold of {part.threshold} with {len(part.keyids)} keys; must be from 1 to the number of keys"
            )
        return self._signed_root(root, self.root())

    def first_root(self, keys: Mapping[str, Sequence[SSlibKey]], threshold: int = 1) -> Metadata[Root]:
        """The first root (Metadata), signed with what keys there are, not written.

        Args:
            keys (dict): role -> list of SSlibKey. threshold (int): root keys that must sign a root.

        Raises:
            ConfigError: a role without keys, or fewer root keys than the threshold.
        """
        root = Metadata(Root(consistent_snapshot=True))
        root.signed.version = 0
        for role in ROLES:
            if not keys.get(role):
                raise ConfigError(f"{role}: has no key")
            for key in keys[role]:
                root.signed.add_key(key, role)
        if not 1 <= threshold <= len(root.signed.roles["root"].keyids):
            raise ConfigError(
                f"root: a threshold of {threshold} with {len(keys['root'])} keys; must be from 1 to the number of keys"
            )
        root.signed.roles["root"].threshold = threshold
        return self._signed_root(root, None)

    def rotate(self, root: Metadata[Root]) -> Done:
        """Put `root` (Metadata, the next version) in force, and sign anew what it needs.

        Raises:
            HostError: not the next version, expired, or too few keys.
        """
        with self.tree.locked():
            self._check_there()
            now = self.root()
            if root.signed.version != now.version + 1:
                raise HostError(f"root: version {root.signed.version}, must be {now.version + 1}")
            self._before = now
            self._take_root(root)
            if not self._holds("targets", self.root()):
                with self.edit_targets():
                    pass  # a new version of the same
            self.do_snapshot()
            self.do_timestamp()
            return self._finish()

    # The parts.

    def _read(self, name: str) -> bytes | None:
        return self._new.get(name) or self.tree.read(FOLDER + name)

    def _name(self, role: str) -> str:
        if role == "timestamp":
            return "timestamp.json"
        if role == "root":
            n = 1
            while self._read(f"{n + 1}.root.json") is not None:
                n += 1
            return f"{n}.root.json"
        above = self.open("timestamp" if role == "snapshot" else "snapshot").signed
        meta = above.snapshot_meta if role == "snapshot" else above.meta[role + ".json"]
        return f"{max([meta.version, *self._made(role)])}.{role}.json"

    def _made(self, role: str) -> list[int]:
        return [int(name.split(".")[0]) for name in self._new if name.endswith(f".{role}.json")]

    def _put(self, role: str, md: Metadata[Any]) -> None:
        data = md.to_bytes(JSONSerializer(compact=True))
        name = role + ".json" if role == "timestamp" else f"{md.signed.version}.{role}.json"
        if len(data) > _LIMITS[role]:
            raise HostError(f"{name}: {len(data)} bytes; boards accept at most {_LIMITS[role]}")
        self._new[name] = data

    def _info(self, role: str) -> MetaFile:
        data = self._read(self._name(role)) or b""
        version = Metadata.from_bytes(data).signed.version
        return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})

    def _signed_root(self, root: Metadata[Root], before: Root | None) -> Metadata[Root]:
        root.signed.version += 1
        root.signed.expires = self._now + datetime.timedelta(days=self._days["root"])
        root.signatures.clear()
        sign_root(root, self._signers.values(), before)
        return root

    def _take_root(self, root: Metadata[Root]) -> None:
        if root.signed.expires <= self._now:
            raise HostError(f"root: version {root.signed.version} expired at {_text(root.signed.expires)}")
        if not root.signed.consistent_snapshot:
            raise HostError(f"root: version {root.signed.version} does not use consistent snapshots")
        for by in filter(None, (self._before, root.signed)):
            self._check_signed("root", root, by)
        self._put("root", root)

    def _check_there(self) -> None:
        if self.tree.read(FOLDER + "1.root.json") is None:
            raise ConfigError(f"{self.tree.folder / FOLDER}: no TUF repository; create one with `ota tuf init`")

    def _check_root(self) -> None:
        self._check_there()
        root = self.root()
        if root.expires <= self._now:
            raise HostError(
                f"root: version {root.version} expired at {_text(root.expires)}; make a new one with `ota tuf rotate root`"
            )

    def _check_signed(self, role: str, md: Metadata[Any], root: Root) -> None:
        found = root.get_verification_result(role, md.signed_bytes, md.signatures)
        if not found:
            many = f"{len(found.signed)} of the {found.threshold} signatures required by root {root.version}"
            raise HostError(f"{role} {md.signed.version}: {many}; use --key with more of {_short(root.roles[role].keyids)}")

    def _holds(self, role: str, root: Root) -> bool:
        md = self.open(role)
        return bool(md.signed.version and root.get_verification_result(role, md.signed_bytes, md.signatures))

    def _is_half_over(self, role: str) -> bool:
        left = self.open(role).signed.expires - self._now
        return bool(left * 2 < datetime.timedelta(days=self._days[role]))

    def _can_sign(self, role: str) -> bool:
        part = self.root().roles[role]
        return sum(keyid in self._signers for keyid in part.keyids) >= part.threshold

    def _check_kept(self, role: str) -> None:
        signed = self.open(role).signed
        if not self._holds(role, self.root()):
            raise HostError(
                f"{role}: version {signed.version} is not signed by the keys of the root; run `ota tuf publish` with its keys to sign it again"
            )
        if signed.expires <= self._now:
            raise HostError(
                f"{role}: version {signed.version} expired at {_text(signed.expires)}; run `ota tuf publish` with its keys to sign it again"
            )

    def _manifests(self) -> dict[str, TargetFile]:
        found: dict[str, TargetFile] = {}
        for channel, manifest in self.tree.channels().items():
            path = self.tree.folder / (channel + END)
            if manifest.body != manifest.raw:
                raise HostError(
                    f"{path}: carries its own signatures, which boards with a TufVerifier refuse; "
                    "publish it without --key and without `key` in ota.toml"
                )
            found[channel + END] = TargetFile.from_data(channel + END, manifest.raw, ["sha256"])
            self._new[f"targets/{found[channel + END].hashes['sha256']}.{channel}{END}"] = manifest.raw
        return found

    def _targets(self, force: bool) -> None:
        found = self._manifests()
        there = self.targets().targets
        # Targets of other kinds, which somebody else put there, stay.
        others = {path: target for path, target in there.items() if "/" in path or not path.endswith(END)}
        force = force or not self._holds("targets", self.root()) or there != {**others, **found}
        if force or (self._is_half_over("targets") and self._can_sign("targets")):
            with self.edit_targets() as targets:
                targets.targets = {**others, **found}
        self._check_kept("targets")
        self._online(self._is_first or self._is_half_over("snapshot") and self._can_sign("snapshot"))

    def _online(self, force: bool) -> None:
        self.do_snapshot(force)
        self._check_kept("snapshot")
        self.do_timestamp(force=True)

    def _finish(self) -> Done:
        done = Done()
        for name in self._order():
            if self.tree.write(FOLDER + name, self._new[name]):
                done.written.append(FOLDER + name)
        for role in ROLES:
            signed = self.open(role).signed
            done.versions[role] = signed.version
            done.expires[role] = _text(signed.expires)
            left = signed.expires - self._now
            if left * 4 < datetime.timedelta(days=self._days[role]):
                how = "`ota tuf rotate root`" if role == "root" else f"`ota tuf publish` with the {role} key"
                done.warnings.append(f"{role}: expires at {_text(signed.expires)}; {how} makes a new one")
        done.targets = sorted(self.targets().targets)
        return done

    def _order(self) -> list[str]:
        names = sorted(self._new, key=_place)
        roots = [name for name in names if name.endswith(".root.json")]
        others = [name for name in names if name not in roots]
        if self._before and not all(self._holds(role, self._before) for role in ROLES[1:]):
            return roots + others
        return others + roots


def sign_root(root: Metadata[Root], signers: Iterable[Signer], before: Root | None = None) -> list[str]:
    """Sign the root (Metadata) with those of the `signers` whose keys are of it, or of the Root `before`.

    Returns:
        list of str: the ids of the keys that signed.
    """
    wanted = {keyid for by in filter(None, (before, root.signed)) for keyid in by.roles["root"].keyids}
    signed = []
    for signer in signers:
        if signer.public_key.keyid in wanted:
            root.sign(signer, append=True)
            signed.append(signer.public_key.keyid)
    return signed


def _place(name: str) -> tuple[int, str]:
    # Contents, then each role after what it leads to.
    role = name.removesuffix(".json").rpartition(".")[2]
    return (ROLES.index(role) if role in ROLES else 0), name


def _text(time: datetime.datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _short(keyids: Iterable[str]) -> str:
    return ", ".join(keyid[:16] for keyid in keyids)
