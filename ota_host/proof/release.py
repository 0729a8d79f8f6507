"""The same proof for two releases that somebody has published, and for a Storage plug-in of theirs."""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import HostError
from ..tree import Tree
from . import Proof, Scenario, prove

UPDATE = ("stage", "boot", "boot", "confirm")
REVERT = ("stage", "boot", "boot", "boot", "boot")


def prove_release(
    tree: str | Path,
    old: str,
    new: str,
    *,
    storage: str = "",
    path: Iterable[str | Path] = (),
    second: bool = False,
    prog: int = 256,
) -> list[Proof]:
    """Cut the power at every flash operation of an update from `old` to `new`, and of its revert.

    Args:
        tree (str or Path): the folder of the project as `ota publish` writes it.
        old, new (str): two versions of it.
        storage (str): `module:Class` of a Storage plug-in; default: littlefs.
        path: folders in which that module is.
        second (bool): cut at every operation of each recovery as well.
        prog (int): bytes that the flash programs at a time, 256 for a Pico, 32 to try more places.
    Returns:
        list of Proof: of the update and of the revert.
    Raises:
        HostError: there is no such release. OutsideError: MicroPython is not there, or stopped.
    """
    served = Tree(Path(tree))
    with tempfile.TemporaryDirectory() as folder:
        first, was, size = _serve(served, old, Path(folder) / "one", 1)
        then, becomes, more = _serve(served, new, Path(folder) / "two", 2)
        blocks = 64 + 3 * (size + more) // 4096
        storages: dict[str, Any] = {"storage": storage, "path": tuple(map(str, path)), "prog": prog, "blocks": blocks}
        jobs = (("update", UPDATE, "new"), ("revert", REVERT, "old"))
        scenarios = [Scenario(name, was, becomes, first, then, steps, ends, **storages) for name, steps, ends in jobs]
        return [prove(one, depth=2 if second else 1) for one in scenarios]


def _serve(tree: Tree, version: str, folder: Path, seq: int) -> tuple[str, dict[str, str], int]:
    # The release as a board may always install it: the proof is of the flash, not of the policy.
    manifest = tree.release(version)
    if manifest is None:
        raise HostError(f"{tree.folder}: no release {version}")
    folder.mkdir()
    for name in ("blobs", "deltas"):
        os.symlink((tree.folder / name).absolute(), folder / name)
    head = {key: manifest.header[key] for key in ("ota", "project", "version", "files", "size")}
    text = json.dumps({**head, "seq": seq}).encode() + b"\n" + manifest.lines()
    (folder / "stable.manifest").write_bytes(text)
    return str(folder), {e["p"]: e["h"] for e in manifest.entries}, manifest.header["size"]
