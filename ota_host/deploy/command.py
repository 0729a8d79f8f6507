"""The command `ota deploy`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .. import config, extras, rules, show
from ..errors import ConfigError, HostError, OutsideError
from ..library import As, Form, Use
from ..tree import Tree

if TYPE_CHECKING:
    from . import Deployed


def find_port() -> str:
    """The serial port of the only board that is plugged in.

    Raises:
        OutsideError: there is none, or more than one; the message lists them.
    """
    from serial.tools import list_ports

    # A port without a USB vendor is built into the PC.
    found = sorted((port for port in list_ports.comports() if port.vid is not None), key=lambda port: port.device)
    if len(found) == 1:
        return str(found[0].device)
    if not found:
        raise OutsideError("no board found: no USB serial port; plug one in, or name its port: ota deploy /dev/ttyACM0")
    listed = ", ".join(f"{port.device} ({port.description})" for port in found)
    raise OutsideError(f"{len(found)} boards found: {listed}; name one: ota deploy {found[0].device}")


def deploy(
    port: Annotated[
        str | None,
        typer.Argument(help="Serial port of the board, such as /dev/ttyACM0; default: that of the only board."),
    ] = None,
    version: Annotated[str | None, typer.Option(help="Published release; default: the channel's newest.")] = None,
    form: As = Form.MPY,
    use: Use = None,
    source: Annotated[bool, typer.Option("--source", help="The same as --as source.")] = False,
    library_only: Annotated[bool, typer.Option("--library-only", help="No release: the library and boot.py.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a boot.py that does not call ota.boot(), and remove what is in the way.")
    ] = False,
    reset: Annotated[bool, typer.Option(help="Reset the board afterwards.")] = True,
    config_file: Annotated[Path, typer.Option("--config", help="The project's settings.")] = Path(config.NAME),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Put the library, a published release and boot.py on a board, and remove what older releases left there."""
    extras.require("ota deploy", "deploy")
    from . import put_all

    form = Form.SOURCE if source else form
    if use and form != Form.CORE:
        raise ConfigError(f"--use goes with --as core, not with {form.value}")
    tree = release = None
    frozen = False
    if not library_only:
        settings = config.read(config_file)
        tree = Tree(settings.tree)
        frozen = settings.library == rules.FROZEN
        release = tree.release(version) if version else tree.channels().get(settings.channel)
        if release is None:
            raise HostError(f"{tree.folder}: {version or settings.channel} is not published; `ota publish` does it")
    port = port or find_port()
    with show.progress() as progress:
        more = {"frozen": frozen, "force": force, "reset": reset}
        done = put_all(port, tree, release, form=form, use=use or (), **more, progress=progress)
    if as_json:
        show.as_json(done.__dict__)
    else:
        show.out.print(Text(f"{port}: {_summary(done, frozen)}"))


def _summary(done: "Deployed", frozen: bool) -> str:
    what = f"{done.version}, library in the firmware" if frozen else f"{done.version} and the library ({done.library})"
    if not done.version:
        what = f"the library ({done.library})"
    removed = f", {done.removed} removed" if done.removed else ""
    return f"{what}: {done.copied} files copied, {done.same} already there{removed}"
