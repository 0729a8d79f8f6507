"""`ota.status(check=True)`: whether the files on the board are those of the live release."""

import pytest
from support import release, told_by

V1 = {"boot.py": b"boot 1", "cfg.py": b"PIN = 4\n", "lib/a.py": b"a 1" * 900, "main.py": b"main 1"}

SCRIPT = """
from world import *
import ota.trial
power_up(ARGS[2])
install(ARGS[0])
def checked():
    told = ota.trial.status("/flash", check=True)
    return told["changed"], told["problem"]
"""


@pytest.fixture
def server(tmp_path):
    release(tmp_path / "1", V1, seq=1, version="v1")
    return tmp_path / "1"


def on_board(script, server, kind="lfs2"):
    return told_by(SCRIPT + script, server, server, kind)


@pytest.mark.parametrize("kind", ["lfs2", "fat"])
def test_files_that_differ_from_the_release_or_are_missing_are_listed_and_the_first_is_the_problem(server, kind):
    """Also one that was edited to the same length."""
    facts = on_board(
        """
good = checked()
ramflash.write("cfg.py", b"PIN = 5\\n")
edited = checked()
os.remove("lib/a.py")
os.remove("main.py")
os.mkdir("main.py")
tell(good=good, edited=edited, more=checked(), plain=status().get("changed"), problem=status()["problem"])
""",
        server,
        kind,
    )
    assert facts["good"] == [[], None]
    assert facts["edited"] == [["cfg.py"], "cfg.py is not as in the release"]
    assert facts["more"] == [["cfg.py", "lib/a.py", "main.py"], "cfg.py is not as in the release"]
    assert facts["plain"] is None and facts["problem"] is None, "nothing is read unless it is asked for"


def test_a_board_without_a_release_has_nothing_that_could_differ(server):
    facts = told_by("from world import *\nimport ota.trial\npower_up()\ntell(got=ota.trial.status('/flash', True)['changed'])", server)
    assert facts["got"] == []


def test_what_is_damaged_itself_is_the_problem_and_not_its_files(server):
    facts = on_board(
        """
import ota.bootguard as guard
path = ".ota/" + guard.load("/flash")["live"]
ramflash.write(path, ramflash.read(path)[:200])
told = ota.trial.status("/flash", check=True)
tell(problem=told["problem"], changed=told.get("changed"))
""",
        server,
    )
    assert facts == {"problem": "the live manifest is damaged", "changed": None}


@pytest.mark.parametrize("protected", [False, True])
def test_a_file_that_was_edited_to_the_same_length_is_mended_by_the_next_release_unless_it_is_kept(server, tmp_path, protected):
    """A13: the next release has it as the one before, and a revert brings back what somebody made of it."""
    for seq in (2, 3):
        release(tmp_path / str(seq), {**V1, "main.py": b"main 2"}, seq=seq, version=f"v{seq}")
    script = """
ramflash.write("cfg.py", b"PIN = 5\\n")
keep = ["cfg.py"] if ARGS.pop() else []
updater(ARGS[1], keep=keep).run(reset=False)
boot(5)
undone = ramflash.tree()
install(ARGS[1][:-1] + "3", keep=keep)
tell(undone=undone, cfg=ramflash.read("cfg.py"), checked=checked())
"""
    facts = told_by(SCRIPT + script, server, tmp_path / "2", "lfs2", "yes" if protected else "")
    assert facts["undone"]["cfg.py"] == "PIN = 5\n" and facts["undone"]["main.py"] == "main 1"
    assert facts["cfg"] == ("PIN = 5\n" if protected else "PIN = 4\n")
    assert facts["checked"] == ([["cfg.py"], "cfg.py is not as in the release"] if protected else [[], None])
