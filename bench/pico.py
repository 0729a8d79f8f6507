"""Workloads a and b on the unmodified Pico W firmware in the emulator: `python bench --pico`, a quarter of an hour.

The seconds are the cycles of the emulated chip's processor at 125 MHz, without its waits for the flash.
The network answers at once. What a chip's flash takes to erase and to program is not in them, since the emulator does
both at once; these operations are counted instead, and told at what they take after common data sheets.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import littlefs

from ota import bootguard
from ota_host import library, server
from ota_host.boards import WIFI_BOOT, BoardError, images, start
from ota_host.mpy import compile_all

from . import fetch
from .boards import BLOCK, ERASE_MS, PAGE_MS, Failed
from .subjects import NEW, OLD

# Programs are files on the board: the emulated serial port may lose a part of one of over a hundred bytes.
TIMED = """
import time
def run(name):
    print("BEGUN", name)
    began = time.ticks_ms()
    __import__(name)
    print("TOOK", time.ticks_diff(time.ticks_ms(), began))
"""
TRIES = 4  # of the serial port
TOOLS = {"lib/bench_timed.py": TIMED.encode(), "lib/bench_wifi.py": WIFI_BOOT.encode()}
STAGE = """
from ota import HttpTransport, Updater
from ota.verifiers.signature import SignatureVerifier
Updater(HttpTransport({url!r}), verifier=SignatureVerifier([{key!r}])).run(reset=False)
"""
# The reset after an install would end the program that takes the time.
BOOT = """
import ota, ota.bootguard
ota.bootguard.reset = lambda: None
ota.boot()
"""
# Its old name is gone from this firmware; the one call is that of its documentation, without the reset at its end.
PEER = """
import sys, requests
sys.modules["urequests"] = requests
from micropython_ota import ota_update
ota_update({host!r}, "sample", {names!r}, hard_reset_device=False)
"""


def _write(flash, files):
    # Straight into the image: over the emulated serial port it would take minutes.
    image = bytearray(flash.read_bytes())
    size = images.PICO_W_BLOCKS * BLOCK
    part = slice(images.PICO_W_START, images.PICO_W_START + size)
    context = littlefs.UserContext(size)
    context.buffer[:] = image[part]
    fs = littlefs.LittleFS(context, block_size=BLOCK, block_count=images.PICO_W_BLOCKS, mount=True)
    for path, data in files.items():
        if "/" in path:
            fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        with fs.open(path, "wb") as f:
            f.write(data)
    fs.unmount()
    image[part] = context.buffer
    flash.write_bytes(image)


@dataclass
class Took:
    """What programs took: ms of the chip's time, erased blocks and programmed pages of its flash."""

    ms: int = 0
    erased: int = 0
    programmed: int = 0

    def __add__(self, other):
        return Took(self.ms + other.ms, self.erased + other.erased, self.programmed + other.programmed)

    @property
    def flash_ms(self):
        return self.erased * ERASE_MS + self.programmed * PAGE_MS


def _say(board, program, wifi):
    # What the board said while it ran `program`. A serial port that fails before that is no failure of the program.
    first = "import bench_wifi\n" if wifi else ""
    for left in range(TRIES - 1, -1, -1):
        try:
            return board.exec(f"{first}import bench_timed\nbench_timed.run('{program}')", timeout=3600).strip().splitlines()
        except BoardError as e:
            if f"BEGUN {program}" in board.output():
                raise Failed(str(e).strip().splitlines()[-1]) from None
            if not left:
                raise
            print(f"    {program}: once more, since the serial port failed: {str(e).strip().splitlines()[-1]}", flush=True)


def _took(board, program, wifi=False):
    ledger = Path(f"{board.flash}.ops")
    done = board.ops()
    said = _say(board, program, wifi)
    board.said = [line for line in said if not line.startswith(("BEGUN", "TOOK"))][-1:]
    ms = [int(line.split()[1]) for line in said if line.startswith("TOOK")][0]
    operations = ledger.read_bytes()[done:]
    print(f"    {program}: {ms} ms, {len(operations)} flash operations", flush=True)
    return Took(ms, operations.count(b"e"), operations.count(b"p"))


def _app(board):
    tree = board.tree()
    return {p: d for p, d in tree.items() if not p.startswith((".ota/", "lib/", "tmp")) and p not in ("boot.py", "version")}


