"""An update ends in one whole release, whatever is in its way, and the next good one installs."""

import pytest
from support import ROOT, release, told_by

A, B, C = b"V = 'a'\n" * 30, b"V = 'b'\n" * 30, b"V = 'c'\n" * 30
BEGIN = """
from world import *
KIND = ARGS.pop()
flash = power_up(KIND, 512 if KIND == "fat" else 64)
def put(path, data=b"mine"):
    ramflash.write(path, data)
def tree():
    return {p: d.decode() for p, d in ramflash.tree().items()}
def update(server, confirms=True, **options):
    said = error(updater(server, **options).run, reset=False)
    boot(2 if confirms else 5)
    if confirms:
        confirm()
        boot()
    return said
"""
KINDS = pytest.mark.parametrize("kind", ["lfs2", "fat"])


def text(files):
    return {p: d.decode() for p, d in files.items()}


def servers(folder, *trees, first=1, **headers):
    """The folder of a server for each release (dict), in their order."""
    for seq, files in enumerate(trees, first):
        release(folder / str(seq), files, version=f"v1.{seq}.0", seq=seq, **headers)
    return [folder / str(seq) for seq in range(first, first + len(trees))]


def on_board(script, *args, kind="lfs2", heap="8M"):
    return told_by(BEGIN + script, *args, kind, heap=heap)


COMMON = {"aaa.py": A, "main.py": A, "zzz.py": A}
NEXT = {"aaa.py": B, "main.py": B, "zzz.py": B}
LAST = {"aaa.py": C, "main.py": C, "zzz.py": C}
CHANGES = {
    "a file becomes a folder": ({"cfg": A}, {"cfg/x.py": B, "cfg/y/z.py": B, "cfg.py": B}),
    "a folder becomes a file": ({"cfg/x.py": A, "cfg/y/z.py": A, "cfg.py": A}, {"cfg": B}),
    "two files below another become folders": ({"d/a": A, "d/b": A}, {"d/a/x": B, "d/b/y": B, "d/c": B}),
    "the new content is the old": ({"cfg": A}, {"cfg/x.py": A}),
}


class TestKindOfAPath:
    @KINDS
    @pytest.mark.parametrize("change", CHANGES)
    def test_a_path_that_changes_its_kind_is_installed_and_undone(self, tmp_path, kind, change):
        """A1, A2, C22: what was there comes back, and nothing else is left."""
        old, new = CHANGES[change]
        old, new = {**COMMON, **old}, {**NEXT, **new}
        facts = on_board(
            """
update(ARGS[0])
update(ARGS[1], confirms=False)
undone, phase = tree(), status()["phase"]
update(ARGS[2])
done = tree()
update(ARGS[3])
tell(undone=undone, phase=phase, done=done, last=tree(), problem=status()["problem"])
""",
            *servers(tmp_path, old, new, new, LAST),
            kind=kind,
        )
        assert facts["undone"] == text(old) and facts["phase"] == "idle"
        assert facts["done"] == text(new)
        assert facts["last"] == text(LAST) and facts["problem"] is None

    @KINDS
    @pytest.mark.parametrize(
        "obstacle, new, path, names",
        [
            ("put('cfg/mine.txt')", {"cfg": B}, "cfg/mine.txt", ["cfg", "cfg/mine.txt"]),
            ("put('cfg/deep/er/mine.txt')", {"cfg": B}, "cfg/deep/er/mine.txt", ["cfg", "cfg/deep/er/mine.txt"]),
            ("put('cfg')", {"cfg/x.py": B}, "cfg", ["cfg", "cfg/x.py"]),
            ("put('cfg')", {"cfg/a/b/x.py": B}, "cfg", ["cfg", "cfg/a/b/x.py"]),
            ("os.mkdir('boot.py')", {"boot.py": B}, "boot.py", ["boot.py"]),
        ],
    )
    def test_what_the_application_has_in_the_way_is_refused_by_name_and_not_fetched(
        self, tmp_path, kind, obstacle, new, path, names
    ):
        """A1, A24: no file of it is fetched, not at any of ten polls, until the obstacle is gone."""
        facts = on_board(
            f"""
update(ARGS[0])
{obstacle}
said, events = [], []
for _ in range(10):
    said.append(error(updater(ARGS[1]).run, reset=False))
    events += EVENTS
before, seen = tree(), status()
def rid(path):
    try:
        os.remove(path)
    except OSError:
        os.rmdir(path)
rid({path!r})
update(ARGS[1])
tell(said=said, events=events, before=before, blocked=seen["blocked"], phase=seen["phase"], after=tree(), later=status()["blocked"])
""",
            *servers(tmp_path, COMMON, {**NEXT, **new}),
            kind=kind,
        )
        assert facts["said"][0].startswith("StorageError: ") and all(name in facts["said"][0] for name in names)
        assert facts["said"][1:] == ["no error"] * 9
        assert {e[0] for e in facts["events"]} == {"found", "blocked"}
        assert facts["blocked"] in facts["said"][0] and facts["phase"] == "idle"
        assert {p: d for p, d in facts["before"].items() if p in COMMON} == text(COMMON)
        assert facts["after"] == text({**NEXT, **new}) and facts["later"] is None

    def test_an_empty_folder_of_the_application_gives_way_to_a_file(self, tmp_path):
        facts = on_board(
            "update(ARGS[0])\nos.mkdir('log')\nos.mkdir('log/empty')\nupdate(ARGS[1])\ntell(tree=tree())",
            *servers(tmp_path, COMMON, {**NEXT, "log": B}),
        )
        assert facts["tree"] == text({**NEXT, "log": B})

    def test_a_folder_with_a_kept_file_does_not_give_way(self, tmp_path):
        facts = on_board(
            """
update(ARGS[0])
said = update(ARGS[1], keep=("cfg/x.py",))
tell(said=said, tree=tree())
""",
            *servers(tmp_path, {**COMMON, "cfg/x.py": A}, {**NEXT, "cfg": B}),
        )
        assert facts["said"] == "StorageError: cfg: cfg/x.py is in the way; move it"
        assert facts["tree"] == text({**COMMON, "cfg/x.py": A})

    @pytest.mark.parametrize("names", [("lib", "lib/x.py"), ("lib", "lib.py", "lib/x.py"), ("a/b", "a/b-c", "a/b/c/d")])
    def test_a_release_with_a_path_below_another_is_refused(self, tmp_path, names):
        """A1: `lib`, `lib.py` and `lib/x` sort in this order, so neighbours alone do not tell."""
        facts = on_board(
            "tell(said=error(updater(ARGS[0]).run, reset=False))", *servers(tmp_path, {name: A for name in names})
        )
        assert facts["said"] == f"ManifestError: manifest: path {names[-1]!r}: is below the file {names[0]!r}"


