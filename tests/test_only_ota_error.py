"""Nothing but an OtaError leaves the library, whatever is on the flash, and the next good release installs."""

import json

import pytest
from support import FULL, release, told_by

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

# Records that only a program with the CRC in it can write: what they do is bounded, not mended.
BEYOND = ("etag is a number", "numbers are text")

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
for n, name in enumerate(DAMAGES):
    for call in list(CALLS) if ARGS[3] == "idle" else list(CALLS)[n % 4 :: 4]:
        up(image)
        DAMAGES[name]()
        tried += 1
        got = came(CALLS[call], updater(ARGS[1]))
        if got:
            bad.append((name, call, got))
        if name in BEYOND:
            down()
            continue
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
    assert facts["tried"] > 90


# With `ROOM` bytes of heap left, which is not always enough to load what the call needs.
SHORT = """
import os, json, sys
sys.path[:0] = ["/"]
from world import *
import ota
from ota import OtaError, Updater
from ota.transports.sd import SdTransport
from ota.storage.littlefs import LittlefsStorage
import ota.watch
ota.watch.getrandbits = lambda n: 0
ROOM = int(ARGS[2])
power_up()
install(ARGS[0])
import ota.trial
if ARGS[3] in ("confirm", "rollback"):
    updater(ARGS[1]).run(reset=False)
    boot()
u = Updater(SdTransport(ARGS[1]), storage=LittlefsStorage("/flash/"))
r = u.check() if ARGS[3] in ("stage", "install") else None
if ARGS[3] == "install":
    u.stage(r)
for name in list(sys.modules):
    # As on a board that has not run an update yet.
    if name[:4] == "ota." and name not in ("ota.errors", "ota.updater", "ota.storage", "ota.storage.littlefs", "ota.bootguard", "ota.watch", "ota.trial", "ota.transports", "ota.transports.sd"):
        del sys.modules[name]
import asyncio
def watched(u):
    n = 0
    for _ in ota.watch.Watch(u, 0).steps():
        n += 1
        if n == 90:
            return
calls = {
    "run": lambda: u.run(reset=False),
    "steps": lambda: [0 for _ in u.steps()],
    "run_async": lambda: asyncio.run(u.run_async(reset=False)),
    "check": u.check,
    "stage": lambda: u.stage(r),
    "install": u.install,
    "watch": lambda: watched(u),
    "status": lambda: ota.trial.status("/flash", True),
    "confirm": lambda: ota.trial.confirm("/flash"),
    "rollback": lambda: ota.trial.rollback("/flash"),
}
call = calls[ARGS[3]]
""" + FULL + """
try:
    call()
    full = None
    print("FACTS", json.dumps({"came": "nothing"}))
except OtaError as e:
    full = None
    print("FACTS", json.dumps({"came": str(e)}))
except BaseException as e:
    full = None
    print("FACTS", json.dumps({"came": "not ours: " + repr(e)}))
"""


@pytest.mark.parametrize("call", "run steps run_async check stage install watch status confirm rollback".split())
def test_without_memory_the_error_is_ours_and_says_how_much_was_free(tmp_path, call):
    """From a heap in which the call itself has just room, which is before any line of ours (asyncio makes its task first), to one that is large enough."""
    for seq, files in enumerate((V1, V2), 1):
        release(tmp_path / str(seq), files, seq=seq, version=f"v{seq}")
    came = []
    for room in (1500, 4000, 9000, 18000, 40000, 250000):
        came.append(told_by(SHORT, tmp_path / "1", tmp_path / "2", room, call, heap="1M")["came"])
    assert not [text for text in came if text.startswith("not ours")], came
    assert came[-1] == "nothing"
    short = [text for text in came if "out of memory" in text]
    assert call == "watch" or short, came
    assert all(" of heap are free" in text or text.endswith("no heap is free") for text in short)


CALLBACK = """
from world import *
import asyncio
import ota.updater
import ota.watch
from ota.errors import HashError, OtaError, TransportError
from ota.transports import Transport
ota.watch.getrandbits = lambda n: 0
class Mine(BaseException):
    pass
class Broken:
    size = etag = None
    def readinto(self, buffer):
        raise OSError(104)
    def close(self):
        pass
class Shaky(SdTransport):
    # Breaks off once for each content.
    retries = 1
    backoff_ms = 0
    def __init__(self, folder):
        super().__init__(folder)
        self.seen = set()
    def _open(self, name, start=0, etag=None):
        if name[:6] == "blobs/" and name not in self.seen:
            self.seen.add(name)
            return Broken()
        return super()._open(name, start, etag)
at = [""]
raised = [None]
def told(event, detail):
    seen.add(event)
    if event == at[0]:
        raise raised[0]
seen, every = set(), set()
def made():
    return ota.updater.Updater(Shaky(ARGS[1]), storage=LittlefsStorage("/flash/"), on_event=told)
from ota.storage.littlefs import LittlefsStorage
def watched(u):
    steps = ota.watch.Watch(u, 0).steps()
    for _ in steps:
        if "error" in seen or u.ready:
            steps.close()
            return
flash = power_up()
install(ARGS[0])
image = bytes(flash.image)
ramflash.umount(flash)
calls = {
    "run": lambda u: u.run(reset=False),
    "steps": lambda u: [0 for _ in u.steps()],
    "run_async": lambda u: asyncio.run(u.run_async(reset=False)),
    "check": lambda u: u.check(),
    "watch": watched,
}
wrong = []
for event in ("found", "fetch", "retry", "fallback", "ready"):
    for e in (ValueError("x"), OSError(28), MemoryError("x"), ImportError("x"), HashError("x"), TransportError("x"), Mine("x"), KeyboardInterrupt(), SystemExit(3)):
        for name in calls:
            ramflash.mount(ramflash.Flash(image=bytearray(image)))
            del ota.updater._waiting[:]
            at[0], raised[0] = event, e
            every.update(seen)
            seen.clear()
            try:
                calls[name](made())
                came = None
            except BaseException as got:
                came = got
            here = name != "check" or event == "found"
            # For a watch an error of ours is one more that passes.
            here = here and not (name == "watch" and isinstance(e, OtaError))
            if (came is e) != here:
                wrong.append((event, repr(e), name, repr(came)))
            del ramflash._files[:]
            os.chdir("/")
            ramflash.vfs.umount("/flash")
tell(wrong=wrong, seen=sorted(every | seen))
"""


def test_what_a_callback_raises_comes_out_as_it_is(tmp_path):
    """At every event, also what the library would take for an error of its own."""
    release(tmp_path / "1", V1, seq=1, version="v1")
    release(tmp_path / "2", V2, seq=2, version="v2", before={})
    for path in (tmp_path / "2/blobs").rglob("*.z"):
        path.write_bytes(bytes(path.stat().st_size))
    facts = told_by(CALLBACK, tmp_path / "1", tmp_path / "2", heap="8M", timeout=300)
    assert facts["wrong"] == []
    assert {"found", "fetch", "retry", "fallback", "ready"} <= set(facts["seen"])
