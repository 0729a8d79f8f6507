"""Power fails at every flash operation: the next boot runs one release whole. `make powerloss` does all of it."""

import pytest
from powerloss.mutants import MUTANTS, caught
from powerloss.peers import peer_cuts
from powerloss.scenarios import FIRST, JOBS, scenario, self_update, whole_library

from ota_host.proof import prove

SLOW = ("a folder of 70 names", "a folder of 70 names, undone")


@pytest.mark.parametrize("job", [j for j in FIRST if j != "flash filled before the install"])
def test_every_cut_boots_a_whole_release(tmp_path, job):
    """littlefs, program size 256, each operation torn in the middle: only old or new, no litter."""
    proof = prove(scenario(tmp_path, job), shapes=("half",), parts=1)
    assert set(proof.found) <= {"old", "new"}, proof.bad
    assert proof.cuts >= 20


@pytest.mark.parametrize("job", [j for j in JOBS if j not in (*FIRST, *SLOW)])
def test_every_cut_boots_a_whole_release_whatever_is_in_the_way(tmp_path, job):
    """Paths that change their kind, an application's files, moves that fail, imports of boot.py, damage, an older deploy."""
    proof = prove(scenario(tmp_path, job), shapes=("one byte",), parts=1)
    assert set(proof.found) <= {"old", "new"}, proof.bad
    assert proof.cuts >= 10


@pytest.mark.parametrize("job", SLOW)
def test_a_cut_boots_a_whole_release_in_a_folder_of_70_names(tmp_path, job):
    """Whose list takes several pairs of blocks, so that a rename may be two commits."""
    proof = prove(scenario(tmp_path, job), shapes=("one byte",), parts=1, every=12)
    assert set(proof.found) == {"old", "new"}, proof.bad
    assert proof.cuts > 10


@pytest.mark.parametrize("job", ["update", "revert"])
def test_every_cut_of_a_self_update_boots_with_the_mix_that_is_on_the_flash(tmp_path, job):
    proof = prove(self_update(tmp_path, job), shapes=("half",), parts=1)
    assert set(proof.found) <= {"old", "new"}, proof.bad
    assert proof.cuts > 100


def test_a_cut_of_an_update_of_the_whole_library_boots_with_the_mix_that_is_on_the_flash(tmp_path):
    proof = prove(whole_library(tmp_path), shapes=("one byte",), parts=1, every=25)
    assert set(proof.found) == {"old", "new"}, proof.bad
    assert proof.cuts > 8


def test_every_cut_of_the_recovery_boots_a_whole_release_as_well(tmp_path):
    """A second cut, at every operation of each boot after a cut; a third in some of those."""
    proof = prove(scenario(tmp_path, "update"), shapes=("every other bit",), depth=3)
    assert set(proof.found) <= {"old", "new"}, proof.bad
    assert proof.second_cuts > 500 and proof.third_cuts > 50


def test_nearly_every_cut_on_an_sd_card_with_fat_boots_a_whole_release(tmp_path):
    """Sectors are written whole there; a rename over a file is still two steps. The docs have the figures.

    In two states FAT itself is broken. In one the cut left two names for one file, and removing one freed
    the content of both. In the other the folder `ota` had just got one more cluster for its list, which
    FAT links before it clears it: names that come after what was in it before are lost.
    """
    proof = prove(scenario(tmp_path, "update", kind="fat", block=512, blocks=512), shapes=("none",))
    kinds = {what: n for what, n in proof.found.items() if what not in ("old", "new") and not what.endswith(" is gone")}
    assert kinds == {"error OSError(5,)": 1, "mix, told as seq 2": 1}, proof.bad
    assert proof.bad_states <= 8 and proof.cuts > 160, proof.found


@pytest.mark.parametrize("peer", ["micropython_ota 2.1.0", "mip"])
def test_the_same_engine_finds_what_a_cut_leaves_of_an_updater_without_a_plan(peer):
    proof = peer_cuts(peer)
    assert proof["end"] == "new" and proof["found"]["old"]
    assert any(verdict.startswith("mix") for verdict in proof["found"]), proof["found"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_fault_in_the_updater_is_caught(tmp_path, mutant):
    assert caught(mutant, tmp_path)
