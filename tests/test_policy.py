"""The rollout draw, and the rules that need no board."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import PolicyError
from ota.policy import bucket, judge

HEADER = {"project": "p", "version": "v2", "seq": 5}
STATE = {"floor": 4, "refused": 0}


def test_the_draw_is_even_even_on_sequential_device_ids():
    """Of 10,000 devices numbered in a row each tenth of the range gets its share."""
    tenths = [0] * 10
    for i in range(10_000):
        tenths[int(bucket("salt", "%08x" % i) * 10)] += 1
    assert 900 < min(tenths) and max(tenths) < 1100


@given(st.text(max_size=20), st.integers(0, 100), st.integers(0, 100))
def test_who_is_in_a_rollout_stays_in_when_it_widens(device, a, b):
    def within(percent):
        header = dict(HEADER, rollout={"percent": percent, "salt": "s"})
        return judge(header, STATE, "", device, 0) == ""

    if within(min(a, b)):
        assert within(max(a, b))


@pytest.mark.parametrize(("percent", "why"), [(0, "rollout"), (100, "")])
def test_nobody_is_in_at_0_percent_and_everybody_at_100(percent, why):
    header = dict(HEADER, rollout={"percent": percent, "salt": "s"})
    assert {judge(header, STATE, "", str(i), 0) for i in range(200)} == {why}


def test_the_first_four_bytes_of_the_hash_decide_big_endian():
    """The value that the format's description gives for one device, worked out by hand."""
    from hashlib import sha256

    first = sha256(b"saltdevice").digest()[:4]
    assert bucket("salt", "device") == int.from_bytes(first, "big") / 2**32


@pytest.mark.parametrize(
    ("seq", "state", "verdict"),
    [
        (5, {}, ""),
        (4, {}, "current"),
        (5, {"refused": 5}, "refused"),
        (5, {"refused": 6}, "refused"),
        (6, {"refused": 5}, ""),
        (5, {"refused": "v1.0.1"}, ""),
    ],
)
def test_a_release_is_taken_once_and_never_after_it_was_refused(seq, state, verdict):
    assert judge(dict(HEADER, seq=seq), {**STATE, **state}, "p", "", 0) == verdict


def test_expiry_counts_only_while_the_clock_is_set():
    """A board whose clock was never set cannot tell, and says nothing."""
    header = dict(HEADER, expires=1800000000)
    assert judge(header, STATE, "p", "", 0) == ""
    assert judge(header, STATE, "p", "", 1800000000) == ""
    with pytest.raises(PolicyError, match="expired at 1800000000, now is 1800000001"):
        judge(header, STATE, "p", "", 1800000001)


MINE = sys.implementation._mpy >> 10 & 15 if hasattr(sys.implementation, "_mpy") else 0


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        ({}, None),
        ({"arch": [MINE]}, None),
        ({"arch": [4, MINE, 5]}, None),
        ({"arch": [10]}, "machine code is for ['xtensawin'], this board runs none"),
        ({"arch": [4, 5, 8]}, "machine code is for ['armv6m', 'armv7m', 'armv7emdp'], this board runs none"),
        ({"arch": [15]}, "machine code is for [15], this board runs none"),
    ],
)
def test_machine_code_of_another_processor_is_refused_with_both_names(requires, said):
    """The numbers are those of `sys.implementation._mpy`: none is what a board without machine code has."""
    header = dict(HEADER, requires=requires)
    if not said:
        assert judge(header, STATE, "p", "", 0) == ""
        return
    with pytest.raises(PolicyError) as got:
        judge(header, STATE, "p", "", 0)
    assert str(got.value) == said


def test_the_names_of_the_processors_are_those_that_mpy_cross_knows():
    """In the order of their numbers, by the header of what it compiles for each."""
    import subprocess
    import tempfile

    from support import MICROPYTHON

    from ota.policy import _MACHINES

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/x.py"
        with open(source, "w") as f:
            f.write("@micropython.native\ndef f():\n    pass\n")
        for name in _MACHINES.split()[1:]:
            done = subprocess.run([MICROPYTHON.parent / "mpy-cross", f"-march={name}", "-o", f"{folder}/x.mpy", source], capture_output=True)
            if not done.returncode:
                with open(f"{folder}/x.mpy", "rb") as f:
                    found[name] = f.read(3)[2] >> 2 & 15
    assert len(found) >= 10
    assert found == {name: i for i, name in enumerate(_MACHINES.split()) if name in found}
