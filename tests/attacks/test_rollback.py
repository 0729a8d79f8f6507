"""Rollback: an older release again, also where the power failed in between."""

import pytest

from .scene import KINDS, V1, V2, V3, Publisher, Site, on_board, siege

REPLAY = """
from cuts import states

flash = power_up_with_root(blocks=JOB["blocks"])
install("v1")
image = bytes(flash.image)
flash.journal = []
install("v2")
journal = flash.journal
old, new = ARGS[1:3]
seen, bad, floors, between = set(), [], [], []

def judge(k, shape):
    boot(2)
    confirm()
    main = live()["main.py"].decode()
    floor = status()["floor"]
    one = attempt("v1")
    boot(2)
    confirm()
    after = live()["main.py"].decode()
    held = one["ready"] is False and after == main and status()["floor"] == floor
    # What was confirmed is whole, and a replay of the older one is told by its rule.
    told = "older than" in one["said"] if floor == 2 else one["said"] == "no error" or "older than" in one["said"]
    if not held or not told or main != (new if floor == 2 else old):
        bad.append([k, shape, main, floor, one["said"], after])
    floors.append(floor)
    if shape in (0, 4):  # whole operations, one after the other
        between.append(floor)

for k, shape in each_cut(states(image, journal, json.loads(ARGS[3])), seen):
    judge(k, shape)
tell(ops=len(journal), states=len(seen), bad=bad[:3], floors=[floors.count(1), floors.count(2)], falls=sum(a > b for a, b in zip(between, between[1:])))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_release_replayed_after_a_newer_one_is_refused_before_any_file(tmp_path, kind):
    """Whole, with all that its server had then."""
    publisher = Publisher(tmp_path, kind)
    bad = publisher.publish(V1, 1)
    trees = {"v1": publisher.publish(V2, 2), "bad": bad, "v2": publisher.publish(V3, 3)}
    (one,) = siege(publisher, trees, end=V3)
    if kind == "tuf":
        assert one["said"] == "VerifyError: timestamp metadata: version 2 is older than 3"
        assert "stable.manifest" not in one["asked"]
    else:
        assert one["said"] == "PolicyError: seq 1 is older than the floor 2"
        assert one["asked"] == ["stable.manifest"]


FAILED = """
power_up_with_root()
install("v1")
before = live()
told = []
for name in ("v2", "v3", "v2-again", "v3-again"):
    one = attempt(name, trial_boots=1)
    boot(3)  # nobody confirms
    told.append([one["ready"], one["events"][-1], live() == before, status()["refused"]])
tell(told=told, last=install("v4")["said"], end=live()["main.py"])
"""


@pytest.mark.parametrize("kind", ["sha256", "signed"])
def test_a_release_that_failed_is_not_brought_back_after_a_newer_one_failed_too(tmp_path, kind):
    """Both are above the floor; else an attacker could let a board fail for ever, one after the other."""
    publisher = Publisher(tmp_path, kind)
    trees = {f"v{seq}": publisher.publish({"main.py": b"main %d" % seq}, seq) for seq in (1, 2, 3, 4)}
    trees |= {"v2-again": trees["v2"], "v3-again": trees["v3"]}
    with Site(trees) as site:
        facts = on_board(publisher, site, FAILED)
    first, refused = [True, "ready", True], [False, "refused", True, 3]
    assert facts["told"] == [[*first, 2], [*first, 3], refused, refused]
    assert (facts["last"], facts["end"]) == ("no error", "main 4")


@pytest.mark.parametrize("kind", ["signed", "tuf"])
def test_after_a_cut_at_every_step_of_an_update_the_older_release_is_never_installed_again(tmp_path, kind):
    """From the first write of v2's manifest to the last of its confirmation: what is confirmed once stays."""
    replay_after_cuts(tmp_path, kind, [0, 2])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_after_a_torn_write_at_every_step_the_older_release_is_never_installed_again(tmp_path, kind):
    replay_after_cuts(tmp_path, kind, [0, 1, 2, 3, 4, 5])


def replay_after_cuts(tmp_path, kind, shapes):
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish({"main.py": b"one"}, 1), "v2": publisher.publish({"main.py": b"two"}, 2)}
    with Site(trees) as site:
        facts = on_board(publisher, site, REPLAY, "one", "two", shapes, blocks=48, heap="8M")
    assert facts["bad"] == [] and facts["ops"] > 12
    assert facts["falls"] == 0, "the floor never sinks from a cut to a later one"
    assert min(facts["floors"]) > 5, "cuts before and after the confirmation"
