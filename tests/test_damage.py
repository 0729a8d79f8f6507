"""What is damaged or full on the flash: the live release runs on, and `ota.status()` says what it is."""

import json

import pytest
from support import ROOT, release, told_by

OLD = {"boot.py": b"boot 1", "lib/a.py": b"a 1 " * 3000, "main.py": b"main 1 " * 900}
NEW = {"boot.py": b"boot 2", "lib/a.py": b"a 2 " * 3000, "lib/b.py": b"b" * 9000, "main.py": b"main 2 " * 900}


@pytest.fixture
def servers(tmp_path):
    release(tmp_path / "one", OLD, seq=1)
    release(tmp_path / "two", NEW, version="v2.0.0", seq=2)
    return tmp_path / "one", tmp_path / "two"


BEGIN = """
from world import *
flash = power_up()
install(ARGS[0])
def damage(path):
    data = bytearray(ramflash.read(path))
    data[len(data) // 2] ^= 1
    ramflash.write(path, data)
"""
END = """
boot()
seen = status()
files = ramflash.tree()
later = updater(ARGS[1]).run(reset=False)
boot(2)
confirm()
tell(seen=seen, live=files["main.py"][:6], later=status(), clean=sorted(ramflash.tree()))
"""


@pytest.mark.parametrize(
    "what, script, problem",
    [
        ("state", "damage('.ota/state')", ".ota/state is damaged"),
        ("live manifest", "from ota.bootguard import load\ndamage('.ota/' + load()['live'])", "the live manifest is damaged"),
        ("staged file", "updater(ARGS[1]).run(reset=False)\ndamage('lib/b.py.ota-new')", "seq 2 not installed: staged lib/b.py is damaged"),
        ("lost staged file", "updater(ARGS[1]).run(reset=False)\nos.remove('main.py.ota-new')", "seq 2 not installed: staged main.py is damaged"),
    ],
    ids=["state", "live manifest", "staged file", "lost staged file"],
)
def test_the_live_release_runs_on_and_the_status_says_what_is_damaged(servers, what, script, problem):
    """The next update succeeds all the same, and the floor has not sunk."""
    facts = told_by(BEGIN + script + END, *servers, heap="8M")
    assert facts["seen"]["problem"] == problem
    assert facts["live"] == "main 1" and facts["seen"]["floor"] == 1
    assert facts["later"]["version"] == "v2.0.0" and facts["later"]["floor"] == 2
    assert facts["clean"] == sorted(NEW)


@pytest.mark.parametrize("number", [1, 2])
def test_a_state_of_a_format_before_is_read(servers, number):
    """Its trial goes on where it was, and the next record is of the present format."""
    script = """
from world import *
power_up()
ramflash.write(".ota/state", open(ARGS[0], "rb").read())
boot()
from ota.bootguard import load
tell(state=load("/flash"), text=ramflash.read(".ota/state"))
"""
    facts = told_by(script, ROOT / f"tests/fixtures/state-{number}.json", heap="8M")
    assert facts["state"]["phase"] == "trial" and facts["state"]["boots"] == 2 and facts["state"]["fails"] == 0
    assert json.loads(facts["text"])[:3] == ["trial", 3, 8]


def test_a_record_with_any_bit_turned_or_any_end_lost_is_not_believed(servers):
    """As a torn write on FAT may leave it; the record before, where there is one, is taken instead."""
    script = """
from world import *
from ota.bootguard import load
power_up()
install(ARGS[0])
good = ramflash.read(".ota/state")
ramflash.write(".ota/state.new", good)
believed = []
def read():
    state = load("/flash")
    state.pop("second", 0)  # whether there are two
    return state
def look(what, data):
    ramflash.write(".ota/state", data)
    alone = read() if os.remove(".ota/state.new") is None else 0
    ramflash.write(".ota/state.new", good)
    if alone != told and ("damaged" not in alone or alone["floor"] != 1) or read() != told:
        believed.append(what)  # other than what was written
    del ramflash._files[:]  # all are closed
told = read()
for i in range(len(good)):
    if i:  # an empty one is none
        look(["cut", i], good[:i])
    for bit in range(8):
        data = bytearray(good)
        data[i] ^= 1 << bit
        look(["bit", i, bit], bytes(data))
tell(believed=believed, size=len(good))
"""
    facts = told_by(script, servers[0], heap="8M")
    assert facts["believed"] == [] and facts["size"] < 128


