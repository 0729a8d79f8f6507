"""Whatever befalls the folder .ota and the other files of a board, only an OtaError comes out, and the next release installs."""

import asyncio

import littlefs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from littlefs_board import Board, boot, confirm, load, objects, rollback, status, updater
from strategies import damages

import ota.storage
import ota.updater
from ota.errors import OtaError

V1 = {"boot.py": b"boot 1", "lib/a.py": b"a 1" * 50, "main.py": b"main 1"}
V2 = {"boot.py": b"boot 2", "lib/a.py": b"a 2" * 50, "main.py": b"main 2", "new.py": b"new"}
V3 = {**V2, "main.py": b"main 3"}
CALLS = {
    "check": lambda up: up.check(),
    "run": lambda up: up.run(reset=False),
    "install": lambda up: up.install(),
    "steps": lambda up: list(up.steps()),
    "run_async": lambda up: asyncio.run(up.run_async(reset=False)),
    "status": lambda up: status(),
    "confirm": lambda up: confirm(),
    "rollback": lambda up: rollback(),
    "boot": lambda up: boot(),
}


def reset():
    """What a reset takes out of RAM."""
    ota.storage._running.clear()
    ota.updater._waiting.clear()


def image_in(phase):
    """A board (bytes) with V1, or V2, in a phase."""
    board = Board()
    with board:
        for files, end in ((V1, "idle"), (V2, phase)):
            seq = 1 + (files is V2)
            if end == "idle" and files is V2:
                break
            reset()
            up = updater(objects(seq, files))
            if end == "staging":
                steps = up.steps()
                while load()["phase"] != "staging":
                    next(steps)
                steps.close()
                break
            up.run(reset=False)
            if end == "ready":
                break
            boot()
            if end == "idle":
                confirm()
        assert load()["phase"] == phase
    return bytes(board.flash.buffer)


IMAGES = {phase: image_in(phase) for phase in ("idle", "staging", "ready", "trial")}


def befall(board, path, fate):
    what, *shares = fate
    try:
        data = board.fs.open(path, "rb").read()
    except (OSError, littlefs.LittleFSError):
        data = b""
    if what in ("remove", "folder", "file"):
        remove(board.fs, path)
    if what == "folder":
        board.fs.makedirs(path, exist_ok=True)
        board.write(path + "/x", b"x")
        return
    data = {
        "cut": lambda: data[: len(data) * shares[0] // 256],
        "zero": lambda: zeroed(data, *sorted(len(data) * s // 256 for s in shares)),
        "fill": lambda: shares[0],
        "remove": lambda: None,
        "file": lambda: b"x",
    }[what]()
    if data is not None:
        try:
            board.fs.makedirs(path.rpartition("/")[0] or "/", exist_ok=True)
            board.write(path, data)
        except (OSError, littlefs.LittleFSError):
            pass  # a folder is there by now


def zeroed(data, start, end):
    return data[:start] + bytes(end - start) + data[end:]


def remove(fs, path):
    try:
        fs.remove(path, recursive=True)
    except (OSError, littlefs.LittleFSError):
        pass  # there is none


def ours_alone(call, *args):
    try:
        call(*args)
    except OtaError:
        pass


@pytest.mark.parametrize("phase", IMAGES)
@settings(max_examples=60, deadline=None)
@given(fates=damages, calls=st.lists(st.sampled_from(sorted(CALLS)), min_size=1, max_size=3))
def test_whatever_befalls_a_board_only_an_ota_error_comes_out_and_the_next_release_installs(phase, fates, calls):
    board = Board(IMAGES[phase])
    for path, fate in fates:
        befall(board, path, fate)
    reset()
    with board:
        for name in calls:
            ours_alone(CALLS[name], updater(objects(2, V2)))
        for _ in range(4):
            reset()
            boot()
            ours_alone(confirm)
            ours_alone(updater(objects(3, V3)).run, False)
        reset()
        boot()
        ours_alone(confirm)
        boot()
        told = status()
    there = board.tree()
    assert {path: there.get(path) for path in V3} == V3, told
    assert (told["phase"], told["seq"], told["floor"]) == ("idle", 3, 3)
