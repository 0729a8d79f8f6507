"""`make demo`: a board without hardware is deployed, updates itself over HTTP, and is read from outside."""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from rich.console import Console

from . import boards, config, deploy, library, release, show
from .errors import HostError
from .server import listen, serve
from .shared_types import Request
from .tree import Manifest, Tree

SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "sample"
console = Console(highlight=False, soft_wrap=True)


def publish(project: Path, version: str) -> tuple[Tree, Manifest]:
    """Publish the folder `project` as `version`; gives the tree and the release."""
    settings = config.read(project / config.NAME)
    tree = Tree(settings.tree)
    release.publish(release.build(settings), tree, version)
    return tree, cast(Manifest, tree.release(version))


def change(project: Path) -> None:
    """Make v1.0.1 of the sample: a file changes, one comes, one goes."""
    main = project / "main.py"
    main.write_text(main.read_text().replace("v1.0.0", "v1.0.1"))
    (project / "lib/units.py").unlink()
    (project / "lib/scale.py").write_text('def celsius(value):\n    return "%d degrees" % value\n')
    sensor = project / "lib/thermometer.py"
    sensor.write_text(sensor.read_text().replace("from units", "from scale"))


def start_server(root: Path, requests: list[Request]) -> int:
    """Serve `root` on a free port of 127.0.0.1; requests are appended to the list `requests`."""

    def tell(entry: Request) -> None:
        requests.append(entry)
        console.print(f"   server: {entry['method']} {entry['path']} {entry['status']} {entry['bytes']} B", markup=False)

    sock = listen("127.0.0.1", 0)
    threading.Thread(target=serve, args=(root, sock, tell), daemon=True).start()
    port: int = sock.getsockname()[1]
    return port


def compare(files: Mapping[str, bytes], want: Mapping[str, bytes]) -> list[str]:
    """What differs between a board's files and a release, leaving out the library and the state."""
    ours = {p: d for p, d in files.items() if not p.startswith((".ota/", "lib/ota/", "lib/micropython_ota."))}
    return sorted(p for p in {*ours, *want} if ours.get(p) != want.get(p))


def run(kind: str, folder: Path, source: bool = False) -> tuple[int, int]:
    """Run the demo in `folder` (Path); gives (files, bytes over the wire).

    Raises:
        RuntimeError: the flash does not hold exactly the new release.
    """
    project = folder / "sample"
    shutil.copytree(SAMPLE, project)
    (folder / "www").mkdir()
    settings = project / config.NAME
    settings.write_text(settings.read_text().replace('"public"', f'"{folder / "www"}"'))
    requests: list[Request] = []
    port = start_server(folder / "www", requests)
    values = project / "settings.py"
    values.write_text(values.read_text().replace("192.168.2.100:8000", f"192.168.2.100:{port}"))
    if kind == "unix":  # its sockets are the PC's; the Pico W's network leads to 127.0.0.1 by itself
        values.write_text(values.read_text().replace("192.168.2.100", "127.0.0.1"))
    tree, first = publish(project, "v1.0.0")
    console.print(f"1. published sample v1.0.0: {len(first.entries)} files")
    flash = folder / "flash.img"
    with boards.start(kind, flash) as board:
        console.print(f"2. a {kind} board runs at {board.port}", markup=False)
        done = deploy.put_all(board.port, tree, first, form=library.Form.SOURCE if source else library.Form.MPY, reset=False)
        console.print(f"3. deployed over its serial port: {done.copied} files, {done.bytes} bytes")
        change(project)
        tree, second = publish(project, "v1.0.1")
        console.print("4. published sample v1.0.1; the board is reset, and finds it")
        board.power_cycle()
        board.wait_for("sample v1.0.0 21 C", 300)
        board.wait_for("sample v1.0.1 21 degrees", 300)
        board.wait_for("up to date", 300)
        console.print("5. the board runs v1.0.1 and has confirmed it")
    wrong = compare(boards.read_tree(flash, kind), deploy.contents(tree, second))
    if wrong:
        raise RuntimeError(f"the flash differs from sample v1.0.1 in {', '.join(wrong)}")
    return len(second.entries), sum(entry["bytes"] for entry in requests)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board", nargs="?", default="unix", choices=("unix", "pico-w"))
    kind = parser.parse_args(argv).board
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="ota-demo-") as folder:
            files, size = run(kind, Path(folder).resolve())
    except (HostError, boards.BoardError, boards.FirmwareUnavailable, OSError, ImportError, RuntimeError) as e:
        show.error(e)
        return getattr(e, "code", 3)
    console.print(f"   read from outside, the flash holds exactly v1.0.1, after {time.monotonic() - started:.0f} s")
    print(f"demo: sample v1.0.0 -> v1.0.1 on {kind}: {files} files, {size} bytes over the wire, ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
