"""The library on older MicroPythons, from 1.21 on: WebAssembly builds that npm has, run by node."""

import json
import shutil
import subprocess

import core_tree
import pytest
from missing import program
from support import ROOT, release

from ota_host import core, library

PACKAGE = "@micropython/micropython-webassembly-pyscript"
# The first is a build between 1.21 and 1.22.
VERSIONS = ["1.21.0-279", "1.23.0", "1.25.0"]

PROGRAM = """
import sys
sys.path.append("/src")
import builtins
import os as _os
def translated(real):
    # Emscripten has error numbers of its own.
    def call(*args):
        try:
            return real(*args)
        except OSError as e:
            raise OSError({44: 2, 20: 17}.get(e.errno, e.errno))
    return call
class Os:
    def __getattr__(self, name):
        if name[:2] == "__":  # as a built-in module, which has no file
            raise AttributeError(name)
        real = getattr(_os, name)
        return translated(real) if name in ("stat", "mkdir", "rmdir", "rename", "remove", "ilistdir") else real
sys.modules["os"] = Os()
builtins.open = translated(open)
_os.chdir("/board")
import ota
from ota import LittlefsStorage, SdTransport, Updater, boot, confirm, status
import json
class Storage(LittlefsStorage):
    def _free(self):
        return 1 << 30
told = []
for server, trial in (("/one", 3), ("/two", 3), ("/three", 1)):
    ready = Updater(SdTransport(server), storage=Storage("/board/"), trial_boots=trial).run(reset=False)
    boot()
    boot()
    if trial == 1:
        boot()
    told.append([ready, confirm(), status()["phase"], status()["version"], open("main.py").read()])
print(json.dumps(told))
"""


@pytest.fixture(params=VERSIONS)
def old(request):
    """The folder of one of the builds, fetched once."""
    program("npm"), program("node")
    folder = ROOT / ".cache" / f"micropython-{request.param}"
    if not (folder / "package" / "micropython.mjs").exists():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["npm", "pack", "--silent", f"{PACKAGE}@{request.param}"],
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"MicroPython {request.param} is missing: `npm pack {PACKAGE}` must work here: {done.stderr[-200:]}")
        shutil.unpack_archive(folder / done.stdout.strip().splitlines()[-1], folder)
    return folder / "package"


@pytest.mark.parametrize("form", ["source", "core"])
def test_an_update_a_confirm_and_a_revert_work_on_an_older_micropython(old, tmp_path, form):
    """Two releases are installed and confirmed, a third is undone."""
    made = library.files(library.Form.SOURCE)
    if form == "core":
        # Not compiled, since the oldest build reads no .mpy.
        made = core.sources(["LittlefsStorage", "SdTransport", "confirm", "status"])
    mounts = [f"{core_tree.write(tmp_path / 'library', files=made) / 'ota'}=/src/ota"]
    for seq, name in enumerate(("one", "two", "three"), 1):
        files = {"main.py": b"main %d" % seq, "lib/a.py": b"a" * 3000 * seq, f"only{seq}": b"x"}
        release(tmp_path / name, files, seq=seq, version=f"v{seq}")
        mounts.append(f"{tmp_path / name}=/{name}")
    (tmp_path / "board").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    mounts = [f"{tmp_path / 'src'}=/src", f"{tmp_path / 'board'}=/board", *mounts]
    script = ROOT / "tests" / "on_board" / "old_micropython.mjs"
    done = subprocess.run(
        ["node", script, old, tmp_path / "program.py", *mounts],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    told = done.stdout.strip().splitlines()
    assert told, done.stderr
    assert json.loads(told[-1]) == [
        [True, True, "idle", "v1", "main 1"],
        [True, True, "idle", "v2", "main 2"],
        [True, False, "idle", "v2", "main 2"],
    ]
