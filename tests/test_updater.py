"""An update from the first request to the confirmed release, on the real MicroPython and littlefs."""


import pytest
from support import release, told_by

V1 = {
    "boot.py": b"boot 1",
    "main.py": b"main 1",
    "lib/a.py": b"a 1" * 900,
    "lib/old/gone.py": b"gone",
}
V2 = {
    "boot.py": b"boot 1",
    "main.py": b"main 2",
    "lib/a.py": b"a 2" * 1200,
    "lib/new/b.py": b"",
    "x.txt": b"x",
}
V3 = {**V2, "main.py": b"main 3"}


@pytest.fixture
def servers(tmp_path):
    """The roots of three servers: each has one release more to offer than the one before."""
    roots = []
    for seq, files in enumerate((V1, V2, V3), 1):
        roots.append(tmp_path / f"server{seq}")
        release(roots[-1], files, seq=seq, version=f"v1.0.{seq}")
    return roots


def board(script, *args, **options):
    """Run `script` on a board; gives what it told (dict)."""
    return told_by("from world import *\n" + script, *args, **options)


def on_board(files, **more):
    """`files` as `tell()` gives them."""
    return {path: data.decode() for path, data in {**files, **more}.items()}


@pytest.mark.parametrize("kind", ["lfs2", "fat"])
def test_an_update_ends_in_exactly_the_new_release(servers, kind):
    """Changed, added, removed and nested files come out right; what no manifest names stays."""
    facts = board(
        """
flash = power_up(ARGS[0], files={"mine.txt": b"mine"})
install(ARGS[1])
one = ramflash.tree()
u = updater(ARGS[2])
ready = u.run(reset=False)
tell(storage=type(u.storage).__name__)
before = status()
boot()
trial = status()
boot()
confirmed = confirm(), confirm()
tell(one=one, two=ramflash.tree(), ready=ready, before=before, trial=trial)
tell(confirmed=confirmed, after=status(), folders=sorted(os.listdir("lib")))
""",
        kind,
        *servers,
    )
    mine = {"mine.txt": b"mine"}
    assert facts["one"] == on_board(V1, **mine)
    assert facts["two"] == on_board(V2, **mine)
    assert facts["ready"] is True
    assert facts["storage"] == {"lfs2": "LittlefsStorage", "fat": "FlashStorage"}[kind]
    assert (facts["before"]["phase"], facts["before"]["version"]) == ("ready", "v1.0.1")
    assert (facts["trial"]["phase"], facts["trial"]["version"]) == ("trial", "v1.0.2")
    assert facts["confirmed"] == [True, False]
    assert (facts["after"]["phase"], facts["after"]["floor"]) == ("idle", 2)
    assert facts["folders"] == ["a.py", "new"], "the emptied folder is gone"


@pytest.mark.parametrize("kind", ["lfs2", "fat"])
def test_the_default_storage_is_the_one_for_the_file_system_even_on_a_fresh_board(kind):
    facts = board(
        """
from ota.storage import suitable
power_up(ARGS[0])
empty = type(suitable("/flash/")).__name__
ramflash.write("boot.py", b"")
tell(empty=empty, found=type(suitable("/flash/")).__name__)
""",
        kind,
    )
    assert facts["empty"] == "LittlefsStorage"
    assert facts["found"] == {"lfs2": "LittlefsStorage", "fat": "FlashStorage"}[kind]


def test_a_check_that_finds_nothing_new_writes_nothing(servers):
    """The second check of an unchanged channel costs no flash operation."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
first = updater(ARGS[0]).check()
ops = flash.ops
again = updater(ARGS[0]).run(reset=False)
tell(first=first, again=again, ops=flash.ops - ops, events=EVENTS)
""",
        servers[0],
    )
    assert facts == {"first": None, "again": False, "ops": 0, "events": [["current", None]]}


def test_a_release_that_is_never_confirmed_is_undone_and_not_offered_again(servers):
    """After its trial boots the old release is back, whole; only a newer one is taken."""
    facts = board(
        """
flash = power_up(files={"mine.txt": b"mine"})
install(ARGS[0])
updater(ARGS[1], trial_boots=2).run(reset=False)
boots = []
for _ in range(4):
    boot()
    boots.append([status()["phase"], status()["boots"]])
tell(boots=boots, tree=ramflash.tree(), status=status())
tell(again=updater(ARGS[1]).run(reset=False), events=EVENTS)
tell(newer=updater(ARGS[2]).run(reset=False))
""",
        *servers,
    )
    assert facts["boots"] == [["trial", 0], ["trial", 1], ["trial", 2], ["idle", 2]]
    assert facts["tree"] == on_board(V1, **{"mine.txt": b"mine"})
    assert (facts["status"]["refused"], facts["status"]["floor"]) == (2, 1)
    assert facts["again"] is False
    assert "found" not in [event for event, _ in facts["events"]]
    assert facts["newer"] is True


