"""What a second run does before the reset, what `ota.boot()` answers, and which storage is picked."""

import pytest
from support import release, run_mp, told_by

V1 = {"boot.py": b"boot 1", "main.py": b"main 1"}
V2 = {"boot.py": b"boot 2", "main.py": b"main 2"}


@pytest.fixture
def servers(tmp_path):
    for seq, files in enumerate((V1, V2), 1):
        release(tmp_path / str(seq), files, seq=seq, version=f"v{seq}")
    return tmp_path / "1", tmp_path / "2"


@pytest.mark.parametrize("trial_boots", [0, 3])
@pytest.mark.parametrize("again", ["the same updater", "another one"])
def test_a_second_run_without_a_reset_moves_no_live_file_and_says_that_a_release_waits(servers, trial_boots, again):
    facts = told_by(
        f"""
from world import *
flash = power_up()
install(ARGS[0])
u = updater(ARGS[1], trial_boots={trial_boots})
told = [u.run(reset=False)]
before, ops = ramflash.tree(), flash.ops
u = u if {again.startswith("the")} else updater(ARGS[1], trial_boots={trial_boots})
told.append(u.run(reset=False))
tell(told=told + [u.ready], same=ramflash.tree() == before, ops=flash.ops - ops, live=ramflash.read("main.py"), events=EVENTS)
boot(2)
tell(booted=ramflash.read("main.py"), phase=status()["phase"])
""",
        *servers,
    )
    assert facts["told"] == [True, True, True]
    assert facts["same"] is True and facts["ops"] == 0 and facts["live"] == "main 1"
    assert facts["booted"] == "main 2" and facts["phase"] == ("idle" if trial_boots == 0 else "trial")


def test_without_a_trial_a_board_that_never_calls_boot_is_reset_into_the_release(servers):
    """The run after the reset installs it, and one more reset is due."""
    facts = told_by(
        """
from world import *
import sys
power_up()
install(ARGS[0])
told = [updater(ARGS[1], trial_boots=0).run(reset=False)]
for _ in range(2):
    del sys.modules["ota.updater"]  # as a reset does
    told.append(updater(ARGS[1], trial_boots=0).run(reset=False))
tell(told=told, main=ramflash.read("main.py"))
""",
        *servers,
    )
    assert facts == {"told": [True, True, False], "main": "main 2"}


def test_a_release_that_waits_is_not_staged_over(servers):
    """The error says what comes first, and what waits is installed."""
    facts = told_by(
        """
from world import *
power_up()
install(ARGS[0])
u = updater(ARGS[1])
r = u.check()
u.stage(r)
said = error(u.stage, r)
boot()
tell(said=said, main=ramflash.read("main.py"))
""",
        *servers,
    )
    assert facts == {"said": "OtaError: phase is ready: reset the board first", "main": "main 2"}


def test_boot_answers_what_it_could_not_do_and_none_when_all_is_well(servers):
    facts = told_by(
        """
from world import *
import ota
power_up()
install(ARGS[0])
idle = ota.boot("/flash")
updater(ARGS[1]).run(reset=False)
with open("main.py.ota-new", "wb") as f:
    f.write(b"damaged")
tell(idle=idle, problem=ota.boot("/flash"))
tell(status=status()["problem"])
""",
        *servers,
    )
    assert facts["idle"] is None
    assert facts["problem"] == facts["status"] and "main.py is damaged" in facts["problem"]


def test_boot_never_raises_not_even_when_the_guard_cannot_be_loaded(tmp_path):
    """An error in boot.py would keep main.py from running."""
    (tmp_path / "ota").mkdir()
    import shutil

    from support import ROOT

    shutil.copy(ROOT / "ota/__init__.py", tmp_path / "ota")
    (tmp_path / ".ota").mkdir()
    (tmp_path / ".ota/state").write_text('["ready"')
    assert "bootguard" in run_mp("import ota\nprint(ota.boot())", cwd=tmp_path, path=[""]).stdout


# A board whose file system is at `/`, with another one mounted in it.
MOUNTED = """
import os, sys, vfs
import ramflash
import ota.storage.flash, ota.storage.littlefs  # while the file system of the PC is there
from ota.storage import suitable
def made(kind, names):
    flash = ramflash.Flash()
    cls, kw = ramflash.driver(kind)
    cls.mkfs(flash, **kw)
    it = cls(flash, **kw)
    return it
root, card, names = ARGS
vfs.umount("/")
here = made(root, names)
vfs.mount(here, "/")
os.chdir("/")
for name in names:
    with open("/" + name, "w") as f:
        f.write("x")
for at in ("/sd", "/Card", "/SD2"):
    vfs.mount(made(card, []), at)
print(type(suitable("/")).__name__)
"""


@pytest.mark.parametrize("card", ["lfs2", "fat"])
@pytest.mark.parametrize("root", ["lfs2", "fat"])
@pytest.mark.parametrize("names", [["main.py"], ["README", "readme"], ["main.py", "Sd"], ["BOOT.PY"], []], ids=str)
def test_the_storage_is_that_of_the_root_whatever_is_mounted_in_it(root, card, names):
    """Also where two names differ in case only, which says nothing of the file system."""
    if root == "fat" and names == ["README", "readme"]:
        names = ["README"]
    script = "ARGS = %r\n" % ((root, card, names),) + MOUNTED
    got = run_mp(script).stdout.strip()
    told = root == "fat" and any(name != name.upper() for name in names)
    assert got == ("FlashStorage" if told else "LittlefsStorage")
