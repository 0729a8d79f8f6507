"""The commands `ota tuf …`."""

import dataclasses
import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import config, extras, show
from ..errors import ConfigError, HostError, OutsideError
from ..keys.command import AsJson, ConfigFile, KeyNames, PasswordFile, check_outside
from ..keys.password import Password
from ..tree import Tree

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey
    from tuf.api.metadata import Metadata, Root

    from .keys import TufSigner
    from .repository import Done, Repository

tuf = typer.Typer(
    help="Publish with The Update Framework, for boards with a TufVerifier.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Role(str, enum.Enum):
    """The top-level roles."""

    ROOT = "root"
    TARGETS = "targets"
    SNAPSHOT = "snapshot"
    TIMESTAMP = "timestamp"


def _days(what: str) -> Any:
    return typer.Option(min=1, max=3650, help=f"Days until {what} made now expires.")


RootDays = Annotated[int, _days("a root")]
TargetsDays = Annotated[int, _days("targets metadata")]
SnapshotDays = Annotated[int, _days("a snapshot")]
TimestampDays = Annotated[int, _days("a timestamp")]
Names = list[str] | None
Threshold = int | None
Draft = Annotated[Path | None, typer.Option(help="Write the new root to this file for `ota tuf sign`, and change nothing else.")]
RootFile = Annotated[Path | None, typer.Option("--root", help="Publish this draft of a root; --key signs the other roles.")]


class _Keys:
    # Names of keys -> keys, each opened once.

    def __init__(self, settings: config.Config, password_file: Path | None) -> None:
        self._settings, self._password = settings, Password(password_file)
        self._found: dict[str, SSlibKey] = {}
        self.signers: dict[str, TufSigner] = {}
        if password_file:
            check_outside(password_file, settings, "--password-file")

    def load(self, names: Sequence[str] | None) -> "list[SSlibKey]":
        """The SSlibKeys of `names`; what can sign gets into `signers`."""
        from .keys import load

        for name in names or ():
            if name not in self._found:
                self._found[name], signer = load(name, self._password)
                if signer:
                    path = Path(name).expanduser()
                    if path.exists():
                        check_outside(path, self._settings, "key")
                    self.signers[signer.public_key.keyid] = signer
        return [self._found[name] for name in names or ()]

    def sign_with(self, names: Sequence[str] | None) -> None:
        """Load `names`, which must be private keys."""
        for name, key in zip(names or (), self.load(names), strict=True):
            if key.keyid not in self.signers:
                raise ConfigError(f"--key {name}: is a public key; only a private key can sign")


def _start(path: Path, key: list[str] | None, password_file: Path | None) -> tuple[config.Config, _Keys]:
    extras.require("ota tuf", "tuf")
    settings = config.read(path)
    keys = _Keys(settings, password_file)
    keys.sign_with(key)
    return settings, keys


def _repository(settings: config.Config, keys: _Keys, **days: int) -> "Repository":
    from .repository import Repository

    return Repository(Tree(settings.tree), keys.signers.values(), days)


@tuf.command()
def init(
    root_key: Annotated[Names, typer.Option(help="Key for the root role, kept offline; may be repeated.")] = None,
    threshold: Annotated[Threshold, typer.Option(help="Number of root keys that must sign a root; default: 1.")] = None,
    targets_key: Annotated[
        Names, typer.Option(help="Key for the targets role, which signs what boards install; may be repeated.")
    ] = None,
    online_key: Annotated[Names, typer.Option(help="Key for snapshots and timestamps; may be repeated.")] = None,
    root_days: RootDays = 365,
    targets_days: TargetsDays = 365,
    snapshot_days: SnapshotDays = 30,
    timestamp_days: TimestampDays = 7,
    draft: Draft = None,
    root: RootFile = None,
    key: KeyNames = None,
    password_file: PasswordFile = None,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """Begin a TUF repository in the tree of the project; a key may be a public one where others sign."""
    settings, keys = _start(config_file, key, password_file)
    given = {"root-key": root_key, "threshold": threshold, "targets-key": targets_key, "online-key": online_key}
    _refuse_with_root(root, draft=draft, **given)
    named = {"root": root_key, "targets": targets_key, "snapshot": online_key, "timestamp": online_key}
    loaded = {role: keys.load(names) for role, names in named.items()}
    repository = _repository(
        settings, keys, root=root_days, targets=targets_days, snapshot=snapshot_days, timestamp=timestamp_days
    )
    made = _read_root(root) if root else _first_root(repository, loaded, 1 if threshold is None else threshold)
    done = _write_draft(made, draft, settings) if draft else repository.init(made)
    _tell(done, as_json, f"boards begin with {settings.tree / 'tuf/1.root.json'}")


def _first_root(repository: "Repository", loaded: "dict[str, list[SSlibKey]]", threshold: int) -> "Metadata[Root]":
    for option, role in (("--root-key", "root"), ("--targets-key", "targets"), ("--online-key", "timestamp")):
        if not loaded[role]:
            raise ConfigError(f"{option} is missing: every role needs a key")
    roots = {key.keyid for key in loaded["root"]}
    if roots & {key.keyid for role in ("targets", "timestamp") for key in loaded[role]}:
        show.warning("a root key is also used by another role: anyone who steals it there controls the boards")
    return repository.first_root(loaded, threshold)


@tuf.command()
def publish(
    renew: Annotated[
        bool, typer.Option("--renew", help="Make a new timestamp only, and a new snapshot once half its time is over; for cron.")
    ] = False,
    targets_days: TargetsDays = 365,
    snapshot_days: SnapshotDays = 30,
    timestamp_days: TimestampDays = 7,
    key: KeyNames = None,
    password_file: PasswordFile = None,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """Let boards have what `ota publish` put on the channels."""
    settings, keys = _start(config_file, key, password_file)
    repository = _repository(settings, keys, targets=targets_days, snapshot=snapshot_days, timestamp=timestamp_days)
    _tell(repository.renew() if renew else repository.publish(), as_json)


@tuf.command()
def rotate(
    role: Annotated[
        Role | None, typer.Argument(help="Role whose keys change; root without --old and --new gets a later expiry.")
    ] = None,
    old: Annotated[Names, typer.Option(help="Key to remove; its private file signs once more; may be repeated.")] = None,
    new: Annotated[Names, typer.Option(help="Key to add; may be repeated.")] = None,
    threshold: Annotated[Threshold, typer.Option(help="Number of keys of the role that must sign from now on.")] = None,
    root_days: RootDays = 365,
    targets_days: TargetsDays = 365,
    snapshot_days: SnapshotDays = 30,
    timestamp_days: TimestampDays = 7,
    draft: Draft = None,
    root: RootFile = None,
    key: KeyNames = None,
    password_file: PasswordFile = None,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """Change the keys of a role, by a new root that old and new root keys sign."""
    settings, keys = _start(config_file, key, password_file)
    _refuse_with_root(root, draft=draft, role=role, threshold=threshold)
    name = role.value if role else ""
    if not name and not root:
        raise ConfigError("ROLE is missing: give root, targets, snapshot or timestamp, or --root with a draft")
    gone, come = keys.load(old), keys.load(new)
    repository = _repository(
        settings, keys, root=root_days, targets=targets_days, snapshot=snapshot_days, timestamp=timestamp_days
    )
    made = _read_root(root) if root else repository.new_root(name, [k.keyid for k in gone], come, threshold)
    _tell(_write_draft(made, draft, settings) if draft else repository.rotate(made), as_json)


@tuf.command()
def sign(
    file: Annotated[Path, typer.Argument(help="The root that was written with --draft.")],
    key: KeyNames = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign the draft of a root, on a machine that needs nothing else; the signatures get into the file."""
    extras.require("ota tuf", "tuf")
    from .keys import load

    if not key:
        raise ConfigError("no key given; use --key")
    root = _read_root(file)
    told = _shown(root)
    if not as_json:
        # Before the password, so that one sees what it is for.
        show.out.print("\n".join(told), markup=False)
    signed = []
    for name in key:
        _, signer = load(name, Password(password_file))
        if not signer:
            raise ConfigError(f"--key {name}: is a public key; only a private key can sign")
        root.sign(signer, append=True)
        signed.append(signer.public_key.keyid)
    _save(root, file)
    if as_json:
        show.as_json({"version": root.signed.version, "roles": told, "signed": signed, "file": str(file)})
    else:
        show.out.print(f"wrote {file}, signed by {', '.join(keyid[:16] for keyid in signed)}", markup=False)


def _shown(root: "Metadata[Root]") -> list[str]:
    lines = [f"root {root.signed.version}, expires at {root.signed.expires:%Y-%m-%dT%H:%M:%SZ}"]
    for name, role in root.signed.roles.items():
        lines.append(f"{name}: {role.threshold} of {', '.join(keyid[:16] for keyid in role.keyids)}")
    return lines


def _refuse_with_root(root: Path | None, **options: object) -> None:
    for name, value in options.items():
        if root and value is not None and value != []:
            raise ConfigError(f"--{name} cannot be used with --root: the draft decides it")


def _read_root(path: Path) -> "Metadata[Root]":
    from tuf.api.metadata import Metadata, Root
    from tuf.api.serialization import DeserializationError

    try:
        root = Metadata.from_bytes(path.read_bytes())
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from None
    except DeserializationError:
        raise HostError(f"{path}: not TUF metadata") from None
    if not isinstance(root.signed, Root):
        raise HostError(f"{path}: contains {root.signed.type} metadata; must be root")
    return root


def _write_draft(root: "Metadata[Root]", path: Path, settings: config.Config) -> "Done":
    from .repository import Done

    check_outside(path, settings, "--draft")
    _save(root, path)
    return Done(draft=str(path), written=[str(path)], versions={"root": root.signed.version})


def _save(root: "Metadata[Root]", path: Path) -> None:
    from tuf.api.serialization.json import JSONSerializer

    try:
        path.write_bytes(root.to_bytes(JSONSerializer()))
    except OSError as e:
        raise OutsideError(f"{path}: cannot be written: {e.strerror}") from None


def _tell(done: "Done", as_json: bool, more: str = "") -> None:
    for message in done.warnings:
        show.warning(message)
    if as_json:
        show.as_json(dataclasses.asdict(done))
    elif done.draft:
        show.out.print(f"drafted root {done.versions['root']}; next: ota tuf sign {done.draft} --key KEY", markup=False)
    else:
        roles = ", ".join(f"{role} {n}" for role, n in done.versions.items())
        show.out.print(f"{roles}; targets: {', '.join(done.targets) or 'none'}", markup=False)
        show.out.print(f"the timestamp expires at {done.expires['timestamp']}", markup=False)
        if more:
            show.out.print(more, markup=False)
