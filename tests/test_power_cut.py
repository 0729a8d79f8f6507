"""Power fails at every flash operation: the next boot runs one release whole. `make powerloss` does all of it."""

import pytest
from powerloss.mutants import MUTANTS, caught
from powerloss.scenarios import JOBS, scenario, self_update

from ota_host.proof import prove


@pytest.mark.parametrize("job", [j for j in JOBS if j != "flash filled before the install"])
def test_every_cut_boots_a_whole_release(tmp_path, job):
    """littlefs, program size 256, each operation torn in the middle: only old or new, no litter."""
    proof = prove(scenario(tmp_path, job), shapes=("half",))
    assert set(proof.found) <= {"old", "new"}, proof.bad
    assert proof.cuts >= 24


@pytest.mark.parametrize("job", ["update", "revert"])
def test_every_cut_of_a_self_update_boots_with_the_mix_that_is_on_the_flash(tmp_path, job):
    proof = prove(self_update(tmp_path, job), shapes=("half",))
    assert set(proof.found) <= {"old", "new"}, proof.bad
    assert proof.cuts > 100


def test_every_cut_of_the_recovery_boots_a_whole_release_as_well(tmp_path):
    """A second cut, at every operation of each boot after a cut; a third in some of those."""
    proof = prove(scenario(tmp_path, "update"), shapes=("every other bit",), depth=3)
    assert set(proof.found) <= {"old", "new"}, proof.bad
    assert proof.second_cuts > 500 and proof.third_cuts > 50


def test_nearly_every_cut_on_an_sd_card_with_fat_boots_a_whole_release(tmp_path):
    """Sectors are written whole there; a rename over a file is still two steps. The docs have the figures."""
    proof = prove(scenario(tmp_path, "update", kind="fat", block=512, blocks=512), shapes=("none",))
    kinds = {what for what in proof.found if what not in ("old", "new") and not what.endswith(" is gone")}
    assert kinds <= {"error OSError(5,)"}, proof.bad
    assert proof.bad_states < proof.cuts // 20


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_fault_in_the_updater_is_caught(tmp_path, mutant):
    assert caught(mutant, tmp_path)
