"""The command `ota board`: a test board in the foreground."""

import enum
import json
import os
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated

import typer

from .. import extras
from ..errors import OutsideError

if TYPE_CHECKING:
    from .supervisor import BoardOptions, Supervisor


class Kind(str, enum.Enum):
    """The kinds of boards."""

    UNIX = "unix"
    PICO_W = "pico-w"


class FileSystem(str, enum.Enum):
    """The file systems of the unix board."""

    LFS2 = "lfs2"
    FAT = "fat"
    SD = "sd"


class Torn(str, enum.Enum):
    """How much of the operation happens in which the power fails."""

    NONE = "none"
    BYTE = "1byte"
    HALF = "half"
    ALL_BUT_ONE = "all-but-1"
    ALL = "all"


def board(
    kind: Annotated[Kind, typer.Argument(help="unix starts at once; pico-w is the real firmware.")] = Kind.UNIX,
    link: Annotated[Path | None, typer.Option(help="Path of the serial port; default: beside the flash.")] = None,
    flash: Annotated[Path | None, typer.Option(help="Flash image to keep; default: a new one.")] = None,
    size: Annotated[int, typer.Option(help="KiB of flash (unix).")] = 1024,
    block: Annotated[int, typer.Option(help="Bytes of an erase block (unix).")] = 4096,
    page: Annotated[int, typer.Option(help="Bytes programmed in one operation (unix).")] = 256,
    fs: Annotated[FileSystem, typer.Option(help="File system; sd: FAT on whole sectors (unix).")] = FileSystem.LFS2,
    heap: Annotated[str, typer.Option(help="Heap; 34wK is fair to 48 KB on a 32-bit chip (unix).")] = "128wK",
    cut_at: Annotated[int, typer.Option(help="Lose power in this flash operation since power-on.")] = 0,
    torn: Annotated[Torn, typer.Option(help="How much of that operation happens.")] = Torn.HALF,
    no_reboot: Annotated[bool, typer.Option("--no-reboot", help="Exit with 99 after a power cut.")] = False,
    uf2: Annotated[Path | None, typer.Option(help="Other firmware (pico-w).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say where everything is as one line of JSON.")] = False,
) -> None:
    """Run a test board without hardware until Ctrl-C; mpremote connects to it as to a real one."""
    with tempfile.TemporaryDirectory(prefix="ota-board-") as folder:
        image = (flash or Path(folder) / "flash.img").absolute()
        options = SimpleNamespace(kind=kind.value, flash=str(image), link=link and str(link), size=size, block=block)
        options.__dict__.update(page=page, fs=fs.value, heap=heap, cut_at=cut_at, torn=torn.value, reboot=not no_reboot)
        options.__dict__.update(uf2=uf2 and str(uf2), env={})
        raise typer.Exit(_serve(options, as_json))


def _serve(options: "BoardOptions", as_json: bool) -> int:
    from .firmware import FirmwareUnavailable
    from .supervisor import Ended, Supervisor, build, end

    signal.signal(signal.SIGTERM, end)
    try:
        supervisor = Supervisor(build(options), options)
        typer.echo(_where(supervisor, options, as_json))
        code = supervisor.run()
    except (Ended, KeyboardInterrupt):
        return 0
    except ModuleNotFoundError as e:
        raise extras.missing("ota board", "boards", [str(e.name)]) from None
    except (FirmwareUnavailable, OSError, ImportError) as e:
        raise OutsideError(e) from None
    if supervisor.problem:
        raise OutsideError(supervisor.problem)
    return code


def _where(supervisor: "Supervisor", options: "BoardOptions", as_json: bool) -> str:
    """What the user has to know, as text or as one line of JSON."""
    flash = options.flash
    if as_json:
        paths = {"log": flash + ".log", "events": flash + ".ctl", "pid": os.getpid()}
        return json.dumps({"kind": options.kind, "port": supervisor.line.link, "flash": flash, **paths})
    return "\n".join(
        (
            "%s board, flash image %s" % (options.kind, flash),
            "  mpremote connect %s" % supervisor.line.link,
            "It runs until Ctrl-C. What it says is also in the file %s.log," % flash,
            "its resets and power cuts in %s.ctl." % flash,
        )
    )
