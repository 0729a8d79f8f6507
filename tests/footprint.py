"""What the library takes on a board, in each of its three forms: bytes on flash, and the smallest heap.

    python tests/footprint.py

Real MicroPython, littlefs on a flash image, an update over HTTP from 127.0.0.1 that is signed with
RS256 (3072 bits). The board's own device code, about 2 KB, is part of every heap.
"""

import functools
import http.server
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import core_tree  # noqa: E402
from support import MICROPYTHON, ROOT  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from ota_host import library  # noqa: E402
from ota_host.cli import app  # noqa: E402

USE = ["HttpTransport", "SignatureVerifier:RS256"]
WORKLOADS = {
    "20 files of 10 KB": {"lib/file%02d.bin" % i: 10240 for i in range(20)},
    "one file of 1 MB": {"big.bin": 1 << 20},
}
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
flash = Flash(os.getenv("FLASH"))
if os.getenv("KEYS"):
    vfs.VfsLfs2.mkfs(flash)
vfs.mount(vfs.VfsLfs2(flash), "/flash")
os.chdir("/flash")
if os.getenv("KEYS"):
    with open("keys", "w") as f:
        f.write(os.getenv("KEYS"))
"""
UPDATE = """
import device, os
from ota import Updater, HttpTransport, SignatureVerifier
u = Updater(HttpTransport(os.getenv("URL")), verifier=SignatureVerifier("keys"))
print(u.run(reset=False))
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # a board that ran out of RAM


class Bench:
    """Signed releases on a web server, and a board to update; `with Bench(folder) as bench`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        draw = random.Random(1)
        for i, files in enumerate(WORKLOADS.values()):
            source = self.folder / str(i) / "src"
            for path, size in files.items():
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                (source / path).write_bytes(draw.randbytes(size))
            (source / "boot.py").write_text("import ota\nota.boot()\n")
            (self.folder / str(i) / "ota.toml").write_text('project = "p"\nkey = ["../key"]\n')
        self._ota("keygen", self.folder / "key", "--no-password")
        for i in range(len(WORKLOADS)):
            self._ota("publish", "--version", "v1.0.0", "--config", self.folder / str(i) / "ota.toml")

    def _ota(self, *words):
        done = CliRunner().invoke(app, [str(w) for w in words])
        assert not done.exit_code, done.output + repr(done.exception)

    def __enter__(self):
        handler = functools.partial(_Quiet, directory=str(self.folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *why):
        self._server.shutdown()
        self._server.server_close()

    def tree(self, form):
        """A form of the library, with the programs of this bench."""
        tree = core_tree.write(self.folder / form, files=library.files(library.Form(form), USE))
        for name, text in (("device", DEVICE), ("update", UPDATE)):
            source = tree / f"{name}.py"
            source.write_text(text)
            subprocess.run([MICROPYTHON.parent / "mpy-cross", "-o", tree / f"{name}.mpy", source], check=True)
            source.unlink()
        return tree

    def completes(self, tree, workload, kb):
        """Whether an update ends well in a heap of `kb` KB."""
        return self.update(tree, workload, kb) == "True\n"

    def update(self, tree, workload, kb):
        """What an update in a heap of `kb` KB prints."""
        flash = self.folder / "flash.img"
        flash.write_bytes(b"\xff" * (640 * 4096))
        url = f"http://127.0.0.1:{self._server.server_port}/{list(WORKLOADS).index(workload)}/public/p"
        env = {"MICROPYPATH": f"{tree}:.frozen", "FLASH": str(flash), "URL": url}
        keys = (self.folder / "key.pub").read_text().strip()
        self._run("import device", "1M", dict(env, KEYS=keys))
        return self._run("import update", f"{kb}k", env)

    def _run(self, code, heap, env):
        command = [str(MICROPYTHON), "-X", f"heapsize={heap}", "-c", code]
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True).stdout

    def smallest(self, tree, workload):
        """The smallest heap in which it does, in KB."""
        low, high = 16, 160
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.completes(tree, workload, middle) else (middle, high)
        return high


def on_flash(tree):
    """Files, bytes, and KB of littlefs blocks of 4 KB that a form takes."""
    sizes = [p.stat().st_size for p in (tree / "ota").rglob("*") if p.is_file()]
    return len(sizes), sum(sizes), sum(-(-size // 4096) * 4 for size in sizes)


def main():
    with tempfile.TemporaryDirectory() as folder, Bench(folder) as bench:
        for form in library.Form:
            tree = bench.tree(form.value)
            row = dict(zip(("files", "bytes", "flash_kb"), on_flash(tree), strict=True), form=form.value)
            row.update({name: bench.smallest(tree, name) for name in WORKLOADS})
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
