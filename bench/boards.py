"""Boards of the benchmark: real MicroPython with littlefs on an image, in a heap of any size."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support import MICROPYTHON, ROOT

from ota_host.boards import read_tree

BLOCK = 4096
ON_BOARD = ROOT / "bench" / "on_board"
BIG = "64M"
ERASE_MS, PAGE_MS, READ_BYTES_MS = 45, 0.5, 10_000  # a block; a page of 256 B; 10 MB/s


class Failed(Exception):
    """A board did not come to the end of its program; the text is the last line of what it said."""


@dataclass
class Cost:
    """What lives of a board cost: microseconds, bytes of the flash, the most bytes of the heap in use."""

    us: int = 0
    read: int = 0
    programmed: int = 0
    erased: int = 0
    peak: int = 0

    def __add__(self, other):
        sums = (getattr(self, n) + getattr(other, n) for n in ("us", "read", "programmed", "erased"))
        return Cost(*sums, max(self.peak, other.peak))

    @property
    def flash_ms(self):
        """The time that a NOR chip of a board takes for it, after common data sheets."""
        return self.erased / BLOCK * ERASE_MS + self.programmed / 256 * PAGE_MS + self.read / READ_BYTES_MS


def compile_to(folder, *sources):
    """Cross-compile Python files, {name in `folder`: source}, or folders of them; gives {name: bytes}."""
    sizes = {}
    for base, source in sources:
        paths = sorted(source.rglob("*.py")) if source.is_dir() else [source]
        for path in paths:
            target = (folder / base / path.relative_to(source if source.is_dir() else path.parent)).with_suffix(".mpy")
            target.parent.mkdir(parents=True, exist_ok=True)
            # The name inside is that on the board: sizes do not depend on where the repository is.
            argv = [MICROPYTHON.parent / "mpy-cross", "-s", target.name, "-o", target, path]
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.returncode:
                raise Failed(f"{path}: {done.stderr.strip().splitlines()[-1]}")
            sizes[target.relative_to(folder).as_posix()] = target.stat().st_size
    return sizes


def compile_all(folder, *more):
    """The library and the programs of the boards as .mpy in `folder`."""
    ours = [("ota", ROOT / "ota"), ("", ON_BOARD), ("", ROOT / "ota_host/proof/ramflash.py")]
    return compile_to(folder, *ours, *more)


def told(script, path, heap=BIG, timeout=900, **env):
    """One life of a board; gives the lines that it said.

    Args:
        script (str): what it runs. path (Path): the folder of compiled modules.
        heap (str): `64M`, `40k`. env: see on_board/board.py.
    Raises:
        Failed: it did not come to the end.
    """
    env = dict(os.environ, MICROPYPATH=f"{path}:.frozen", **{k: str(v) for k, v in env.items() if v})
    argv = [str(MICROPYTHON), "-X", f"heapsize={heap}", "-c", script]
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=timeout)
    lines = (done.stdout + done.stderr).strip().splitlines() or ["it said nothing"]
    if done.returncode or not any(line.startswith("FACTS") for line in lines):
        raise Failed(lines[-1])
    return lines


def live(script, path, heap=BIG, **env):
    """One life of a board; gives its Cost. Arguments and errors are those of `told`."""
    lines = told(script, path, heap, **env)
    cost = Cost(*map(int, [line for line in lines if line.startswith("FACTS")][-1].split()[1:]))
    cost.said = [line for line in lines if not line.startswith("FACTS")]
    return cost


def blank(image, path, prog, blocks):
    """Make `image` (Path) a fresh littlefs."""
    image.write_bytes(b"\xff" * (blocks * BLOCK))
    script = "import os, bare; bare.power_up(os.getenv('IMAGE'), int(os.getenv('PROG')), True); print('FACTS')"
    live(script, path, IMAGE=image, PROG=prog)


def files(image):
    """What an application finds on the board: {path: bytes}."""
    tree = read_tree(image)
    return {p: d for p, d in tree.items() if not p.startswith((".ota/", "tmp/")) and p != "version"}


def copy(image, to):
    """A board like the one of `image`."""
    shutil.copyfile(image, to)
    return Path(to)


def smallest(works, low=4, high=2048):
    """The least number of KB for which `works` (of an int) holds; None when it does not for `high`."""
    if not works(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high
