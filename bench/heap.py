"""The smallest heap in which the real MicroPython completes an update, and what the code costs.

    python bench/heap.py            (or `make bench-heap`)

littlefs on a flash image, releases over HTTP from 127.0.0.1; the board's own device code,
about 2 KB, is part of every figure. All figures are of the 64-bit unix port.
"""

import functools
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from support import MICROPYTHON, release  # noqa: E402

DEVICE = """
import os, vfs
class Flash:
    def __init__(self, path):
        self.f = open(path, "r+b")
    def readblocks(self, n, buf, off=0):
        self.f.seek(n * 4096 + off)
        self.f.readinto(buf)
    def writeblocks(self, n, buf, off=0):
        self.f.seek(n * 4096 + off)
        self.f.write(buf)
    def ioctl(self, op, arg):
        if op == 4:
            return 640
        if op == 5:
            return 4096
        return 0
fs = vfs.VfsLfs2
flash = Flash(os.getenv("FLASH"))
if os.getenv("FORM"):
    fs.mkfs(flash)
vfs.mount(fs(flash), "/flash")
os.chdir("/flash")
"""
UPDATE = """
from ota import Updater, HttpTransport
print(Updater(HttpTransport(os.getenv("URL"))).run(reset=False))
"""
RETAINED = """
import gc
gc.collect()
before = gc.mem_alloc()
%s
gc.collect()
print(gc.mem_alloc() - before)
"""
WORKLOADS = {
    "20 files, 200 KB": {"lib/file%02d.py" % i: os.urandom(10240) for i in range(20)},
    "one file, 1 MB": {"big.bin": os.urandom(1 << 20)},
}


def run(script, path, heap, **env):
    command = [str(MICROPYTHON), "-X", f"heapsize={heap}", "-c", script]
    env = dict(os.environ, MICROPYPATH=f"{path}:.frozen", **env)
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True)


def compiled(folder):
    """The library as .mpy below `folder`; gives the sum of their bytes."""
    total = 0
    for source in (ROOT / "ota").rglob("*.py"):
        target = folder / source.relative_to(ROOT).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([str(MICROPYTHON.parent / "mpy-cross"), "-o", target, source], check=True)
        total += target.stat().st_size
    return total


def smallest(path, url, flash):
    """Bisect the heap, in KB."""

    def works(kb):
        flash.write_bytes(b"\xff" * (640 * 4096))
        run(DEVICE, path, "1M", FLASH=str(flash), FORM="1")
        done = run(DEVICE + UPDATE, path, f"{kb}k", FLASH=str(flash), URL=url)
        return done.stdout == "True\n"

    low, high = 8, 256
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


def main():
    with tempfile.TemporaryDirectory() as temp:
        temp = pathlib.Path(temp)
        for i, files in enumerate(WORKLOADS.values()):
            release(temp / "www" / str(i), files)

        class Quiet(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

        handler = functools.partial(Quiet, directory=str(temp / "www"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        figures = {"mpy_bytes": compiled(temp / "mpy")}
        for kind, path in (("source", ROOT), ("mpy", temp / "mpy")):
            for name, code in (
                ("import ota", "import ota"),
                ("Updater, HttpTransport", "from ota import Updater, HttpTransport"),
            ):
                told = run(RETAINED % code, path, "1M").stdout
                figures[f"{kind}: retained after {name}, bytes"] = int(told)
            for i, name in enumerate(WORKLOADS):
                figures[f"{kind}: smallest heap, {name}, KB"] = smallest(path, url + str(i), temp / "flash")
        server.shutdown()
    print(json.dumps(figures, indent=1))


main()