def test_rollback_by_hand_brings_the_old_release_back(servers):
    """`rollback()` works while a trial is on, and says False when none is."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
updater(ARGS[1]).run(reset=False)
boot(2)
tell(back=[rollback(), rollback()], tree=ramflash.tree(), status=status())
""",
        *servers,
    )
    assert facts["back"] == [True, False]
    assert facts["tree"] == on_board(V1)
    assert facts["status"]["refused"] == 2


def test_files_that_were_there_by_hand_come_back_with_a_revert(servers):
    """The first release of a board set up by hand replaces its files; the revert restores them."""
    facts = board(
        """
flash = power_up(files={"main.py": b"by hand", "lib/a.py": b"mine", "z.py": b"z"})
updater(ARGS[0], trial_boots=1).run(reset=False)
boot()
new = ramflash.read("main.py")
boot(2)
tell(new=new, tree=ramflash.tree())
""",
        servers[0],
    )
    assert facts["new"] == "main 1"
    assert facts["tree"] == {"main.py": "by hand", "lib/a.py": "mine", "z.py": "z"}


def test_a_file_that_went_missing_on_the_board_is_fetched_again(servers):
    """An unchanged file counts as unchanged only while it is there with its size."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
os.remove("boot.py")
ramflash.write("main.py", b"edited on the board")
install(ARGS[1])
tell(tree=ramflash.tree())
""",
        *servers,
    )
    assert facts["tree"] == on_board(V2)


def test_paths_in_keep_are_never_replaced_nor_removed_once_they_exist(servers):
    """A kept file comes with the first release only, and outlives one that drops it."""
    facts = board(
        """
flash = power_up(files={"x.txt": b"mine"})
keep = ("x.txt", "lib/old/")
install(ARGS[0], keep=keep)
ramflash.write("lib/old/gone.py", b"changed by the board")
install(ARGS[1], keep=keep)
two = ramflash.tree()
updater(ARGS[2], keep=keep, trial_boots=1).run(reset=False)
boot(3)
tell(two=two, reverted=ramflash.tree(), status=status())
""",
        *servers,
    )
    kept = on_board(V2, **{"x.txt": b"mine", "lib/old/gone.py": b"changed by the board"})
    assert facts["two"] == kept
    assert facts["reverted"] == kept
    assert facts["status"]["refused"] == 3


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"project": "other"}, "PolicyError: project is 'other', this board's is 'sample'"),
        ({"seq": 1}, "PolicyError: seq 1 is older than the floor 2"),
        ({"requires": {"platform": ["esp32"]}}, "PolicyError: this board is 'linux'; the release is for ['esp32']"),
        ({"requires": {"mpy": 5}}, "PolicyError: .mpy version is 6, the release has 5"),
        ({"expires": 1770000000}, "PolicyError: seq 3 expired at 1770000000, now is"),
        ({"rollout": {"percent": 0, "salt": "s"}}, "no error"),
        ({"seq": 0}, "ManifestError: manifest: seq 0: must be a whole number from 1"),
        ({"ota": 2}, "ManifestError: manifest: format 2: this reader knows 1"),
        ({"files": 9}, "ManifestError: manifest: line 7: is cut short"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_a_release_that_is_not_for_this_board_is_refused_before_any_file(
    servers, tmp_path, header, message
):
    """Nothing is fetched, nothing staged, and the error says which rule broke."""
    bad = tmp_path / "bad"
    release(bad, V3, **{"seq": 3, "version": "v9", **header})
    facts = board(
        """
flash = power_up()
install(ARGS[1])
before = ramflash.tree()
said = error(updater(ARGS[0]).run, reset=False)
fetched = [e for e in EVENTS if e[0] == "fetch"]
tell(said=said, fetched=fetched, same=ramflash.tree() == before, phase=status()["phase"])
""",
        bad,
        servers[1],
    )
    assert facts["said"].startswith(message), facts["said"]
    assert facts["fetched"] == []
    assert facts["same"] is True
    assert facts["phase"] == "idle"


def test_a_release_larger_than_the_flash_is_refused_before_the_first_file(servers, tmp_path):
    """The error names what is needed and what is free."""
    big, small = tmp_path / "big", tmp_path / "small"
    release(big, {"main.py": b"m" * 300_000}, seq=2, version="v2")
    release(small, V2, seq=3, version="v3")
    facts = board(
        """
flash = power_up()
install(ARGS[0])
tell(said=error(updater(ARGS[1]).run, reset=False), events=EVENTS, tree=ramflash.tree())
install(ARGS[2])
tell(later=ramflash.tree())
""",
        servers[0],
        big,
        small,
    )
    assert facts["said"].startswith("NoSpaceError: the update needs 320368 bytes of flash, ")
    assert [e for e in facts["events"] if e[0] == "fetch"] == []
    assert facts["tree"] == on_board(V1)
    assert facts["later"] == on_board(V2)


def test_a_full_disk_in_the_middle_leaves_the_live_release_and_a_later_update_works(servers):
    """Whatever takes the space while files come, the board runs on."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
u = updater(ARGS[1])
u.storage.free = lambda: 1 << 30
hogs = 0
try:
    while True:
        ramflash.write("hog%d" % hogs, bytes(4000))
        hogs += 1
except OSError:
    pass
said = error(u.run, reset=False)
boot()
live = {k: v for k, v in ramflash.tree().items() if "ota-" not in k and "hog" not in k}
for name in os.listdir():
    if "hog" in name:
        os.remove(name)
install(ARGS[1])
tell(said=said, live=live, later=ramflash.tree())
""",
        *servers,
    )
    assert facts["said"].startswith("NoSpaceError: "), facts["said"]
    assert facts["live"] == on_board(V1)
    assert facts["later"] == on_board(V2)


