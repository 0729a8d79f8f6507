"""The command `ota prove`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from .. import config, extras
from . import Proof
from .release import prove_release


def prove(
    dest: Annotated[Path | None, typer.Argument(help="Folder of the project; default: that of ota.toml.")] = None,
    *,
    old: Annotated[str, typer.Option("--from", metavar="VERSION", help="The version that the board has.")],
    new: Annotated[str, typer.Option("--to", metavar="VERSION", help="The version that it gets.")],
    second: Annotated[
        bool, typer.Option("--second", help="Cut at every operation of each recovery, too; takes minutes.")
    ] = False,
    storage: Annotated[str, typer.Option(help="Storage plug-in, as module:Class.")] = "",
    path: Annotated[list[Path] | None, typer.Option(help="Folder that has the plug-in's module; may be repeated.")] = None,
    prog: Annotated[int, typer.Option(min=16, max=4096, help="Bytes that the flash programs at a time.")] = 256,
    config_file: Annotated[Path, typer.Option("--config", help="The project's settings.")] = Path(config.NAME),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Cut the power at every flash operation of an update, on real MicroPython; exit code 1 when a board is left broken."""
    extras.require("ota prove", "boards")
    folder = dest or config.read(config_file).tree
    proofs = prove_release(folder, old, new, storage=storage, path=[p.absolute() for p in path or ()], second=second, prog=prog)
    bad = sum(proof.bad_states for proof in proofs)
    if as_json:
        keys = ("name", "ops", "cuts", "second_cuts", "found", "bad")
        said = [{key: getattr(proof, key) for key in keys} for proof in proofs]
        sys.stdout.write(json.dumps({"ok": not bad, "proofs": said}) + "\n")
    else:
        for proof in proofs:
            _tell(proof)
    if bad:
        raise typer.Exit(1)


def _tell(proof: Proof) -> None:
    out = Console(soft_wrap=True, highlight=False)
    states = proof.cuts + proof.second_cuts
    verdict = f"{proof.found['old']} boot the old release, {proof.found['new']} the new one"
    out.print(
        Text(f"{proof.name}: {proof.ops} flash operations, {states} states after a cut: {verdict}, {proof.bad_states} neither")
    )
    for where, what in proof.bad:
        out.print(Text(f"  {_place(where)}: {what}"))


def _place(where: str | list[Any]) -> str:
    # "clean" when no power was cut; else the operations at which it was, each with how much of it happened.
    if where == "clean":
        return "without a cut it ends in"
    return f"cut at operation {where[0]}"
