"""Expired by delay: what is staged in part expires before the rest comes."""

import pytest
from tuf_repository import days

from .scene import KINDS, V1, V2, V3, Publisher, Site, on_board

DELAY = """
power_up_with_root()
install("v1")
before = live()
steps = updater("bad").steps()
while status()["phase"] != "staging":
    next(steps)
next(steps)
steps.close()
clock(*JOB["clock"])
one = attempt("bad")
boot(2)
same = live() == before
phase = status()["phase"]
sys.modules["time"] = time
last = install("v2")
tell(said=one["said"], ready=one["ready"], same=same, phase=phase, last=last["said"], main=live()["main.py"])
"""


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_staged_in_part_and_has_expired_is_dropped_also_when_the_server_says_that_nothing_changed(tmp_path, kind):
    """The server answers the second check with 304: only what the board has says when it expires."""
    publisher = Publisher(tmp_path, kind)
    now = int(days(0).timestamp())
    trees = {"v1": publisher.publish(V1, 1), "bad": publisher.publish(V2, 2, expires=now + 100), "v2": publisher.publish(V3, 3)}
    with Site(trees) as site:
        facts = on_board(publisher, site, DELAY, clock=(now + 101, 1970), heap="4M")
    assert "expired" in facts["said"] and not facts["ready"]
    assert facts["same"] and facts["phase"] == "idle"
    assert facts["last"] == "no error" and facts["main"] == "main 3"