def test_a_damaged_file_on_the_server_is_refused_and_what_was_verified_is_not_fetched_twice(servers):
    """A wrong hash stops the update; once the server is mended it goes on where it was."""
    blob = max((servers[1] / "blobs").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    good = blob.read_bytes()
    blob.write_bytes(b"X" + good[1:])
    facts = board(
        """
flash = power_up()
install(ARGS[0])
said = error(updater(ARGS[1]).run, reset=False)
first = [e[1] for e in EVENTS if e[0] == "fetch"]
live = {k: v for k, v in ramflash.tree().items() if "ota-" not in k}
data = ramflash.read(ARGS[2])
with open(ARGS[2], "wb") as f:
    f.write(b"a" + data[1:])
updater(ARGS[1]).run(reset=False)
tell(said=said, first=first, live=live, second=[e[1] for e in EVENTS if e[0] == "fetch"])
boot(2)
confirm()
tell(tree=ramflash.tree())
""",
        servers[0],
        servers[1],
        blob,
    )
    assert facts["said"].startswith("HashError: lib/a.py: sha256 is ")
    assert facts["live"] == on_board(V1)
    assert facts["first"] == ["lib/a.py"]
    assert "lib/a.py" in facts["second"]
    assert facts["tree"] == on_board(V2)


def test_what_was_verified_before_a_stop_is_not_fetched_again(servers):
    """A run that stops between two files goes on with the next one."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
u = updater(ARGS[1])
for path, done, size in u.steps():
    if path == "main.py" and size:
        break
first = [e[1] for e in EVENTS if e[0] == "fetch"]
updater(ARGS[1]).run(reset=False)
tell(first=first, second=[e[1] for e in EVENTS if e[0] == "fetch"], phase=status()["phase"])
""",
        *servers,
    )
    assert facts["first"] == ["lib/a.py", "lib/new/b.py", "main.py"]
    assert "lib/a.py" not in facts["second"]
    assert facts["phase"] == "ready"


def test_a_staged_file_that_was_damaged_meanwhile_is_fetched_again(servers):
    """Its length alone does not make it what was verified before the stop."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
for path, done, size in updater(ARGS[1]).steps():
    if path == "main.py" and size:
        break
with open("lib/a.py.ota-new", "r+b") as f:
    f.write(b"X")
updater(ARGS[1]).run(reset=False)
second = [e[1] for e in EVENTS if e[0] == "fetch"]
boot(2)
confirm()
tell(second=second, tree=ramflash.tree())
""",
        *servers,
    )
    assert "lib/a.py" in facts["second"]
    assert facts["tree"] == on_board(V2)


def test_a_flash_that_gives_back_something_else_is_noticed_before_the_install(servers):
    """What was written is read back, whatever the transfer's own hash said."""
    facts = board(
        """
from ota.storage.littlefs import LittlefsStorage
import io
class Worn(LittlefsStorage):
    def _open(self, path, mode):
        f = super()._open(path, mode)
        if path == "main.py.ota-new" and mode == "rb":
            data = bytearray(f.read())
            data[2] ^= 1
            return io.BytesIO(data)
        return f
flash = power_up()
install(ARGS[0])
said = error(updater(ARGS[1], storage=Worn("/flash/")).run, reset=False)
tell(said=said, phase=status()["phase"], main=ramflash.read("main.py"))
""",
        *servers,
    )
    assert facts["said"].startswith("StorageError: main.py.ota-new reads back as ")
    assert (facts["phase"], facts["main"]) == ("staging", "main 1")