class TestNamesThatFold:
    @pytest.mark.parametrize("content", [A, B], ids=["same content", "new content"])
    @pytest.mark.parametrize("old, new", [("Sensor.py", "sensor.py"), ("Lib/x.py", "lib/x.py"), ("a/B/c", "A/b/C")])
    def test_a_change_of_case_alone_is_one_file_on_fat(self, tmp_path, old, new, content):
        """A4: there after the update by the new name, and after an undo by the old one."""
        facts = on_board(
            """
update(ARGS[0])
update(ARGS[1], confirms=False)
undone = ramflash.read(ARGS[3])
update(ARGS[2])
tell(undone=undone, done=ramflash.read(ARGS[4]), count=len(tree()))
""",
            *servers(tmp_path, {**COMMON, old: A}, {**NEXT, new: content}, {**NEXT, new: content}),
            old,
            new,
            kind="fat",
        )
        assert facts["undone"] == A.decode() and facts["done"] == content.decode() and facts["count"] == 4


class TestRevert:
    def test_a_folder_in_the_way_of_a_revert_goes_aside_and_is_named(self, tmp_path):
        """A2: the old release is whole, what was in the way is kept, and the next release installs."""
        facts = on_board(
            """
update(ARGS[0])
error(updater(ARGS[1]).run, reset=False)
boot(2)
os.remove("aaa.py")
put("aaa.py/mine.txt")
boot(4)
undone, seen = tree(), status()
from ota.bootguard import problems
del problems[:]  # as after a reset
reset = status()["problem"]
update(ARGS[2])
tell(undone=undone, seen=seen, reset=reset, last=tree(), later=status()["problem"])
""",
            *servers(tmp_path, COMMON, NEXT, LAST),
        )
        aside = {"aaa.py.ota-aside/mine.txt": "mine"}
        assert facts["undone"] == {**text(COMMON), **aside}
        assert facts["seen"]["phase"] == "idle" and "aaa.py.ota-aside" in facts["seen"]["problem"]
        assert facts["reset"].startswith("aaa.py.ota-aside holds")
        assert facts["last"] == {**text(LAST), **aside} and facts["later"] is None

    def test_a_second_folder_in_the_way_gets_a_number(self, tmp_path):
        facts = on_board(
            """
update(ARGS[0])
put("aaa.py.ota-aside/1")
error(updater(ARGS[1]).run, reset=False)
boot(2)
os.remove("aaa.py")
put("aaa.py/2")
boot(4)
tell(tree=tree())
""",
            *servers(tmp_path, COMMON, NEXT),
        )
        assert facts["tree"] == {**text(COMMON), "aaa.py.ota-aside/1": "mine", "aaa.py.ota-aside2/2": "mine"}

    def test_a_revert_without_the_old_files_leaves_the_new_release_whole(self, tmp_path):
        """A17: it is refused from then on, `status()` says why, and the next release installs."""
        facts = on_board(
            """
update(ARGS[0])
error(updater(ARGS[1]).run, reset=False)
boot(2)
os.remove("aaa.py.ota-old")
boot(4)
stays, seen = tree(), status()
again = updater(ARGS[1]).run(reset=False)
update(ARGS[2])
tell(stays=stays, seen=seen, again=again, last=tree())
""",
            *servers(tmp_path, COMMON, {**NEXT, "new.py": B}, LAST),
        )
        assert facts["stays"] == text({**NEXT, "new.py": B})
        assert facts["seen"]["phase"] == "idle" and facts["seen"]["refused"] == 2 and facts["seen"]["floor"] == 1
        assert facts["seen"]["problem"] == "seq 2 failed its trial and stays: aaa.py.ota-old is gone"
        assert not facts["again"] and facts["last"] == text(LAST)

    def test_what_the_application_makes_while_neither_way_can_be_finished_is_its_own(self, tmp_path):
        """The staged file of that name has not moved yet, so the revert has nothing to remove there."""
        facts = on_board(
            """
import ota.bootguard as guard
update(ARGS[0])
updater(ARGS[1]).run(reset=False)
move, save = guard._move, guard.save
def stuck(src, dst):
    if src.endswith("/aaa.py.ota-new"):
        raise OSError(13)
    move(src, dst)
def no_writes(root, state, phase=None):
    if phase == "reverting":
        raise OSError(5)
    save(root, state, phase)
guard._move, guard.save = stuck, no_writes
boot()
phase = status()["phase"]
put("new.txt")
guard.save = save
boot(2)
tell(phase=phase, tree=tree(), after=status()["phase"])
""",
            *servers(tmp_path, COMMON, {**NEXT, "new.txt": B}),
        )
        assert facts["phase"] == "committing" and facts["after"] == "idle"
        assert facts["tree"] == text({**COMMON, "new.txt": b"mine"})

    def test_a_rollback_without_the_old_files_is_refused_and_moves_nothing(self, tmp_path):
        facts = on_board(
            """
update(ARGS[0])
error(updater(ARGS[1]).run, reset=False)
boot(2)
os.remove("aaa.py.ota-old")
try:
    rollback()
except Exception as e:
    said = str(e)
tell(said=said, phase=status()["phase"], stays=ramflash.read("zzz.py"))
""",
            *servers(tmp_path, COMMON, NEXT),
        )
        assert facts == {"said": "cannot go back: aaa.py.ota-old is gone; the release stays", "phase": "trial", "stays": B.decode()}

    def test_a_leftover_that_cannot_be_removed_blocks_nothing(self, tmp_path):
        """A3: `confirm()` raises nothing, and the next release installs over it."""
        facts = on_board(
            """
update(ARGS[0])
import ota.bootguard as guard
class Os:
    def __getattr__(self, name):
        def call(path, *more):
            if "zzz.py.ota-old" in path and (name == "remove" or name == "rmdir"):
                raise OSError(13)
            return getattr(real, name)(path, *more)
        return call
real = guard.os
error(updater(ARGS[1]).run, reset=False)
fresh = guard.__getattr__
boot(2)
import sys
del sys.modules["ota.bootguard"]
import ota.bootguard as guard
guard.os = Os()
confirmed, phase, left = confirm(), status()["phase"], "zzz.py.ota-old" in tree()
guard.os = real
said = update(ARGS[2])
tell(confirmed=confirmed, phase=phase, left=left, last=tree())
""",
            *servers(tmp_path, COMMON, NEXT, LAST),
        )
        assert facts["confirmed"] and facts["phase"] == "idle" and facts["left"]
        assert facts["last"] == text(LAST)


