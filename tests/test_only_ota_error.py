"""Nothing but an OtaError leaves the library, whatever is on the flash, and the next good release installs."""

import json

import pytest
from support import FULL, release, run_mp, told_by

V1 = {"boot.py": b"boot 1", "lib/a.py": b"a 1" * 100, "main.py": b"main 1"}
V2 = {"boot.py": b"boot 2", "lib/a.py": b"a 2" * 100, "main.py": b"main 2", "new.py": b"new"}
V3 = {**V2, "main.py": b"main 3"}

DAMAGED = """
from world import *
import asyncio, gc, sys
import ota.bootguard as guard
import ota.updater
import ota.watch
from ota.errors import OtaError
from ota.updater import Updater
ota.watch.getrandbits = lambda n: 0

def clear(path):
    guard._erase(path)
def put(path, data):
    clear(path)
    ramflash.write(path, data)
def folder(path):
    clear(path)
    ramflash.write(path + "/x", b"x")
def raw(path):
    try:
        return ramflash.read(path)
    except OSError:
        return b""
def record(**wrong):
    # A state whose CRC is right, and which no version of the library writes.
    state, moves = guard.load("/flash"), guard.MOVES
    state.update(wrong)
    guard.MOVES = {phase: tuple(moves) for phase in moves}
    guard.save("/flash", state)
    guard.MOVES = moves
def live():
    return ".ota/" + (guard.load("/flash")["live"] or "a")
def next_one():
    return ".ota/" + (guard.load("/flash")["next"] or "b")
def lines_of(path, change):
    # Each line of a manifest as `change` gives it.
    found = raw(path).split(b"\\n")[:-1]
    put(path, b"".join([change(json.loads(line)) + b"\\n" for line in found]))
def dumped(entry, **more):
    entry.update(more)
    return json.dumps(entry).encode()

DAMAGES = {
    "none": lambda: None,
    ".ota is a file": lambda: put(".ota", b"x"),
    ".ota is gone": lambda: clear(".ota"),
    "state is a folder": lambda: folder(".ota/state"),
    "state is empty": lambda: put(".ota/state", b""),
    "state is no JSON": lambda: put(".ota/state", b"\\xff\\xfe{" * 20),
    "state is cut": lambda: put(".ota/state", raw(".ota/state")[:40]),
    "state is zeros": lambda: put(".ota/state", bytes(128)),
    "state is deep": lambda: put(".ota/state", b"[" * 900),
    "state is long": lambda: put(".ota/state", b"9" * 5000),
    "state.new is a folder": lambda: folder(".ota/state.new"),
    "state.new is no JSON": lambda: put(".ota/state.new", b"[[["),
    "live is a number": lambda: record(live=5),
    "live is no slot": lambda: record(live="../boot.py"),
    "next is a list": lambda: record(next=[1]),
    "etag is a number": lambda: record(etag=7),
    "sums is a list": lambda: record(sums=[]),
    "no sums": lambda: record(sums={}),
    "numbers are text": lambda: record(seq="x", floor="y", boots="z", time="t"),
    "refused is a dict": lambda: record(refused={}),
    "tries is a number": lambda: record(tries=3),
    "the live manifest is gone": lambda: clear(live()),
    "the live manifest is empty": lambda: put(live(), b""),
    "the live manifest is zeros": lambda: put(live(), bytes(len(raw(live())))),
    "the live manifest is cut": lambda: put(live(), raw(live())[:200]),
    "the live manifest is a folder": lambda: folder(live()),
    "the live manifest is UTF-16": lambda: put(live(), b"\\xff\\xfe" + bytes([0, 65]) * 99),
    "the live manifest is one long line": lambda: put(live(), b"[" + b"1," * 3000),
    "the live manifest is a list": lambda: lines_of(live(), lambda entry: json.dumps([1]).encode()),
    "the live manifest has no paths": lambda: lines_of(live(), lambda entry: b'{"x": 1}'),
    "the live manifest has numbers for paths": lambda: lines_of(live(), lambda entry: dumped(entry, p=5)),
    "the live manifest has text for sizes": lambda: lines_of(live(), lambda entry: dumped(entry, s="x", h=1)),
    "a header of wrong types": lambda: lines_of(live(), lambda e: dumped(e, project=1, seq="x", expires=[], crc=2)),
    "the next manifest is cut": lambda: put(next_one(), raw(next_one())[:150]),
    "the next manifest is a folder": lambda: folder(next_one()),
    "no sums, and the live manifest is cut": lambda: (record(sums={}), put(live(), raw(live())[:200])),
    "no sums, and the live manifest is zeros": lambda: (record(sums={}), put(live(), bytes(300))),
}

def to_the_end(steps, most=60):
    for _ in steps:
        most -= 1
        if not most:
            break
    steps.close()

CALLS = {
    "check": lambda u: u.check(),
    "stage": lambda u: u.stage(OFFER),
    "install": lambda u: u.install(),
    "run": lambda u: u.run(reset=False),
    "steps": lambda u: to_the_end(u.steps()),
    "run_async": lambda u: asyncio.run(u.run_async(reset=False)),
    "watch": lambda u: to_the_end(ota.watch.Watch(u, 0).steps()),
    "status": lambda u: status(),
    "checked": lambda u: ota.trial.status("/flash", True),
    "confirm": lambda u: confirm(),
    "rollback": lambda u: rollback(),
}

def up(image):
    ramflash.mount(ramflash.Flash(image=bytearray(image)))
    del ota.updater._waiting[:], guard.problems[:]

def down(flash=None):
    del ramflash._files[:]
    os.chdir("/")
    ramflash.vfs.umount("/flash")

def came(call, *args):
    try:
        call(*args)
        return ""
    except OtaError as e:
        return ""
    except Exception as e:
        return repr(e)

# The next line of a program is the phase that the board is in.
import ota.trial
flash = power_up()
install(ARGS[0])
if ARGS[3] == "staging":
    steps = updater(ARGS[1]).steps()
    while status()["phase"] != "staging":
        next(steps)
    steps.close()
elif ARGS[3] != "idle":
    updater(ARGS[1]).run(reset=False)
    if ARGS[3] == "trial":
        boot()
assert status()["phase"] == ARGS[3], status()
OFFER = updater(ARGS[1])
image = bytes(flash.image)
ramflash.umount(flash)
up(image)
phase, OFFER = status()["phase"], OFFER._source and ota.updater.Release()
OFFER.take({"version": "v2", "seq": 2}, "")
down()
bad, stuck, tried = [], [], 0
for name in DAMAGES:
    for call in CALLS:
        up(image)
        DAMAGES[name]()
        tried += 1
        got = came(CALLS[call], updater(ARGS[1]))
        if got:
            bad.append((name, call, got))
        for _ in range(3):
            boot()
            came(confirm)
            boot()
            came(updater(ARGS[2]).run, False)
        boot()
        came(confirm)
        boot()
        try:
            said = status()
            there = {path: (path in os.listdir() or "/" in path) and raw(path) for path in json.loads(ARGS[4])}
            if said["phase"] != "idle" or said["seq"] != 3 or there != {p: t.encode() for p, t in json.loads(ARGS[4]).items()}:
                stuck.append((name, call, said))
        except Exception as e:
            stuck.append((name, call, repr(e)))
        down()
tell(bad=bad, stuck=stuck, tried=tried)
"""


@pytest.mark.parametrize("phase", ["idle", "staging", "ready", "trial"])
def test_whatever_is_on_the_flash_only_an_ota_error_comes_out_and_the_next_release_installs(tmp_path, phase):
    """Every damage before every call, on littlefs; then a newer release is offered."""
    for seq, files in enumerate((V1, V2, V3), 1):
        release(tmp_path / str(seq), files, seq=seq, version=f"v{seq}")
    want = json.dumps({path: data.decode() for path, data in V3.items()})
    facts = told_by(DAMAGED, *(tmp_path / n for n in "123"), phase, want, heap="16M", timeout=500)
    assert facts["bad"] == []
    assert facts["stuck"] == []
    assert facts["tried"] > 300