def _check(board, load):
    found = _app(board)
    wrong = [p for p in sorted(found.keys() | load.new.keys()) if found.get(p) != load.new.get(p)]
    if wrong:
        said = "".join(board.said)
        raise Failed(f"{len(wrong)} of {len(load.new)} files are not of the new release; {said}")


def _serve(layout, place):
    # The chip's seconds are minutes here: a server must not take its slowness for silence.
    server.KEEP_ALIVE = 3600
    sock = server.listen("127.0.0.1", 0)
    threading.Thread(target=server.serve, args=(layout.www, sock, lambda entry: None), daemon=True).start()
    return f"http://updates.example:{sock.getsockname()[1]}/{place}"


def _formatted(flash):
    with start("pico-w", flash) as board:
        board.wait_for(">>> ", timeout=60)
    return flash


def _record(folder, release):
    # What `ota deploy` leaves on a board that has the files of `release` (Manifest).
    (folder / ".ota").mkdir(parents=True)
    (folder / ".ota/a").write_bytes(release.raw)
    state = bootguard.load(str(folder))
    state.update({"live": "a", "seq": release.seq, "floor": release.seq})
    bootguard.save(str(folder), state)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / ".ota").iterdir()}


def ours(temp, load, layout):
    """What an update with this library took (Took): stage, install, confirm."""
    place = f"pico/{load.name}"
    files = _record(temp / f"{load.name}-record", layout.ours(place, load.old, OLD))
    layout.ours(place, load.new, NEW)
    flash = _formatted(temp / f"{load.name}-ours")
    files.update({"lib/" + path: data for path, data in library.files(library.Form.MPY).items()})
    stage = STAGE.format(url=_serve(layout, place) + "/sample", key=layout.signer.board_key)
    # Here the boots are programs, to be timed.
    for name, text in (("stage", stage), ("install", BOOT), ("settle", BOOT + "ota.confirm()\n")):
        files[f"lib/bench_{name}.py"] = text.encode()
    _write(flash, {**load.old, **TOOLS, **files})
    with start("pico-w", flash) as board:
        board.wait_for(">>> ", timeout=60)
        took = [_took(board, "bench_stage", wifi=True), _took(board, "bench_install"), _took(board, "bench_settle")]
        _check(board, load)
    return sum(took, Took())


def micropython_ota(temp, load, layout):
    """What `ota_update` took (Took); None when there is no `micropython_ota`."""
    peer = [path for _, path in fetch.peers() if path.name == "micropython_ota.py"]
    if not peer:
        return None
    place = f"pico-peer/{load.name}"
    layout.micropython_ota(place, load.new, NEW)
    flash = _formatted(temp / f"{load.name}-peer")
    code = compile_all({"peer": peer[0].read_bytes()})["peer"]  # as ours
    files = {"version": OLD.encode(), "lib/micropython_ota.mpy": code}
    files["lib/bench_peer.py"] = PEER.format(host=_serve(layout, place), names=list(load.new)).encode()
    _write(flash, {**load.old, **TOOLS, **files})
    with start("pico-w", flash) as board:
        board.wait_for(">>> ", timeout=60)
        took = _took(board, "bench_peer", wifi=True)
        _check(board, load)
    return took


UPDATERS = {"ours": ours, "micropython_ota": micropython_ota}


def run(rows, loads, temp, layout):
    """Make each update once, in place of what `rows` has of it; a step (workload, subject) an update.

    A run that is stopped has lost the one at which it was.
    """
    for load in loads:
        for subject, measure in UPDATERS.items():
            began = time.monotonic()
            try:
                took, why = measure(temp, load, layout), None
            except Failed as e:
                took, why = None, str(e)
            if took is None and why is None:
                continue
            known = [r for r in rows if not r.get("emulated") or (r["workload"], r["subject"]) != (load.name, subject)]
            rows[:] = known
            more = {"emulated": True, "real_s": round(time.monotonic() - began)}
            if why is None:
                rows.add(load.name, subject, "emulated_time", round(took.ms / 1000, 2), "s", **more)
                rows.add(load.name, subject, "emulated_flash_time", round(took.flash_ms / 1000, 2), "s", **more)
            else:
                rows.add(load.name, subject, "fails", f"on the emulated Pico W: {why}", "", **more)
            yield load.name, subject
