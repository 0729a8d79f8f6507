"""Clock poisoning: one signed time far ahead is to block every release that expires before it."""

import pytest
from tuf_repository import days

from .scene import V1, V2, V3, Publisher, Site, on_board

POISON = """
power_up_with_root()
install("v1")
updater("bad").run(reset=False)
boot(5)
undone = status()
last = install("v2")
tell(refused=undone["refused"], said=last["said"], main=live()["main.py"])
"""


@pytest.mark.parametrize("kind", ["signed", "tuf"])
def test_a_signed_time_far_ahead_of_a_release_that_was_never_confirmed_blocks_nothing(tmp_path, kind):
    """Signed on a PC whose clock was ten years ahead; a normal release that expires comes after it."""
    publisher = Publisher(tmp_path, kind)
    now = int(days(0).timestamp())
    trees = {
        "v1": publisher.publish(V1, 1, time=now),
        "bad": publisher.publish(V2, 2, time=now + 315360000),
        "v2": publisher.publish(V3, 3, time=now + 5, expires=now + 9999),
    }
    with Site(trees) as site:
        facts = on_board(publisher, site, POISON, heap="4M")
    assert facts == {"refused": 2, "said": "no error", "main": "main 3"}