def test_a_board_without_a_state_whose_power_fails_in_its_first_update_gets_it_all_the_same(servers):
    """At any of its operations; one of them leaves the first record empty."""
    script = """
from world import *
flash = power_up(files={"main.py": b"by hand"})
clean = bytes(flash.image)
updater(ARGS[0]).run(reset=False)
ops = flash.ops
lost = []
for cut in range(ops):
    ramflash.umount(flash)
    flash = ramflash.Flash(image=bytearray(clean))
    ramflash.mount(flash)
    flash.cut_at = flash.ops + cut
    try:
        updater(ARGS[0]).run(reset=False)
    except Exception:
        pass
    left = flash.image
    ramflash.umount(flash)
    flash = ramflash.Flash(image=left)
    ramflash.mount(flash)
    if not updater(ARGS[0]).run(reset=False):
        lost.append(cut)
tell(lost=lost, ops=ops)
"""
    facts = told_by(script, servers[0], heap="8M")
    assert facts["lost"] == [] and facts["ops"] > 10


def test_a_record_left_over_by_the_version_before_counts_and_goes_with_the_next(servers):
    """It wrote `state.new` and renamed it; a cut between the two left both."""
    script = """
from world import *
from ota.bootguard import load, save
power_up()
install(ARGS[0])
state = load("/flash")
ramflash.write(".ota/state.new", ramflash.read(".ota/state"))
ramflash.write(".ota/state", open(ARGS[1], "rb").read())
taken = load("/flash")
save("/flash", taken)
tell(was=state, taken=taken, then=load("/flash"), files=sorted(os.listdir(".ota")))
"""
    facts = told_by(script, servers[0], ROOT / "tests/fixtures/state-1.json", heap="8M")
    was, taken, then = facts["was"], facts["taken"], facts["then"]
    assert taken["phase"] == was["phase"] == "idle" and taken == then
    assert taken["n"] == was["n"] + 1 and "state.new" not in facts["files"]


@pytest.mark.parametrize("prog", [32, 256])
def test_a_release_that_fills_the_flash_to_its_last_byte_is_undone_all_the_same(servers, prog):
    """Its trial boots are counted, and the revert needs no room; with a short and with a long ETag."""
    script = """
from world import *
from ota.bootguard import load, save
told = []
for etag in ("", "x" * 120):
    flash = ramflash.Flash()
    ramflash.mount(flash, "lfs2", True, int(ARGS[2]))
    install(ARGS[0])
    updater(ARGS[1]).run(reset=False)
    boot()
    state = load("/flash")
    state["etag"] = etag
    save("/flash", state)
    hogs = 0
    for size in (4000, 1500, 600, 200, 30, 1):
        try:
            while True:
                hogs += 1
                ramflash.write("hog%d" % hogs, bytes(size))
        except OSError:
            pass
    seen = []
    for _ in range(4):
        boot()
        seen.append((load("/flash")["phase"], load("/flash")["boots"]))
    told.append((seen, status()["version"], ramflash.read("main.py")[:6]))
    ramflash.umount(flash)
tell(told=told)
"""
    facts = told_by(script, *servers, prog, heap="8M")
    seen = [["trial", 1], ["trial", 2], ["trial", 3], ["idle", 3]]
    assert facts["told"] == [[seen, "v1.0.0", "main 1"]] * 2


def test_a_flash_that_is_full_at_any_write_keeps_a_whole_release(servers):
    """From no free block to enough: an error that says so, or the update; with room it succeeds later."""
    script = """
from world import *
from ota.errors import OtaError
found = []
for free in range(24):
    flash = power_up()
    install(ARGS[0])
    hogs = 0
    while os.statvfs(".")[3] > free:
        try:
            ramflash.write("hog%d" % hogs, bytes(4096))
        except OSError:
            pass
        hogs += 1
        if hogs > 70:
            break
    try:
        said = str(updater(ARGS[1]).run(reset=False))
    except OtaError as e:
        said = type(e).__name__
    boot(2)
    files = {p: d for p, d in ramflash.tree().items() if not p.startswith("hog") and ".ota-" not in p}
    for name in os.listdir():
        if name.startswith("hog"):
            os.remove(name)
    if status()["phase"] != "trial":
        updater(ARGS[1]).run(reset=False)
        boot(2)
    confirm()
    found.append((said, sorted((p, d[:6]) for p, d in files.items()), sorted(ramflash.tree()), status()["version"]))
    ramflash.umount(flash)
tell(found=found)
"""
    found = told_by(script, *servers, heap="8M")["found"]
    whole = [sorted([p, d[:6].decode()] for p, d in files.items()) for files in (OLD, NEW)]
    for free, (said, files, later, version) in enumerate(found):
        assert files in whole, (free, said, files)
        assert later == sorted(NEW) and version == "v2.0.0", (free, said)
    assert found[0][0] == "NoSpaceError" and found[-1][0] == "True"
