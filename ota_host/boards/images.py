"""Look into the flash image of a board from outside, with the board on or off."""

import base64
import json
import os
import subprocess
import tempfile
from pathlib import Path

# Where the firmware of the Pico W keeps its littlefs: bytes from the start of the flash, blocks of 4096.
PICO_W_START, PICO_W_BLOCKS = 0x12C000, 212

# Runs in MicroPython: FAT is read by the code that wrote it, because no reader for CPython is both kept and complete.
_FAT_READER = """
import binascii, json, os, sys, vfs
image = open(sys.argv[1], "rb"); block = int(sys.argv[2])
class Device:
    def readblocks(self, n, buf): image.seek(n * block); image.readinto(buf)
    def writeblocks(self, n, buf): raise OSError(30)
    def ioctl(self, op, arg): return {4: image.seek(0, 2) // block, 5: block}.get(op, 0)
os.umount("/"); vfs.mount(Device(), "/", readonly=True)
def walk(folder):
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind & 0x4000:
            walk(path)
        else:
            with open(path, "rb") as f:
                print(json.dumps([path[1:], binascii.b2a_base64(f.read()).decode()]))
walk("")
"""


def read_tree(flash: str | Path, kind: str = "unix", *, fs: str = "lfs2", block: int = 4096) -> dict[str, bytes]:
    """The files of a board's flash image.

    Args:
        flash: path of the image.
        kind: "unix" or "pico-w".
        fs: "lfs2", "fat" or "sd" (unix only).
        block: bytes of a block (unix only).

    Returns:
        A dict from path, without a leading slash, to contents; {} when nothing was ever written.

    Raises:
        OSError: when there is no such image, or no such file system on it.
    """
    image = Path(flash).read_bytes()
    if kind == "pico-w":
        block = 4096
        image = image[PICO_W_START : PICO_W_START + PICO_W_BLOCKS * block]
    if image.count(0xFF) == len(image):
        return {}
    return _read_littlefs(image, block) if fs == "lfs2" else _read_fat(image, block)


def _read_littlefs(image: bytes, block: int) -> dict[str, bytes]:
    import littlefs  # heavy, and only for who looks

    context = littlefs.UserContext(len(image))
    context.buffer[:] = image
    fs = littlefs.LittleFS(context, block_size=block, block_count=len(image) // block, mount=False)
    tree = {}
    try:
        fs.mount()
        for folder, _, names in fs.walk("/"):
            for name in names:
                path = folder.rstrip("/") + "/" + name
                with fs.open(path, "rb") as f:
                    tree[path[1:]] = f.read()
    except littlefs.LittleFSError as e:
        raise OSError("no littlefs with blocks of %d bytes: %s" % (block, e)) from e
    return dict(sorted(tree.items()))


def _read_fat(image: bytes, block: int) -> dict[str, bytes]:
    from .unix import command

    with tempfile.TemporaryDirectory() as folder:
        copy, script = os.path.join(folder, "image"), os.path.join(folder, "reader.py")
        Path(copy).write_bytes(image)
        Path(script).write_text(_FAT_READER)
        argv = [*command(), "-X", "heapsize=64M", script, copy, str(block)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise OSError("no FAT file system with blocks of %d bytes: %s" % (block, done.stdout.strip().splitlines()[-1]))
    return dict(sorted((path, base64.b64decode(data)) for path, data in map(json.loads, done.stdout.splitlines())))
