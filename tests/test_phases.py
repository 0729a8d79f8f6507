"""The table of phases in the docs and the one in the code are the same."""

import re

from support import ROOT

from ota.bootguard import MOVES


def test_the_phase_table_of_the_docs_equals_the_code():
    page = (ROOT / "docs/explanation/install.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|$", page, re.M)
    assert {phase: tuple(re.findall(r"`(\w+)`", after)) for phase, after in rows} == MOVES
