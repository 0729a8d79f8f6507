"""What an application, a lost state or FAT can leave on a board: the update is whole all the same, and loses nothing."""

import pytest
from support import release
from test_way_out import BEGIN, COMMON, KINDS, LAST, NEXT, A, B, C, on_board, servers, text  # noqa: F401

LONG = "cfg/" + "n" * 120 + "/" + "m" * 200 + "/" + "l" * 200  # longer than any path of a release


class TestRecord:
    """It is read up to 1,024 bytes, so no more is written."""

    def test_a_long_path_in_the_way_does_not_cost_the_board_its_state(self, tmp_path):
        facts = on_board(
            f"""
update(ARGS[0])
put({LONG!r})
error(updater(ARGS[1]).run, reset=False)
told = status()
again = updater(ARGS[1]).run(reset=False)
update(ARGS[2])
tell(size=os.stat(".ota/state")[6] < 1025, told=[told["seq"], told["problem"], told["blocked"]], again=again, last=sorted(tree()))
""",
            *servers(tmp_path, {**COMMON, "gone.py": A}, {**NEXT, "cfg": B}, LAST),
        )
        assert facts["size"] and facts["told"][:2] == [1, None] and facts["told"][2].startswith("cfg: cfg/nnn")
        assert not facts["again"] and "gone.py" not in facts["last"]

    def test_a_long_path_in_the_way_at_the_reset_does_not_either(self, tmp_path):
        facts = on_board(
            f"""
update(ARGS[0])
error(updater(ARGS[1]).run, reset=False)
put({LONG!r})
boot()
tell(seq=status()["seq"], main=ramflash.read("main.py"), size=os.stat(".ota/state")[6] < 1025)
""",
            *servers(tmp_path, {**COMMON, "cfg/a": A}, {**NEXT, "cfg": B}),
        )
        assert facts == {"seq": 1, "main": A.decode(), "size": True}

    def test_what_a_server_says_before_it_is_verified_does_not_make_a_refused_release_welcome(self, tmp_path):
        """A version of control characters and an entity tag of backslashes take six and two times their length."""
        one, two = servers(tmp_path, COMMON, NEXT)
        release(tmp_path / "evil", COMMON, version="\x01" * 120, seq=2)
        facts = on_board(
            """
from ota.storage.littlefs import LittlefsStorage
from ota.transports.sd import SdTransport
from ota.updater import Updater
class Evil(SdTransport):
    def _open(self, *args):
        stream = super()._open(*args)
        stream.etag = '"' + 190 * chr(92) + '"'
        return stream
update(ARGS[0])
update(ARGS[1], confirms=False)
refused = status()["refused"]
error(Updater(Evil(ARGS[2]), storage=LittlefsStorage("/flash/")).run, reset=False)
again = updater(ARGS[1]).run(reset=False)
tell(refused=[refused, status()["refused"]], again=again)
""",
            one,
            two,
            tmp_path / "evil",
        )
        assert facts == {"refused": [2, 2], "again": False}


@KINDS
@pytest.mark.parametrize("name", ["zzz.py", "new.py"])
def test_what_the_application_called_like_a_staged_file_does_not_stop_the_way_back(tmp_path, kind, name):
    facts = on_board(
        f"""
update(ARGS[0])
error(updater(ARGS[1]).run, reset=False)
boot(2)
put({name!r} + ".ota-new", b"stray")
boot(5)
tell(tree=tree())
""",
        *servers(tmp_path, COMMON, {**NEXT, "new.py": B}),
        kind=kind,
    )
    assert facts["tree"] == {**text(COMMON), name + ".ota-new.ota-aside": "stray"}


@KINDS
@pytest.mark.parametrize("keep", [True, False])
def test_a_file_that_the_application_made_after_the_release_was_staged_is_not_lost(tmp_path, kind, keep):
    """That release is dropped; the next check knows of the file, and takes the release, which replaces it unless it is kept."""
    facts = on_board(
        """
keep = ("settings.json",) if ARGS.pop() else ()
update(ARGS[0])
error(updater(ARGS[1], keep=keep).run, reset=False)
put("settings.json")
boot()
first = [status()["seq"], tree().get("settings.json"), status()["problem"]]
error(updater(ARGS[1], keep=keep).run, reset=False)
boot(2)
second = [status()["seq"], tree().get("settings.json")]
boot(5)
tell(first=first, second=second, undone=tree()["settings.json"])
""",
        *servers(tmp_path, COMMON, {**NEXT, "settings.json": b"default"}),
        "keep" if keep else "",
        kind=kind,
    )
    assert facts["first"] == [1, "mine", "seq 2 not installed: settings.json has come"]
    assert facts["second"] == [2, "mine" if keep else "default"] and facts["undone"] == "mine"


