"""The phases: the table in the docs, the one in the code, and what `save` lets through are the same."""

import re

import pytest
from support import ROOT

from ota.bootguard import MOVES, load, save


def test_the_phase_table_of_the_docs_equals_the_code():
    page = (ROOT / "docs/explanation/install.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|$", page, re.M)
    assert {phase: tuple(re.findall(r"`(\w+)`", after)) for phase, after in rows} == MOVES


@pytest.fixture(params=MOVES)
def board(tmp_path, request):
    """(folder of a board in a phase, its state)."""
    root = str(tmp_path)
    state = load(root)
    for phase in ("staging", "ready", "committing", "trial", "reverting", "cleaning"):
        if state["phase"] != request.param:
            save(root, state, phase)
    assert load(root)["phase"] == request.param
    return root, state


@pytest.mark.parametrize("after", [*MOVES, "done", ""])
def test_a_phase_that_may_not_follow_is_refused_and_nothing_is_written(board, after):
    """With no phase, the state is saved in the one that it has, where that may follow itself."""
    root, state = board
    was = load(root)
    follows = after or state["phase"]
    if follows in MOVES[state["phase"]]:
        save(root, state, after)
        assert load(root)["phase"] == follows and load(root)["n"] == was["n"] + 1
    else:
        with pytest.raises(ValueError, match=f"phase {follows} cannot follow {was['phase']}"):
            save(root, state, after)
        assert load(root) == was