class TestWhatIsStaged:
    def test_a_release_that_expired_while_it_was_staged_is_dropped_though_the_server_says_304(self, tmp_path):
        """A15."""
        facts = on_board(
            """
import sys, time
class Time:
    def __getattr__(self, name):
        return getattr(time, name)
    def time(self):
        return 2000000001
update(ARGS[0])
steps = updater(ARGS[1]).steps()
for _ in range(8):
    next(steps)
steps.close()
phase = status()["phase"]
sys.modules["time"] = Time()
said = error(updater(ARGS[1]).run, reset=False)
boot(3)
tell(phase=phase, said=said, tree=tree(), after=status()["phase"])
""",
            *servers(tmp_path, COMMON),
            *servers(tmp_path, NEXT, first=2, expires=2000000000),
        )
        assert facts["phase"] == "staging" and facts["after"] == "idle"
        assert "expired" in facts["said"] and facts["tree"] == text(COMMON)

    def test_a_damaged_next_manifest_is_dropped_and_a_newer_release_installs(self, tmp_path):
        """A6."""
        facts = on_board(
            """
update(ARGS[0])
steps = updater(ARGS[1]).steps()
for _ in range(8):
    next(steps)
steps.close()
from ota.bootguard import load
put(".ota/" + load("/flash")["next"], bytes(300))
update(ARGS[2])
tell(tree=tree(), phase=status()["phase"])
""",
            *servers(tmp_path, COMMON, NEXT, LAST),
        )
        assert facts["phase"] == "idle" and facts["tree"] == text(LAST)

    def test_a_damaged_live_manifest_that_no_sum_guards_is_found_out_anew(self, tmp_path):
        """A6: as after a deploy, whose state has no sums."""
        facts = on_board(
            """
update(ARGS[0])
from ota.bootguard import load, save
state = load("/flash")
put(".ota/" + state["live"], ramflash.read(".ota/" + state["live"])[:150])
state["sums"] = {}
save("/flash", state)
update(ARGS[1])
tell(tree=tree(), phase=status()["phase"])
""",
            *servers(tmp_path, COMMON, NEXT),
        )
        assert facts["phase"] == "idle" and facts["tree"] == text(NEXT)

    def test_a_time_far_ahead_counts_only_when_its_release_is_confirmed(self, tmp_path):
        """A16: a release signed by a clock of 2036 that is undone blocks nothing that expires before."""
        facts = on_board(
            """
from ota.verifiers import Sha256Verifier
class Signed(Sha256Verifier):
    signs = True
update(ARGS[0], verifier=Signed())
update(ARGS[1], verifier=Signed(), confirms=False)
undone = tree()
from ota.bootguard import load
time = load("/flash")["time"]
update(ARGS[2], verifier=Signed())
tell(undone=undone, time=time, last=tree(), later=load("/flash")["time"])
""",
            *servers(tmp_path, COMMON, time=1800000000),
            *servers(tmp_path, NEXT, first=2, time=2100000000),
            *servers(tmp_path, LAST, first=3, time=1800000001, expires=1900000000),
        )
        assert facts["undone"] == text(COMMON) and facts["time"] == 1800000000
        assert facts["last"] == text(LAST) and facts["later"] == 1800000001

    def test_a_release_that_is_older_than_one_that_was_undone_is_named_in_event_and_status(self, tmp_path):
        """A21: a beta failed, then the board goes back to stable."""
        facts = on_board(
            """
update(ARGS[0])
update(ARGS[2], confirms=False)
said = updater(ARGS[1]).run(reset=False)
tell(said=said, events=EVENTS, blocked=status()["blocked"])
""",
            *servers(tmp_path, COMMON, NEXT, LAST),
        )
        why = "v1.2.0 (seq 2): seq 3 was undone"
        assert not facts["said"] and facts["events"] == [["refused", why]] and facts["blocked"] == why


