"""The command `ota`.

Exit codes: 0 done, or nothing to do; 1 the release or the tree is bad, or was refused; 2 usage or
configuration error (command line, ota.toml); 3 a board, a port, a program or the file system failed;
130 Ctrl-C. Every error is one line on standard error.
"""

import contextlib
import dataclasses
import enum
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypedDict

import typer
import typer.main
from rich.text import Text

import ota_host
from ota.errors import OtaError

from . import audit, clock, config, drafts, extras, init, mend, preview, prune, release, releases, show, usage
from .boards import BoardError
from .boards.command import board
from .deploy.command import deploy
from .errors import ConfigError, HostError
from .keys import Seal
from .keys import command as keys
from .keys.command import AsJson, ConfigFile, KeyNames, PasswordFile
from .library import library
from .proof.command import prove
from .put import Published
from .tree import Tree
from .tuf.command import tuf

app = typer.Typer(
    name="ota",
    help="Publish releases for MicroPython boards, serve them, and try them on boards without hardware.",
    epilog="Exit codes: 0 done, 1 bad or refused, 2 usage or ota.toml, 3 board, port or file system.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(given: bool) -> None:
    if given:
        show.out.print(Text(f"ota {ota_host.__version__}"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


class Layout(str, enum.Enum):
    """The layouts of micropython_ota."""

    NONE = "none"
    PREFIX = "prefix"
    SUBDIR = "subdir"


ToChannel = Annotated[str | None, typer.Option(help="Channel to publish to; default: `channel` of ota.toml.")]
Legacy = Annotated[Layout | None, typer.Option(help="Also write the layout of micropython_ota; default: `legacy` of ota.toml.")]
Expires = Annotated[int | None, typer.Option(min=0, max=36500, help="Days until boards refuse it; 0: never.")]
Rollout = Annotated[
    float | None, typer.Option(min=0, max=100, help="Percent of the boards that get it; publish again to raise it.")
]
Version = Annotated[
    str | None, typer.Option(help="Semantic version; default: `version` of ota.toml, else the git tag checked out.")
]
Compile = Annotated[bool | None, typer.Option(help="Ship .mpy for all but boot.py and main.py.")]
Origin = Annotated[str | None, typer.Option("--from", help="Publish the content of this release again, not the source folder.")]
Platform = Annotated[list[str] | None, typer.Option(help="Only for boards of this sys.platform, such as rp2; may be repeated.")]
Draft = Annotated[Path | None, typer.Option(help="Write the unsigned manifest to this file, for `ota sign`; change no channel.")]
EarlyImports = Annotated[
    bool,
    typer.Option(
        "--allow-early-imports", help="Change several files that run before ota.boot(), though a power cut may mix them."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would change and what boards would fetch; write nothing, need no key.")
]
TrustClock = Annotated[bool, typer.Option("--trust-clock", help="The clock of this PC is right, whatever speaks against it.")]
Signed = Annotated[Path | None, typer.Option("--manifest", help="Publish this draft, with --signature.")]
Signatures = Annotated[list[Path] | None, typer.Option("--signature", help="File that `ota sign` wrote; may be repeated.")]

ProjectFolder = Annotated[Path | None, typer.Argument(help="Folder of the project; default: that of ota.toml.")]


@app.command("init")
def init_(
    project: Annotated[str | None, typer.Option(help="Name of the project, part of its URL.")] = None,
    source: Annotated[str | None, typer.Option(help="Folder that mirrors the board's root.")] = None,
    destination: Annotated[str | None, typer.Option(help="Folder that the web server serves.")] = None,
    channel: Annotated[str | None, typer.Option(help="Channel that boards follow.")] = None,
    legacy: Annotated[Layout | None, typer.Option(help="Layout of micropython_ota to write too.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take the defaults.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an ota.toml that is there.")] = False,
) -> None:
    """Write ota.toml for the project in this folder."""
    folder = Path.cwd()
    if (folder / config.NAME).exists() and not force:
        raise ConfigError(f"{folder / config.NAME}: already exists; use --force to overwrite it")
    answers = init.defaults(folder)
    other = answers["destination"] if destination is None and answers["destination"] != init.DESTINATION else ""
    given = {"project": project, "source": source, "destination": destination, "channel": channel}
    given["legacy"] = legacy and legacy.value
    ask = not yes and sys.stdin.isatty()
    for key, value in given.items():
        if value is not None:
            answers[key] = value
        elif ask and key != "channel":
            answers[key] = typer.prompt(key, default=answers[key])
    path = init.write(folder, answers, force)
    config.read(path)
    if other and other == answers["destination"]:
        show.out.print(f"{init.DESTINATION}/ has files of its own, so releases go to {other}/", markup=False)
    show.out.print(f"wrote {path}; next: ota publish --version v1.0.0", markup=False)


@app.command()
def publish(
    version: Version = None,
    channel: ToChannel = None,
    legacy: Legacy = None,
    compile: Compile = None,
    origin: Origin = None,
    platform: Platform = None,
    expires: Expires = None,
    rollout: Rollout = None,
    key: KeyNames = None,
    password_file: PasswordFile = None,
    draft: Draft = None,
    manifest: Signed = None,
    signature: Signatures = None,
    dry_run: DryRun = False,
    early_imports: EarlyImports = False,
    trust_clock: TrustClock = False,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """Publish the source folder as a release; the same content and version again changes nothing."""
    settings = _settings(config_file, channel=channel, legacy=legacy, compile=compile, platform=platform or None)
    if signature and not manifest:
        raise ConfigError("--signature does not go without --manifest")
    if manifest:
        given = {"version": version, "compile": compile, "platform": platform, "expires": expires, "rollout": rollout}
        _refuse_with("--manifest: the draft decides it", **given, draft=draft, **{"from": origin})
    if origin:
        _refuse_with("--from: the content is that of the old release", compile=compile, platform=platform)
    allow = release.Rules(settings.library, early_imports, trust_clock)
    if dry_run:
        _refuse_with("--dry-run", draft=draft, manifest=manifest)
        _preview(settings, version, origin, allow, as_json)
        return
    seal = _seal(settings, key, password_file, draft)
    if manifest:
        _from_draft(settings, manifest, signature or [], seal, allow, as_json)
        return
    terms = release.Terms(settings.expires or None if expires is None else expires, rollout)
    if origin:
        _again(settings, origin, version, terms, seal, draft, allow, as_json)
        return
    _fresh(settings, release.choose_version(version, settings), terms, seal, draft, allow, as_json)


@app.command()
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="Release to go back to; default: the one before, when there is one channel.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--version", help="Version of the new publication; default: VERSION+rollback.SEQ.")
    ] = None,
    channel: ToChannel = None,
    legacy: Legacy = None,
    expires: Expires = None,
    rollout: Rollout = None,
    key: KeyNames = None,
    password_file: PasswordFile = None,
    draft: Draft = None,
    early_imports: EarlyImports = False,
    trust_clock: TrustClock = False,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """Publish an older release's content again, so that boards go back to it.

    Boards never install what is older, and `seq` says what is: so the old content gets a new seq, and
    a version of its own, because a version stands for one seq for ever. `v1.0.0+rollback.7` is
    v1.0.0 with build metadata, which Semantic Versioning does not compare.
    """
    settings = _settings(config_file, channel=channel, legacy=legacy)
    version = version or release.previous(Tree(settings.tree), settings.channel)
    terms = release.Terms(settings.expires or None if expires is None else expires, rollout)
    allow = release.Rules(settings.library, early_imports, trust_clock)
    _again(settings, version, tag, terms, _seal(settings, key, password_file, draft), draft, allow, as_json)


@app.command()
def serve(
    dest: Annotated[Path | None, typer.Argument(help="Folder above the projects; default: that of ota.toml.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets boards of the network in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0: a free one.")] = 8000,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """Serve the releases over HTTP, with a line for each request, until Ctrl-C."""
    extras.require("ota serve", "serve")
    from .server import addresses, listen, serve

    root = (dest or config.read(config_file).root).absolute()
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; `ota publish` makes it")
    sock = listen(host, port)
    number = sock.getsockname()[1]
    urls = [f"http://{address}:{number}" for address in addresses(host)]
    if as_json:
        show.as_json({"event": "serving", "url": urls[0], "urls": urls, "port": number, "root": str(root)})
    else:
        show.serving(root, urls, host)
    tell = (lambda entry: show.as_json({"event": "request", **entry})) if as_json else show.request
    with contextlib.suppress(KeyboardInterrupt):
        serve(root, sock, tell)


@app.command()
def verify(
    dest: Annotated[Path | None, typer.Argument(help="Folder of the projects, or of one; default: that of ota.toml.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what the rest of the tree allows; signs nothing.")] = False,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """Check every manifest, content and legacy file of a tree; exit code 1 when something is wrong."""
    settings = None
    if dest is None or config_file.exists():
        settings = config.read(config_file)
        dest = dest or settings.root
    with show.progress() as progress:
        reports = []
        for folder in audit.projects(dest):
            seal = _trusted(settings, folder)
            fixed = mend.fix(folder, seal, progress) if fix else []
            reports.append(audit.verify(folder, progress, seal))
            reports[-1].fixed = fixed
    bad = sum(len(report.problems) for report in reports)
    if as_json:
        show.as_json({"ok": not bad, "projects": [dataclasses.asdict(report) for report in reports]})
    else:
        show.audited(reports, fix)
    if bad:
        raise typer.Exit(1)


@app.command("releases")
def releases_(
    dest: ProjectFolder = None,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """List what is published: on which channels, since when, how large, and what a board fetches."""
    found = releases.listing(_project(dest, config_file))
    if as_json:
        show.as_json(dataclasses.asdict(found))
    else:
        show.listed(found)


@app.command("prune")
def prune_(
    dest: ProjectFolder = None,
    keep: Annotated[
        int | None, typer.Option(min=0, help="Newest releases to keep; default: 5, or `deltas` of ota.toml if larger.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; list what would be removed.")] = False,
    config_file: ConfigFile = Path(config.NAME),
    as_json: AsJson = False,
) -> None:
    """Remove old releases and every file that no channel, draft or kept release needs."""
    folder = _project(dest, config_file)
    if keep is None:
        deltas = config.read(config_file).deltas if config_file.exists() else 0
        keep = max(prune.KEEP, deltas)
    done = prune.prune(folder, keep, dry_run)
    if as_json:
        show.as_json(dataclasses.asdict(done))
    else:
        show.pruned(done)


app.command("keygen")(keys.keygen)
app.command("pubkey")(keys.pubkey)
app.command("sign")(keys.sign)
app.command("board")(board)
app.command("deploy")(deploy)
app.command("library")(library)
app.command("prove")(prove)
app.add_typer(tuf, name="tuf")


def _project(dest: Path | None, config_file: Path) -> Path:
    folder = (dest or config.read(config_file).tree).absolute()
    if audit.projects(folder) != [folder]:
        raise ConfigError(f"{folder}: holds several projects; name the folder of one")
    return folder


def _settings(path: Path, **given: object) -> config.Config:
    settings = config.read(path)
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if value is None:
            continue
        changes[key] = value.value if isinstance(value, enum.Enum) else value
        right, allowed = config.KEYS[key]
        if not right(changes[key]):
            raise ConfigError(f"--{key} {changes[key]!r}: {allowed}")
    if changes.get("channel", settings.channel) != settings.channel:
        # There is one `version` file: unless told so, another channel's release is not for everybody.
        changes.setdefault("legacy", "none")
    return dataclasses.replace(settings, **changes)


def _refuse_with(other: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None and value is not False and value != []:
            raise ConfigError(f"--{name} does not go with {other}")


def _seal(settings: config.Config, key: list[str] | None, password_file: Path | None, draft: Path | None) -> Seal:
    if draft:
        _refuse_with("--draft: `ota sign` signs it", key=key)
        keys.check_outside(draft, settings, "--draft")
    return keys.seal_of(settings, key, password_file, signs=not draft)


def _trusted(settings: config.Config | None, folder: Path) -> Seal | None:
    # Keys are those of one project.
    if settings and folder.absolute().name == settings.project:
        return keys.trusted(settings)
    return None


class _Place(TypedDict):
    channel: str
    layout: str
    deltas: int
    compress: bool


def _place(settings: config.Config) -> _Place:
    # What every publication takes from ota.toml.
    return {
        "channel": settings.channel,
        "layout": settings.legacy,
        "deltas": settings.deltas,
        "compress": settings.compress,
    }


def _fresh(
    settings: config.Config,
    version: str,
    terms: release.Terms,
    seal: Seal,
    draft: Path | None,
    allow: release.Rules,
    as_json: bool,
) -> None:
    with show.progress() as progress:
        made = release.build(settings, progress)
        if seal.signers or draft:
            allow = dataclasses.replace(allow, witness=clock.witness(settings.source_folder, made.files))
        done = release.publish(
            made,
            Tree(settings.tree),
            version,
            **_place(settings),
            terms=terms,
            seal=seal,
            draft=draft,
            allow=allow,
            progress=progress,
        )
    _tell(done, as_json)
    if done.changed and not (as_json or draft):
        show.largest(preview.largest(made.entries))


def _preview(settings: config.Config, version: str | None, origin: str | None, allow: release.Rules, as_json: bool) -> None:
    tree, missing = preview.DryTree(settings.tree), []
    try:
        chosen = None if origin and not version else release.choose_version(version, settings)
    except ConfigError as e:
        if version:
            raise
        chosen, missing = preview.UNNAMED, [str(e)]
    place, seal = _place(settings), keys.trusted(settings)
    with show.progress() as progress:
        if origin:
            publish = functools.partial(release.republish, tree, origin, version=chosen, **place)
        else:
            publish = functools.partial(release.publish, release.build(settings, progress), tree, chosen or "", **place)
        publish = functools.partial(publish, seal=seal, allow=allow, progress=progress)
        made = preview.preview(tree, settings.channel, publish)
    made.warnings += missing
    if as_json:
        show.as_json(dataclasses.asdict(made))
    else:
        show.previewed(made)


def _again(
    settings: config.Config,
    origin: str,
    version: str | None,
    terms: release.Terms,
    seal: Seal,
    draft: Path | None,
    allow: release.Rules,
    as_json: bool,
) -> None:
    with show.progress() as progress:
        done = release.republish(
            Tree(settings.tree),
            origin,
            **_place(settings),
            version=version,
            keeps=settings.keep,
            terms=terms,
            seal=seal,
            draft=draft,
            allow=allow,
            progress=progress,
        )
    _tell(done, as_json)


def _from_draft(
    settings: config.Config, manifest: Path, signatures: Sequence[Path], seal: Seal, allow: release.Rules, as_json: bool
) -> None:
    with show.progress() as progress:
        done = drafts.publish(
            manifest,
            signatures,
            Tree(settings.tree),
            settings.project,
            channel=settings.channel,
            layout=settings.legacy,
            seal=seal,
            allow=allow,
            progress=progress,
        )
    _tell(done, as_json)


def _tell(done: Published, as_json: bool) -> None:
    if as_json:
        show.as_json({**dataclasses.asdict(done), "changed": done.changed})
    else:
        show.published(done)


def command() -> Any:  # click's, which typer may carry within itself
    """The command as typer runs it."""
    return usage.name_values(typer.main.get_command(app))


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command `ota` and exit."""
    try:
        sys.exit(command().main(argv, prog_name="ota", standalone_mode=False) or 0)
    except usage.UsageError as e:
        if type(e).__name__ == "NoArgsIsHelpError":
            e.show()
        else:
            show.error(usage.one_line(e))
        sys.exit(2)
    except typer.Abort:
        show.error("interrupted")
        sys.exit(130)
    except HostError as e:
        show.error(e)
        sys.exit(e.code)
    except OtaError as e:
        show.error(e)
        sys.exit(1)
    except (BoardError, OSError) as e:
        show.error(e)
        sys.exit(3)


if __name__ == "__main__":
    main()
