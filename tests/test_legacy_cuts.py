"""Power fails at every flash operation of `ota_update`, on a board with littlefs."""

import ast
import shutil
import subprocess
from dataclasses import dataclass

import pytest
from old_board import Site, original
from support import MICROPYTHON, ROOT

from ota_host.boards import start

NAMES = ("boot.py", "main.py", "part.py")
LOOK = '[open(p).readline().strip("# \\n") for p in ("boot.py", "main.py", "part.py", "version")]'


def release(version, first, url):
    """Three files that begin and end with their version; `first` is the first statement of boot.py."""
    body = {
        "boot.py": f"""{first}
print("saw", {LOOK})
import requests, sys
sys.modules["urequests"] = requests
from micropython_ota import ota_update
ota_update("{url}", "sample", {list(NAMES)!r})
""",
        "main.py": f'print("app", {LOOK})\n',
        "part.py": "x = 1\n",
    }
    padding = ("#" * 60 + "\n") * 12
    return {p: f"# {version}\n{text}{padding}# {version}\n".encode() for p, text in body.items()}


@dataclass
class Round:
    """What came of a power cut in one operation.

    `saw` are the versions of the files at the start of each boot, `apps` those that an application
    ran with, `torn` the files that are of neither release at the end.
    """

    saw: list
    apps: list
    torn: list


def cut_everywhere(tmp_path, library, first="pass"):
    """A Round for each flash operation of an update from v1 to v2, which the server offers once.

    Args:
        library: a folder with what goes on the board.
        first: the first statement of boot.py.
    """
    with Site() as site, start("unix", tmp_path / "flash.img") as board:
        old, new = (release(version, first, site.url) for version in ("v1", "v2"))
        for path, data in {**old, "version": b"v1"}.items():
            (library / path).write_bytes(data)
        site.publish("v1", old)
        done = board.mpremote("fs", "cp", "-r", f"{library}/.", ":")
        assert done.returncode == 0, done.stderr
        site.publish("v2", new)
        offers = [b"v2"]
        # Who has all the files finds nobody on the next boot, so that it has to do with what it has.
        site.answers["/sample/version"] = lambda: offers[-1]
        site.answers["/sample/v2_part.py"] = lambda: offers.append((404, b"")) or new["part.py"]
        rounds = []
        said = 0
        for _ in board.every_cut(until="app "):
            board.wait_for("\n")
            output = board.output()
            lines = output[said:].splitlines()
            said = len(output)
            saw, apps = ([ast.literal_eval(x[4:]) for x in lines if x.startswith(w)] for w in ("saw ", "app "))
            tree = board.tree()
            rounds.append(Round(saw, apps, [p for p in NAMES if tree.get(p) not in (old[p], new[p])]))
            offers[:] = [b"v2"]
        site.shutdown()
    return rounds


def mixed(looks):
    """Those of `looks` at the four files that are of more than one version."""
    return [look for look in looks if len(set(look)) > 1]


@pytest.fixture
def ours(tmp_path):
    """Our library as a board has it, compiled."""
    folder = tmp_path / "library"
    for source in [ROOT / "micropython_ota.py", *(ROOT / "ota").rglob("*.py")]:
        target = folder / source.relative_to(ROOT).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([MICROPYTHON.parent / "mpy-cross", "-o", target, source], check=True)
    return folder


def test_no_application_runs_in_a_mix(tmp_path, ours):
    """Without a line of `ota` in boot.py: at the latest `ota_update` ends the install, without the server."""
    rounds = cut_everywhere(tmp_path, ours)
    assert len(rounds) > 50
    for number, got in enumerate(rounds, 1):
        assert got.apps and not mixed(got.apps) and not got.torn, (number, got)
    assert {look[0] for got in rounds for look in got.apps} == {"v1", "v2"}


def test_with_the_line_in_boot_py_no_boot_goes_on_in_a_mix(tmp_path, ours):
    """`ota.boot()` ends the install before anything else runs."""
    rounds = cut_everywhere(tmp_path, ours, "import ota; ota.boot()")
    for number, got in enumerate(rounds, 1):
        assert got.apps and not mixed(got.saw + got.apps) and not got.torn, (number, got)
    assert {look[0] for got in rounds for look in got.apps} == {"v1", "v2"}


def test_the_original_lets_applications_run_in_a_mix(tmp_path):
    """So that the two tests above can fail."""
    library = tmp_path / "library"
    shutil.copytree(original("2.1.0"), library)
    rounds = cut_everywhere(tmp_path, library)
    assert sum(bool(mixed(got.apps) or got.torn) for got in rounds) > len(rounds) // 5