class TestLibrary:
    @pytest.mark.parametrize(
        "files, says",
        [
            ({"ota/__init__.py": B}, "ota/ would have no __init__ or no bootguard"),
            ({"ota/data.json": B}, "ota/ would have no __init__ or no bootguard"),
            ({"lib/ota/bootguard.mpy": B}, ""),
            ({"ota.py": B}, "ota.py hides the library"),
            ({"ota.mpy": B, "ota/__init__.py": B, "ota/bootguard.py": B}, "ota.mpy hides the library"),
            ({}, "ota/ would have no __init__ or no bootguard"),
        ],
    )
    def test_a_release_without_what_the_next_boot_needs_is_refused_before_its_files(self, tmp_path, files, says):
        """A23, C21: neither half a library nor somebody else's."""
        library = {"ota/__init__.py": A, "ota/bootguard.py": A}
        facts = on_board(
            """
update(ARGS[0])
said = update(ARGS[1])
tell(said=said, tree=tree(), events=[e[0] for e in EVENTS])
""",
            *servers(tmp_path, {**COMMON, **library}, {**NEXT, **files}),
        )
        assert facts["said"].startswith("PolicyError: " + says) and "ota" in facts["said"]
        assert facts["tree"] == text({**COMMON, **library}) and "fetch" not in facts["events"]

    def test_a_library_may_go_from_source_to_mpy(self, tmp_path):
        trees = [
            {**COMMON, "ota/__init__.py": A, "ota/bootguard.py": A},
            {**COMMON, "ota/__init__.mpy": B, "ota/bootguard.mpy": B},
        ]
        facts = on_board("for one in ARGS:\n    update(one)\ntell(tree=tree())", *servers(tmp_path, *trees))
        assert facts["tree"] == text(trees[-1])

    def test_a_library_that_goes_to_another_folder_is_refused(self, tmp_path):
        """What is left of the folder `ota/` until the release is confirmed would hide `lib/ota/`."""
        trees = [
            {**COMMON, "ota/__init__.py": A, "ota/bootguard.py": A},
            {**COMMON, "lib/ota/__init__.py": C, "lib/ota/bootguard.py": C},
        ]
        facts = on_board("update(ARGS[0])\ntell(said=update(ARGS[1]), tree=tree())", *servers(tmp_path, *trees))
        assert facts["said"].startswith("PolicyError: ota/ would have no __init__ or no bootguard")
        assert facts["tree"] == text(trees[0])

    def test_a_library_in_the_root_is_refused_by_a_board_that_has_it_in_lib(self, tmp_path):
        """The first staged file would make a folder `ota/`, which hides the library at once."""
        facts = on_board(
            """
import sys
def copy(source, target):
    for entry in os.ilistdir(source):
        if entry[1] & 0x4000:
            copy(source + "/" + entry[0], target + "/" + entry[0])
        elif entry[0].endswith(".py"):
            put(target + "/" + entry[0], ramflash.read(source + "/" + entry[0]))
ramflash.umount(flash)
flash = power_up(KIND, 256)
copy(ARGS[1], "lib/ota")
for name in list(sys.modules):
    if name == "ota" or name.startswith("ota."):
        del sys.modules[name]
sys.path[:0] = ["/flash", "/flash/lib"]
from ota import SdTransport, Updater, OtaError
said = None
try:
    Updater(SdTransport(ARGS[0])).run(reset=False)
except OtaError as e:
    said = "%s: %s" % (type(e).__name__, e)
tell(said=said, folders=sorted(e[0] for e in os.ilistdir() if e[1] & 0x4000))
""",
            *servers(tmp_path, {**NEXT, "ota/__init__.py": B, "ota/bootguard.py": B}),
            ROOT / "ota",
        )
        assert facts["said"] == "PolicyError: ota/ would hide the library in /flash/lib/ota; publish it there"
        assert facts["folders"] == [".ota", "lib"]


