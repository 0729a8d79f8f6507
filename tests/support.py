"""What several test modules share: the real MicroPython, and releases to feed it."""

import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
ON_BOARD = (ROOT / "tests" / "on_board", ROOT / "ota_host" / "proof")
# Another tree of the library to test, such as a core: see tests/core_tree.py.
LIBRARY = [p for p in [os.environ.get("MPOTA_LIBRARY")] if p]
MICROPYTHON = pathlib.Path(sys.executable).parent / "micropython"

# To stand in a board's script, with `ROOM` bytes kept free: what is left of the heap is taken.
FULL = """
import gc
room = bytearray(ROOM)
full = None  # a chain: a list would need one large piece to grow
try:
    while True:
        full = bytearray(200), full
except MemoryError:
    pass
del room
gc.collect()
"""


def run_mp(script, *args, cwd=None, heap="4M", path=(), timeout=120, check=True):
    """Run `script` (source text) on the real MicroPython.

    `ota` and the modules of tests/on_board and of ota_host/proof can be imported; `path` comes before them.

    Returns:
        subprocess.CompletedProcess: its output as text.
    """
    where = [*map(str, path), *LIBRARY, str(ROOT), *map(str, ON_BOARD), ".frozen"]
    # From standard input there is no script name, so the arguments come by a variable.
    command = [str(MICROPYTHON), "-X", "heapsize=" + heap, "-c", script]
    env = dict(os.environ, MICROPYPATH=":".join(where), ARGS=json.dumps([str(a) for a in args]))
    done = subprocess.run(
        # Not the repository's root: `ota` would be found by a relative path, lost at a chdir.
        command, cwd=cwd or ROOT / "tests", env=env, capture_output=True, text=True, timeout=timeout
    )
    if check and done.returncode:
        raise AssertionError(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def told_by(script, *args, **options):
    """Run `script` as `run_mp` does; gives all that it told (dict), one line of FACTS or several."""
    done = run_mp(script, *args, **options)
    lines = [line[6:] for line in done.stdout.splitlines() if line.startswith("FACTS ")]
    assert lines, done.stdout + done.stderr
    return {key: value for line in lines for key, value in json.loads(line).items()}


def packed(data):
    """A zlib stream with a window of 4 KB."""
    z = zlib.compressobj(9, zlib.DEFLATED, 12)
    return z.compress(data) + z.flush()


def delta(old, new):
    """A delta (bytes) as a server holds it, made by the library whose layout it has."""
    import detools

    out = io.BytesIO()
    detools.create_patch(io.BytesIO(old), io.BytesIO(new), out, compression="none", patch_type="sequential")
    return packed(out.getvalue())


def _smaller(root, old, data, digest):
    # What the manifest says of smaller forms; they are written, too.
    z = packed(data)
    (root / f"blobs/{digest[:2]}/{digest}.z").write_bytes(z)
    if old in (None, data):
        return {"z": len(z)}
    d = delta(old, data)
    base = hashlib.sha256(old).hexdigest()[:16]
    (root / "deltas").mkdir(exist_ok=True)
    (root / f"deltas/{base}-{digest[:16]}").write_bytes(d)
    return {"z": len(z), "d": {base: len(d)}}


def release(root, files, /, *, project="sample", version="v1.0.0", seq=1, channel="stable", before=None, moves=(), **header):
    """Write a release of `files` ({path: bytes}) below `root` as a server holds it.

    Written here by hand, from the format's description, so that the tests of the board
    do not stand on the publisher. `header` adds keys to the manifest's first line; with
    `before`, the files of an older release, smaller forms are offered; `moves` ({path: older path})
    are files that were moved.
    """
    root = pathlib.Path(root)
    lines = [
        {
            "ota": 1,
            "project": project,
            "version": version,
            "seq": seq,
            "files": len(files),
            "size": sum(map(len, files.values())),
            **header,
        }
    ]
    for path, data in sorted(files.items()):
        digest = hashlib.sha256(data).hexdigest()
        blob = root / "blobs" / digest[:2] / digest
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        lines.append({"p": path, "s": len(data), "h": digest})
        origin = dict(moves).get(path, path)
        if before is not None:
            lines[-1].update(_smaller(root, before.get(origin), data, digest))
        if origin != path:
            lines[-1]["m"] = origin
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (root / f"{channel}.manifest").write_text(text)
    return text.encode()
