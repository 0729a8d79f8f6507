"""What somebody put on a board by hand is theirs until a release that names it has been confirmed."""

import pytest
from support import release, told_by

OLD = {"boot.py": b"boot 1", "main.py": b"main 1"}
HAND = b"made by hand"

BEGIN = """
from world import *
from ota.bootguard import entry_of, load
power_up(files={"settings.json": b"made by hand"})
install(ARGS[0])
"""
END = """
updater(ARGS[2]).run(reset=False)
boot(2)
confirm()
tell(files=ramflash.tree(), version=status()["version"])
"""


@pytest.fixture
def servers(tmp_path):
    """The second release brings a file that the board has of its own; the third one does not."""
    release(tmp_path / "one", OLD, seq=1)
    release(tmp_path / "two", {**OLD, "main.py": b"main 2", "settings.json": b"released"}, version="v2.0.0", seq=2)
    release(tmp_path / "three", {**OLD, "main.py": b"main 3"}, version="v3.0.0", seq=3)
    return tmp_path / "one", tmp_path / "two", tmp_path / "three"


@pytest.mark.parametrize(
    "undone",
    [
        "updater(ARGS[1]).run(reset=False)\nboot(5)\n",
        "updater(ARGS[1]).run(reset=False)\nboot(2)\nrollback()\n",
        "updater(ARGS[1]).stage(updater(ARGS[1]).check())\nos.remove('settings.json.ota-new')\nboot()\n",
        "steps = updater(ARGS[1]).steps()\nfor _ in zip(range(8), steps):\n    pass\nsteps.close()\n",
    ],
    ids=["its trial failed", "rolled back", "dropped before its first move", "stopped while it was staged"],
)
def test_a_file_made_by_hand_stays_when_the_release_that_names_it_does_not(servers, undone):
    """The live manifest got a line for it, so that a revert brings it back; that does not make it the release's."""
    facts = told_by(BEGIN + undone + END, *servers, heap="8M")
    assert facts["version"] == "v3.0.0"
    assert facts["files"] == {"boot.py": "boot 1", "main.py": "main 3", "settings.json": "made by hand"}


def test_a_file_made_by_hand_is_the_release_s_once_that_is_confirmed(servers):
    """The next release, which does not name it, removes it."""
    confirmed = "updater(ARGS[1]).run(reset=False)\nboot(2)\nconfirm()\n"
    facts = told_by(BEGIN + confirmed + END, *servers, heap="8M")
    assert sorted(facts["files"]) == ["boot.py", "main.py"]


def test_a_file_made_by_hand_comes_back_whichever_release_fails(servers):
    """Two releases that name it fail one after the other."""
    release(servers[2], {**OLD, "main.py": b"main 3", "settings.json": b"again"}, version="v3.0.0", seq=3)
    script = "updater(ARGS[1]).run(reset=False)\nboot(5)\nupdater(ARGS[2]).run(reset=False)\nboot(5)\ntell(files=ramflash.tree(), version=status()['version'])"
    facts = told_by(BEGIN + script, *servers, heap="8M")
    assert facts["version"] == "v1.0.0" and facts["files"] == {"boot.py": "boot 1", "main.py": "main 1", "settings.json": "made by hand"}


def test_a_file_made_by_hand_that_was_edited_after_a_failed_release_stays_as_it_is(servers):
    script = "updater(ARGS[1]).run(reset=False)\nboot(5)\nramflash.write('settings.json', b'edited by hand')\n"
    facts = told_by(BEGIN + script + END, *servers, heap="8M")
    assert facts["files"]["settings.json"] == "edited by hand"
