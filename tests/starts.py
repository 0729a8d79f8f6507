"""Many boards are started cold and spoken to at once, while busy processes compete with them: `make starts`.

    python tests/starts.py [starts] [busy processes a core]

Each start is a new board, interrupted as soon as it has a port, as in `ota deploy` and the demo. Ends with a line of
JSON; the exit code is 1 when a start failed or needed a second try.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ota_host import boards  # noqa: E402
from ota_host.deploy import board as serial_board  # noqa: E402
from ota_host.errors import OutsideError  # noqa: E402


@contextlib.contextmanager
def busy(processes):
    """Keep so many processes busy."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def start(folder, number):
    """Start a board and ask it something; returns what failed (str), empty for nothing."""
    with boards.start("unix", folder / f"{number}.img", size_kib=256) as board:
        try:
            line = serial_board.Board(board.port)
            answer = line.ask("6 * 7")
            line.close()
            return "" if answer == 42 else f"answered {answer}"
        except OutsideError as e:
            return f"{e}: {board.log()}"


def main(starts=200, per_core=2):
    serial_board._TRIES = (30,)
    began = time.monotonic()
    failed = []
    with tempfile.TemporaryDirectory() as folder, busy(per_core * os.cpu_count()):
        for number in range(starts):
            why = start(Path(folder), number)
            if why:
                failed.append(why)
                print(f"start {number}: {why}", flush=True)
    facts = {"starts": starts, "busy": per_core * os.cpu_count(), "failed": len(failed), "s": round(time.monotonic() - began)}
    print(json.dumps(facts))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