def test_a_channel_that_moved_on_leaves_nothing_of_the_abandoned_release(servers):
    """Half of v2 is staged when v3 appears: v3 is installed, and no staged file is left."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
for path, done, size in updater(ARGS[1]).steps():
    if path == "main.py" and size:
        break
staged = sorted(p for p in ramflash.tree() if p.endswith(".ota-new"))
install(ARGS[2])
tell(staged=staged, tree=ramflash.tree())
""",
        *servers,
    )
    assert facts["staged"][:1] == ["lib/a.py.ota-new"]
    assert facts["tree"] == on_board(V3)


def test_a_channel_that_goes_back_to_the_live_release_cleans_what_was_staged(servers):
    """With nothing new on offer any more the leftovers of a stopped update go."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
for path, done, size in updater(ARGS[1]).steps():
    if path == "main.py" and size:
        break
updater(ARGS[0]).run(reset=False)
tell(tree=ramflash.tree(), phase=status()["phase"])
""",
        *servers,
    )
    assert facts == {"tree": on_board(V1), "phase": "idle"}


def test_check_then_stage_then_install_is_the_same_update(servers):
    """The three calls that `run` makes can be made one by one, whenever the application likes."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
u = updater(ARGS[1])
r = u.check()
told = [r.version, r.seq, status()["phase"]]
u.stage(r)
told.append(status()["phase"])
u.install()
told.append(status()["phase"])
boot()
confirm()
tell(told=told, tree=ramflash.tree())
""",
        *servers,
    )
    assert facts["told"] == ["v1.0.2", 2, "idle", "ready", "trial"]
    assert facts["tree"] == on_board(V2)


def test_run_async_lets_other_tasks_run_between_two_chunks(servers):
    """A task beside the update gets its turn at least once a chunk."""
    facts = board(
        """
import asyncio
flash = power_up()
turns = []
async def other():
    while True:
        turns.append(0)
        await asyncio.sleep(0)
async def main():
    task = asyncio.create_task(other())
    ready = await updater(ARGS[0]).run_async(reset=False)
    task.cancel()
    return ready
tell(ready=asyncio.run(main()), turns=len(turns))
""",
        servers[0],
    )
    assert facts["ready"] is True
    assert facts["turns"] >= 8


def test_without_a_trial_the_release_stays_at_once(servers):
    """`trial_boots=0` confirms with the install, and leaves nothing behind."""
    facts = board(
        """
flash = power_up()
updater(ARGS[0], trial_boots=0).run(reset=False)
boot()
tell(tree=ramflash.tree(), status=status())
""",
        servers[0],
    )
    assert facts["tree"] == on_board(V1)
    assert (facts["status"]["phase"], facts["status"]["floor"]) == ("idle", 1)


def test_a_damaged_state_record_leaves_the_live_files_and_says_so(servers):
    """Nothing is moved, the status names the record, and the next update works."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
with open(".ota/state", "r+b") as f:
    f.seek(20)
    f.write(b"?")
boot()
told = status()["problem"], ramflash.tree()
install(ARGS[1])
tell(told=told, tree=ramflash.tree(), problem=status()["problem"])
""",
        *servers,
    )
    assert facts["told"] == [".ota/state is damaged", on_board(V1)]
    want = on_board(V2, **{"lib/old/gone.py": b"gone"})
    assert facts["tree"] == want, "what the lost manifest named is nobody's now, and stays"
    assert facts["problem"] is None


DAMAGE = """
def damage(slot):
    path = ".ota/" + slot
    data = ramflash.read(path)
    with open(path, "wb") as f:
        f.write(data[: data.find(b"\\n") + 1])
"""


@pytest.mark.parametrize("which", ["live", "next"])
def test_a_manifest_damaged_before_the_install_drops_the_release_and_no_file(servers, which):
    """A manifest that lost its lines would have files removed: nothing moves, and v3 comes later."""
    facts = board(
        DAMAGE
        + """
from ota.bootguard import load
flash = power_up()
install(ARGS[0])
updater(ARGS[1]).run(reset=False)
damage(load("/flash")[ARGS[3]])
boot()
live = {k: v for k, v in ramflash.tree().items() if "ota-" not in k}
tell(live=live, phase=status()["phase"])
install(ARGS[2])
tell(tree=ramflash.tree())
""",
        *servers,
        which,
    )
    assert facts["live"] == on_board(V1)
    assert facts["phase"] == "idle"
    assert on_board(V3).items() <= facts["tree"].items()