def test_a_manifest_that_is_written_anew_has_no_longer_lines_than_it_came_with(tmp_path):
    """A header of 1,001 bytes: with a space behind each comma it would pass 1,024, and could not be read again."""
    later = ["data/%02d.json" % i for i in range(61)]
    facts = on_board(
        """
update(ARGS[0])
put("hand.py")
said = update(ARGS[1])
tell(said=said, problem=status()["problem"], tree=sorted(tree()))
""",
        *servers(tmp_path, {**COMMON, "gone.py": A}, {**NEXT, "hand.py": B}, later=later),
    )
    assert facts == {"said": "no error", "problem": None, "tree": ["aaa.py", "hand.py", "main.py", "zzz.py"]}


@pytest.mark.parametrize("trial", [0, 1])
def test_a_board_is_reset_when_its_files_moved_also_if_what_followed_failed_once(tmp_path, trial):
    facts = on_board(
        """
import ota.bootguard as guard
trial = int(ARGS.pop(0))
resets, broken = [], []
guard.reset = lambda: resets.append(1)
update(ARGS[0])
error(updater(ARGS[1], trial_boots=trial).run, reset=False)
boot(2 * trial)
del resets[:]
real = guard.save
def save(root, state, phase=None):
    if phase == "idle" and not broken:
        broken.append(1)
        raise OSError(5)
    real(root, state, phase)
guard.save = save
boot()
tell(broken=broken, resets=resets, phase=status()["phase"])
""",
        trial,
        *servers(tmp_path, COMMON, NEXT),
    )
    assert facts == {"broken": [1], "resets": [1], "phase": "idle"}


def test_a_file_to_go_back_to_is_of_this_install_and_not_of_an_older_one(tmp_path):
    """The state is lost in a trial: `boot.py.ota-old` of release 1 is still there when release 4 is undone."""
    one, two = {**COMMON, "boot.py": b"# one\n"}, {**NEXT, "boot.py": b"# two\n"}
    three, four = {**LAST, "boot.py": b"# two\n"}, {"main.py": b"4", "aaa.py": b"4"}
    facts = on_board(
        """
update(ARGS[0])
error(updater(ARGS[1]).run, reset=False)
boot(2)
for name in os.listdir(".ota"):
    os.remove(".ota/" + name)
os.rmdir(".ota")
update(ARGS[2])
update(ARGS[3], confirms=False)
tell(boot=ramflash.read("boot.py"), seq=status()["seq"])
""",
        *servers(tmp_path, one, two, three, four),
    )
    assert facts == {"boot": "# two\n", "seq": 3}


class TestFat:
    def test_a_leftover_of_a_file_that_became_a_folder_is_not_put_in_its_place(self, tmp_path):
        facts = on_board(
            """
update(ARGS[0])
update(ARGS[1])
put("cfg.ota-old", b"left")
said = update(ARGS[2])
tell(said=said, cfg=ramflash.read("cfg"))
""",
            *servers(tmp_path, {**COMMON, "cfg": A}, {**NEXT, "cfg/x.py": B}, {**LAST, "cfg": C}),
            kind="fat",
        )
        assert facts == {"said": "no error", "cfg": C.decode()}

    def test_what_is_kept_is_kept_in_any_case(self, tmp_path):
        facts = on_board(
            """
update(ARGS[0])
put("Settings.json", b"mine")
update(ARGS[1], keep=("Settings.json",))
tell(got=ramflash.read("settings.json"))
""",
            *servers(tmp_path, COMMON, {**NEXT, "settings.json": B}),
            kind="fat",
        )
        assert facts == {"got": "mine"}

    @pytest.mark.parametrize("path", ["notes.", "notes ", "main.py.ota-new.", ".ota./state", "a /b"])
    def test_a_path_that_fat_would_shorten_is_refused_by_its_name(self, path):
        from ota.errors import ManifestError
        from ota.manifest import check_path

        with pytest.raises(ManifestError, match="has the part"):
            check_path(path)
