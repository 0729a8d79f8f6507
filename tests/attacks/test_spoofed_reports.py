"""Spoofed reports: a board tells its server nothing that a server could believe."""

import pytest

from .scene import KINDS, V1, V2, Publisher, Site, on_board

HARMLESS = {"Host", "If-None-Match", "If-Range", "Range", "User-Agent"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_board_sends_get_requests_and_no_word_about_itself(tmp_path, kind):
    """No body, no id, no version, the same User-Agent of every board: the draw of a rollout is made on the board."""
    publisher = Publisher(tmp_path, kind)
    rollout = {"percent": 100, "salt": "s"}
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2, rollout=rollout)}
    with Site(trees) as site:
        facts = on_board(publisher, site, "siege()")
    assert facts["last"]["said"] == "no error"
    assert {command for command, _ in site.heard} == {"GET"}
    assert {name for _, headers in site.heard for name in headers} <= HARMLESS
    assert {headers["User-Agent"] for _, headers in site.heard} == {"mpota"}