def test_a_manifest_damaged_during_the_trial_keeps_the_new_release_and_says_so(servers):
    """It cannot be undone any more, so it is not half undone."""
    facts = board(
        DAMAGE
        + """
from ota.bootguard import load
flash = power_up()
install(ARGS[0])
updater(ARGS[1], trial_boots=1).run(reset=False)
boot(2)
damage(load("/flash")["next"])
boot(2)
live = {k: v for k, v in ramflash.tree().items() if "ota-" not in k}
tell(live=live, problem=status()["problem"])
""",
        *servers,
    )
    assert facts["live"] == on_board(V2)
    assert facts["problem"] == "seq 2 failed its trial and stays: there is no manifest to go back to"


def test_a_live_manifest_damaged_while_idle_is_found_out_anew(servers):
    """The next update adopts what is on the board, and removes nothing by mistake."""
    facts = board(
        DAMAGE
        + """
from ota.bootguard import load
flash = power_up(files={"mine.txt": b"mine"})
install(ARGS[0])
damage(load("/flash")["live"])
install(ARGS[1])
tell(tree=ramflash.tree(), phase=status()["phase"])
""",
        *servers,
    )
    assert facts["tree"] == on_board(V2, **{"mine.txt": b"mine", "lib/old/gone.py": b"gone"})
    assert facts["phase"] == "idle"


def test_a_board_that_never_calls_boot_still_gets_the_release(servers):
    """The next run installs what the one before staged, instead of resetting for ever."""
    facts = board(
        """
flash = power_up()
install(ARGS[0])
first = updater(ARGS[1]).run(reset=False)
import sys
for name in [n for n in sys.modules if n.split(".")[0] == "ota"]:  # as a reset does
    del sys.modules[name]
second = updater(ARGS[1]).run(reset=False)
live = {k: v for k, v in ramflash.tree().items() if "ota-" not in k}
tell(first=first, second=second, phase=status()["phase"], live=live)
""",
        *servers,
    )
    assert (facts["first"], facts["second"], facts["phase"]) == (True, True, "trial")
    assert facts["live"] == on_board(V2)


def test_a_flash_that_the_application_filled_before_the_install_moves_no_file(tmp_path):
    """The copies of boot-critical files do not fit any more: the release is dropped, not half made."""
    one = {"lib/a.py": b"a 1", "main.py": b"main 1" * 2000}
    two = {"lib/a.py": b"a 2", "main.py": b"main 2" * 2000}
    release(tmp_path / "one", one)
    release(tmp_path / "two", two, seq=2)
    facts = board(
        """
flash = power_up()
install(ARGS[0])
updater(ARGS[1]).run(reset=False)
n = 0
try:
    while True:
        ramflash.write("hog%d" % n, bytes(4000))
        n += 1
except OSError:
    pass
boot()
live = {k: v for k, v in ramflash.tree().items() if "ota-" not in k and "hog" not in k}
tell(live=live, problem=status()["problem"], phase=status()["phase"])
for name in os.listdir():
    if "hog" in name:
        os.remove(name)
boot()
install(ARGS[1])
tell(later=ramflash.tree())
""",
        tmp_path / "one",
        tmp_path / "two",
        heap="4M",
    )
    assert facts["live"] == on_board(one)
    assert facts["phase"] == "idle"
    assert facts["problem"] == "seq 2 not installed: no room"
    assert facts["later"] == on_board(two)


def test_an_application_may_change_the_folder_after_an_idle_boot(servers):
    """bootguard is loaded later than ota.boot(); the update goes where boot.py ran."""
    facts = board(
        """
power_up(files={"boot.py": b"boot 0"})
import ota
ota.boot()
os.mkdir("/flash/data")
os.chdir("/flash/data")
from ota.transports.sd import SdTransport
from ota.updater import Updater
Updater(SdTransport(ARGS[0])).run(reset=False)
tell(root=os.listdir("/flash"), data=os.listdir("/flash/data"))
""",
        servers[0],
    )
    assert "main.py.ota-new" in facts["root"] and facts["data"] == []


@pytest.mark.parametrize("given", ["http://me:hunter2@192.168.2.100/sample", None])
def test_an_updater_of_what_is_no_transport_is_refused_when_it_is_made(given):
    """A URL alone, above all; it is not shown, since it may hold a password."""
    facts = board(f"from ota.updater import Updater\ntell(said=error(Updater, {given!r}))")
    assert "Error: " in facts["said"] and "hunter2" not in facts["said"]
