"""The same proof for two releases that somebody has published, and for a Storage plug-in of theirs."""

import json
import os
import tempfile
from pathlib import Path

from ..errors import HostError
from ..tree import Tree
from . import Scenario, prove

UPDATE = ("stage", "boot", "boot", "confirm")
REVERT = ("stage", "boot", "boot", "boot", "boot")


def prove_release(tree, old, new, *, storage="", path=(), second=False, prog=256):
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
    tree = Tree(Path(tree))
    with tempfile.TemporaryDirectory() as folder:
        first, was, size = _serve(tree, old, Path(folder) / "one", 1)
        then, becomes, more = _serve(tree, new, Path(folder) / "two", 2)
        blocks = 64 + 3 * (size + more) // 4096
        storages = {"storage": storage, "path": tuple(map(str, path)), "prog": prog, "blocks": blocks}
        jobs = (("update", UPDATE, "new"), ("revert", REVERT, "old"))
        scenarios = [Scenario(name, was, becomes, first, then, steps, ends, **storages) for name, steps, ends in jobs]
        return [prove(one, depth=2 if second else 1) for one in scenarios]


def _serve(tree, version, folder, seq):
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
    return str(folder), {e["p"]: e["h"] for e in manifest.entries}, head["size"]