class TestRoom:
    @pytest.mark.parametrize("count, size", [(120, 60), (60, 1), (200, 128), (40, 5000)])
    def test_an_update_asks_for_what_littlefs_takes_and_for_twice_at_most(self, tmp_path, count, size):
        """A20: many small files stand in their folder's list."""
        small = {"data/item%03d.json" % i: b"%0*d" % (size, i) for i in range(count)}
        facts = on_board(
            """
ramflash.umount(flash)
flash = power_up(KIND, 256)
update(ARGS[0])
import ota.staging, sys
staging = sys.modules["ota.staging"]
asked = []
real = staging._room
staging._room = lambda *args: asked.append(real(*args)) or asked[-1]
before = os.statvfs("")[3]
error(updater(ARGS[1]).run, reset=False)
tell(took=4096 * (before - os.statvfs("")[3]), asked=sum(asked))
""",
            *servers(tmp_path, {"main.py": A}, {**small, "main.py": A}),
        )
        assert facts["took"] <= facts["asked"] + 4 * 4096 <= 2 * facts["took"]


@KINDS
def test_a_record_that_cannot_be_made_leaves_the_one_before(tmp_path, kind):
    """No memory, in the moment of the save: to open the file for writing would have emptied it."""
    facts = on_board(
        """
update(ARGS[0])
import ota.bootguard as guard
state = guard.load("/flash")
sound, guard.crc32 = guard.crc32, lambda *args: [][0]
try:
    guard.save("/flash", state)
except IndexError:
    pass
guard.crc32 = sound
tell(seq=guard.load("/flash")["seq"])
""",
        *servers(tmp_path, COMMON),
        kind=kind,
    )
    assert facts == {"seq": 1}
