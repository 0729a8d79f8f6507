"""What several test modules share: the real MicroPython, and releases to feed it."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ON_BOARD = (ROOT / "tests" / "on_board", ROOT / "ota_host" / "proof")
MICROPYTHON = pathlib.Path(sys.executable).parent / "micropython"


def run_mp(script, *args, cwd=None, heap="1M", path=(), timeout=120, check=True):
    """Run `script` (source text) on the real MicroPython.

    `ota` and the modules of tests/on_board and of ota_host/proof can be imported; `path` comes before them.

    Returns:
        subprocess.CompletedProcess: its output as text.
    """
    where = [*map(str, path), str(ROOT), *map(str, ON_BOARD), ".frozen"]
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


def release(root, files, /, *, project="sample", version="v1.0.0", seq=1, channel="stable", **header):
    """Write a release of `files` ({path: bytes}) below `root` as a server holds it.

    Written here by hand, from the format's description, so that the tests of the board
    do not stand on the publisher. `header` adds keys to the manifest's first line.
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
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (root / f"{channel}.manifest").write_text(text)
    return text.encode()
