"""Whatever is damaged on the flash, in whatever phase: only an OtaError comes out, and the next good release installs."""

import asyncio
import functools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from littlefs_board import Board, boot, confirm, cut, load, objects, rollback, status, updater
from strategies import CALLS, DAMAGES

from ota.bootguard import MOVES
from ota.errors import OtaError

ONE = {"boot.py": b"boot 1", "conf": b"a file", "gone.txt": b"gone", "lib/a.py": b"a 1 " * 300, "main.py": b"main 1"}
TWO = {"boot.py": b"boot 2", "conf/x.json": b"x", "lib/a.py": b"a 2 " * 310, "main.py": b"main 2", "new.txt": b"new"}
# Some of it is as in TWO: what was edited there to the same length is mended too.
NEXT = {**TWO, "conf/x.json": b"next", "main.py": b"main 3"}
OFFERS = {seq: objects(seq, files) for seq, files in ((1, ONE), (2, TWO), (3, NEXT))}


def _update(seq):
    updater(OFFERS[seq]).run(reset=False)


def _stop(chunks):
    steps = updater(OFFERS[2]).steps()
    for _ in zip(range(chunks), steps):
        pass
    steps.close()


def _in_the_middle(board, job, phase):
    # What is on the flash when the power fails half way through that phase.
    image, journal = board.run(job)
    found = []
    for number in range(len(journal)):
        torn = cut(image, journal, number, 0)
        board.power_on(torn)
        with board:
            if load()["phase"] == phase:
                found.append(bytes(torn))
    return found[len(found) // 2]


@functools.cache
def images():
    """{phase: the flash of a board in it}."""
    board = Board()
    for job in (functools.partial(_update, 1), boot, boot, confirm):
        board.run(job)
    found = {"idle": bytes(board.flash.buffer)}
    board.run(lambda: _stop(9))
    found["staging"] = bytes(board.flash.buffer)
    board.run(lambda: _update(2))
    found["ready"] = bytes(board.flash.buffer)
    found["committing"] = _in_the_middle(board, boot, "committing")
    board.power_on(found["ready"])
    board.run(boot)
    found["trial"] = bytes(board.flash.buffer)
    for _ in range(2):
        board.run(boot)
    found["reverting"] = _in_the_middle(board, boot, "reverting")
    board.power_on(found["trial"])
    found["cleaning"] = _in_the_middle(board, confirm, "cleaning")
    return found


def damage(board, where, how, place):
    """Damage one path of the board, but boot.py and the records of the state that are sound."""
    paths = sorted(p for p in board.every_path() if p != "boot.py")
    path = paths[int(where * len(paths))]
    data = board.content(path)
    if how in ("cut", "zeros", "noise", "byte", "other") and data is None:
        return  # a folder
    at = int(place * len(data)) if data else 0
    board.remove_all(path)
    if how == "cut":
        board.write(path, data[:at])
    elif how == "zeros":
        board.write(path, data[:at] + bytes(len(data) - at))
    elif how == "noise":
        board.write(path, data[:at] + random.Random(at).randbytes(len(data) - at))
    elif how == "byte":
        board.write(path, data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :] if data else b"")
    elif how == "other":  # such as another manifest; a record of the state would be a sound one
        board.write(path, b"" if path.startswith(".ota/state") else board.content(".ota/a") or b"")
    elif how in ("folder", "full folder"):
        board.fs.mkdir(path)
        if how == "full folder":
            board.write(path + "/inside", b"inside")
    elif how == "file":
        board.write(path, b"a file")


def call(board, name):
    """One call of the library: nothing but an OtaError may come out."""
    calls = {
        "boot": boot, "status": status, "confirm": confirm, "rollback": rollback,
        "check": lambda: updater(OFFERS[2]).check(),
        "stage": lambda: stage(updater(OFFERS[2])),
        "install": lambda: updater(OFFERS[2]).install(),
        "run": lambda: _update(2),
        "steps": lambda: _stop(7),
        "run_async": lambda: asyncio.run(updater(OFFERS[2]).run_async(reset=False)),
    }  # fmt: skip
    with board:
        try:
            calls[name]()
        except OtaError:
            pass


def stage(up):
    release = up.check()
    if release:
        up.stage(release)


def rest(board):
    """Boots, until nothing is on trial; what is in the way of the next release is taken away, as the error says."""
    for _ in range(8):
        call(board, "confirm")
        board.power_on(bytes(board.flash.buffer))
        call(board, "boot")
        with board:
            try:
                _update(3)
            except OtaError as e:
                told = status()
                named = [p for p in board.every_path() if p in str(e) or p in str(told["blocked"])]
                if "in the way" in str(e) or "in the way" in str(told["blocked"]):
                    board.remove_all(max(named, key=len))
            if status()["seq"] == 3 and status()["phase"] == "idle":
                return


@pytest.mark.parametrize("phase", MOVES)
def test_a_damaged_board_raises_only_ours_and_takes_the_next_good_release(phase):
    _live_on(phase, 10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("phase", MOVES)
def test_a_board_damaged_in_many_ways_raises_only_ours_and_takes_the_next_good_release(phase):
    _live_on(phase, 200)


def _live_on(phase, examples):
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(DAMAGES, CALLS)
    def live_on(damages, calls):
        board = Board(images()[phase])
        for where, how, place in damages:
            damage(board, where, how, place)
        for name in calls:
            call(board, name)
        rest(board)
        with board:
            told = status()
        tree = board.tree()
        assert told["seq"] == 3 and told["phase"] == "idle" and told["floor"] == 3, told
        assert {p: d for p, d in tree.items() if p in NEXT} == NEXT, told

    live_on()
