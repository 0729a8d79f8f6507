"""The commands `ota keygen`, `ota pubkey` and `ota sign`, and which keys a project uses."""

import enum
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from .. import config, show
from ..errors import ConfigError
from .board import BoardKey, board_key_of, read_board_keys
from .files import generate
from .password import Password
from .seal import Seal
from .signer import Signer, open_signer


class Alg(str, enum.Enum):
    """The algorithms of signatures, by their JOSE names."""

    RS256 = "RS256"
    ES256 = "ES256"
    HS256 = "HS256"


KeyNames = Annotated[
    list[str] | None,
    typer.Option("--key", help="Sign with this private key file, pkcs11: URI or plug-in; may be repeated."),
]
PasswordFile = Annotated[Path | None, typer.Option(help="File whose first line is the password or PIN of the key.")]
ConfigFile = Annotated[Path, typer.Option("--config", help="The settings of the project.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]


def trusted(settings: config.Config) -> Seal:
    """A Seal with the keys that the boards of a project (Config) trust; raises ConfigError."""
    keys = read_board_keys(settings.keys, settings.folder)
    if settings.threshold > max(1, len(keys)):
        raise ConfigError(f"threshold = {settings.threshold}, but `keys` has {len(keys)}")
    return Seal((), tuple(keys), settings.threshold)


def seal_of(
    settings: config.Config, names: list[str] | None = None, password_file: Path | None = None, signs: bool = True
) -> Seal:
    """The Seal of a publication.

    Args:
        settings (Config): of the project.
        names (list of str): the keys of the command line; without any, `key` of ota.toml.
        password_file (Path): for their password.
        signs (bool): False for a draft.

    Raises:
        ConfigError: a key file where boards or the web would get it, or no such key.
    """
    seal = trusted(settings)
    if not signs:
        return seal
    names = names or [_relative(name, settings.folder) for name in settings.key]
    for path in filter(None, [*map(_file, names), password_file]):
        check_outside(path, settings, "key")
    return Seal(_open(names, password_file), seal.keys, seal.threshold)


def _open(names: Sequence[str], password_file: Path | None) -> tuple[Signer, ...]:
    password = Password(password_file)
    signers = {}
    for name in names:
        signer = open_signer(name, password)
        signers[signer.key_id] = signer
    return tuple(signers.values())


def _file(name: str) -> Path | None:
    # The path that a key's name is, or None for another kind.
    scheme, colon, _ = name.partition(":")
    return None if colon and len(scheme) > 1 and scheme.isidentifier() else Path(name).expanduser()


def _relative(name: str, folder: Path) -> str:
    path = _file(name)
    return name if path is None else str(folder / path)


def check_outside(path: Path, settings: config.Config, what: str) -> None:
    """Refuse a file that the next release would hold, or that the web server serves; raises ConfigError."""
    real = Path(os.path.realpath(path))
    for folder, why in ((settings.source_folder, "every board would get it"), (settings.root, "the web server serves it")):
        if real.is_relative_to(os.path.realpath(folder)):
            raise ConfigError(f"{what} {path}: is inside {folder}: {why}; keep it elsewhere")


def keygen(
    file: Annotated[Path, typer.Argument(help="File for the private key; the board key goes into FILE.pub.")],
    alg: Annotated[Alg, typer.Option(help="Algorithm of the signatures.")] = Alg.RS256,
    bits: Annotated[int, typer.Option(help="Size of an RS256 key: 2048, 3072 or 4096.")] = 3072,
    no_password: Annotated[bool, typer.Option("--no-password", help="Do not encrypt the file.")] = False,
    password_file: PasswordFile = None,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """Make a key to sign releases with: FILE, encrypted with a password, and FILE.pub for the boards."""
    if config_file.exists():
        settings = config.read(config_file)
        for path in (file, password_file):
            if path:
                check_outside(path, settings, "key")
    if no_password and password_file:
        raise ConfigError("--password-file cannot be used with --no-password")
    signer = generate(file, alg.value, bits, None if no_password else Password(password_file, confirm=True))
    if alg is Alg.HS256:
        show.warning(
            f"{file}.pub contains the secret itself: anyone who can read it, or any board that has it, can sign releases"
        )
    if no_password:
        show.warning(f"{file} is not encrypted: anyone who can read it can sign releases")
    shown = "" if alg is Alg.HS256 else signer.board_key
    if as_json:
        told = {"file": str(file), "public": f"{file}.pub", "alg": signer.alg, "key_id": signer.key_id}
        show.as_json({**told, "board_key": shown or None})
        return
    lines = [f"wrote the private key {file} and the board key {file}.pub; keep a backup of {file} in a different place"]
    lines += [f"key id     {signer.key_id}"]
    if shown:
        lines += [f"board key  {shown}", f'SignatureVerifier(["{shown}"])']
    show.out.print("\n".join(lines), markup=False)


def pubkey(
    file: Annotated[str, typer.Argument(help="A PEM file, public or private, a .pub file, or a pkcs11: URI.")],
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the board key of a key: what SignatureVerifier and `keys` of ota.toml take."""
    key = _public(file, password_file)
    if key.alg == "HS256":
        show.warning(f"{file}: an HS256 board key is the secret itself")
    if as_json:
        show.as_json({"alg": key.alg, "key_id": key.id, "board_key": key.text})
    else:
        show.out.print(key.text, markup=False)


def _public(name: str, password_file: Path | None) -> BoardKey:
    path = _file(name)
    if path and path.is_file():
        data = path.read_bytes()
        if b"-----BEGIN" in data and b"PRIVATE KEY-----" not in data:
            return BoardKey.parse(board_key_of(data, name))
        lines = data.split()
        if lines and lines[0].partition(b":")[0].decode("ascii", "replace") in Alg.__members__:
            if len(lines) > 1:
                raise ConfigError(f"{name}: holds {len(lines)} board keys, must hold exactly one")
            return BoardKey.parse(lines[0].decode("ascii", "replace"), name)
    return BoardKey.parse(open_signer(name, Password(password_file)).board_key, name)


def sign(
    manifest: Annotated[Path, typer.Argument(help="The file that `ota publish --draft` wrote.")],
    key: KeyNames = None,
    out: Annotated[Path | None, typer.Option(help="File for the signatures; default: MANIFEST.sig.")] = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign a draft, on a machine that need not be the one that publishes."""
    from .. import drafts
    from ..tree import parse_manifest

    if not key:
        raise ConfigError("no key given; use --key")
    parsed = parse_manifest(drafts.read(manifest), manifest)
    header, digest = parsed.header, sha256(parsed.body).hexdigest()
    what = f"{header['project']} {parsed.version} (seq {parsed.seq}): {header['files']} files, {decimal(header['size'])}"
    if not as_json:
        # Before the password, so that one sees what it is for.
        show.out.print(f"{what}, sha256 {digest}", markup=False)
    signers = _open(key, password_file)
    _, where, changed = drafts.sign(manifest, signers, out)
    ids = [signer.key_id for signer in signers]
    if as_json:
        told = {name: header[name] for name in ("project", "version", "seq", "files", "size")}
        show.as_json({**told, "sha256": digest, "signed": ids, "file": str(where), "changed": changed})
    else:
        said = f"wrote {where}" if changed else f"nothing to do: {where} already exists"
        show.out.print(f"{said}, signed by {', '.join(ids)}", markup=False)
