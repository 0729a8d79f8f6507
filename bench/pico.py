"""Workloads a and b on the unmodified Pico W firmware in the emulator, in the emulated chip's own seconds.

What a chip's flash takes to erase and to program is not in them, since the emulator does both at once.
"""

import threading

import littlefs

from ota_host import deploy, library, server
from ota_host.boards import WIFI_BOOT, BoardError, images, start
from ota_host.tree import Tree

from . import fetch
from .boards import BLOCK, Failed
from .subjects import NEW, OLD

# Programs are files on the board: the emulated serial port may lose a part of a long one.
TIMED = """
import time
_t = time.ticks_ms()
import %s
print("TOOK", time.ticks_diff(time.ticks_ms(), _t))
"""
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


def _took(board, program, before=""):
    said = board.exec(before + TIMED % program, timeout=1800)
    lines = said.strip().splitlines()
    board.said = [line for line in lines if not line.startswith("TOOK")][-1:]
    return [int(line.split()[1]) for line in lines if line.startswith("TOOK")][0]


def _app(board):
    tree = board.tree()
    return {p: d for p, d in tree.items() if not p.startswith((".ota/", "lib/", "tmp")) and p not in ("boot.py", "version")}


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


def ours(temp, load, layout):
    """Emulated ms of an update with this library: stage, install, confirm."""
    place = f"pico/{load.name}"
    layout.ours(place, load.old, OLD)
    tree = Tree(layout.www / place / "sample")
    flash = _formatted(temp / f"{load.name}-ours")
    files = {"lib/" + path: data for path, data in library.files(library.Form.MPY).items()}
    stage = STAGE.format(url=_serve(layout, place) + "/sample", key=layout.signer.board_key)
    for name, text in (("stage", stage), ("install", BOOT), ("settle", BOOT + "ota.confirm()\n")):
        files[f"lib/bench_{name}.py"] = text.encode()
    _write(flash, {**load.old, **files})
    with start("pico-w", flash) as board:
        deploy.put_all(board.port, tree, tree.release(OLD), reset=False)
        board.exec("import os; os.remove('boot.py')")  # here the boots are programs, to be timed
        layout.ours(place, load.new, NEW)
        took = [_took(board, "bench_stage", WIFI_BOOT), _took(board, "bench_install"), _took(board, "bench_settle")]
        if _app(board) != load.new:
            raise Failed(f"the emulated board does not hold the new release {board.said}")
    return sum(took)


def micropython_ota(temp, load, layout):
    """Emulated ms of `ota_update`; None when there is none."""
    peer = [path for _, path in fetch.peers() if path.name == "micropython_ota.py"]
    if not peer:
        return None
    place = f"pico-peer/{load.name}"
    layout.micropython_ota(place, load.new, NEW)
    flash = _formatted(temp / f"{load.name}-peer")
    files = {"version": OLD.encode(), "lib/micropython_ota.py": peer[0].read_bytes()}
    files["lib/bench_peer.py"] = PEER.format(host=_serve(layout, place), names=list(load.new)).encode()
    _write(flash, {**load.old, **files})
    with start("pico-w", flash) as board:
        took = _took(board, "bench_peer", WIFI_BOOT)
        if _app(board) != load.new:
            raise Failed(f"the emulated board does not hold the new release {board.said}")
    return took


def run(rows, loads, temp, layout):
    """Both updaters, one after the other."""
    for load in loads:
        for subject, measure in (("ours", ours), ("micropython_ota", micropython_ota)):
            try:
                took = measure(temp, load, layout)
            except (Failed, BoardError) as e:
                rows.add(load.name, subject, "fails", str(e), "", emulated=True)
                continue
            if took is not None:
                rows.add(load.name, subject, "pico_w", took, "ms", emulated=True)


