"""Nothing of a release that is gone stays on the board, not even an empty folder, which MicroPython takes for a package."""

import pytest
from support import release, told_by

OLD = {"boot.py": b"boot 1", "conf": b"a file", "main.py": b"main 1"}
NEW = {"boot.py": b"boot 2", "conf/deep/b.json": b"b", "json/deep/cities.json": b"cities", "main.py": b"main 2"}


@pytest.fixture
def servers(tmp_path):
    release(tmp_path / "one", OLD, seq=1)
    release(tmp_path / "two", NEW, version="v2.0.0", seq=2)
    return tmp_path / "one", tmp_path / "two"


BEGIN = """
from world import *
from ota.bootguard import load, save
power_up()
install(ARGS[0])
"""
END = """
boot()
tell(files=ramflash.tree(empty=b"empty"), problem=status()["problem"], phase=status()["phase"])
"""
UNDOING = "updater(ARGS[1]).run(reset=False)\nboot()\nstate = load('/flash')\nsave('/flash', state, 'reverting')\n"


@pytest.mark.parametrize(
    "cut",
    [
        "os.remove('json/deep/cities.json')\n",
        "os.remove('json/deep/cities.json')\nos.rmdir('json/deep')\n",
        "os.remove('conf/deep/b.json')\n",
        "os.remove('conf/deep/b.json')\nos.rmdir('conf/deep')\n",
    ],
)
def test_a_revert_cut_behind_a_removal_leaves_no_empty_folder(servers, cut):
    """The file is gone and its folder is not yet: the next boot removes that, too."""
    facts = told_by(BEGIN + UNDOING + cut + END, *servers, heap="8M")
    assert facts["files"] == {p: d.decode() for p, d in OLD.items()}
    assert facts["problem"] is None and facts["phase"] == "idle"


@pytest.mark.parametrize("cut", ["os.remove('json/deep/cities.json.ota-new')\n", ""])
def test_a_staging_cut_between_folder_and_file_leaves_no_empty_folder(servers, cut):
    script = "updater(ARGS[1]).run(reset=False)\nstate = load('/flash')\n" + cut + "save('/flash', state, 'cleaning')\n"
    facts = told_by(BEGIN + script + END, *servers, heap="8M")
    assert facts["files"] == {p: d.decode() for p, d in OLD.items()}


def test_the_file_in_the_place_of_a_folder_stays_when_the_folder_is_cleaned(servers):
    """littlefs removes a file by rmdir() as well."""
    script = "updater(ARGS[1]).run(reset=False)\nboot(1)\nconfirm()\nupdater(ARGS[2]).run(reset=False)\nboot(1)\nconfirm()\n"
    third = servers[0].parent / "three"
    release(third, OLD, version="v3.0.0", seq=3)
    facts = told_by(BEGIN + script + END, *servers, third, heap="8M")
    assert facts["files"] == {p: d.decode() for p, d in OLD.items()}


def test_a_damaged_live_manifest_is_not_replaced_by_the_next_before_its_files_are_there(servers):
    """At every step of the staging the board says neither the next version nor its seq: a cut would make that true."""
    script = """
ramflash.write(".ota/" + load("/flash")["live"], b"?")
said = []
for _ in updater(ARGS[1]).steps():
    said.append((status()["version"], status()["seq"]))
tell(said=said)
"""
    release(servers[1], {**OLD, "boot.py": b"boot 2", "main.py": b"main 2"}, version="v2.0.0", seq=2)
    said = told_by(BEGIN + script, *servers, heap="8M")["said"]
    assert len(said) > 8 and ["v2.0.0", 2] not in said, said
