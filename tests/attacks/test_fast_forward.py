"""Fast-forward: the highest number there is, so that nothing newer can ever come."""

import json

import pytest
from support import release

from .scene import KINDS, V1, V2, Publisher, siege

MOST = 0x7FFFFFFF


@pytest.mark.parametrize("kind", KINDS)
def test_a_seq_above_the_most_is_refused(tmp_path, kind):
    """Of any number that does not fit 31 bits."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1)}
    for seq in (MOST + 1, 2**64, 10**300):
        trees[f"seq{len(str(seq))}"] = publisher.publish(V2, seq, version="v9")
    bad = list(trees)[1:]
    trees["v2"] = publisher.publish(V2, 2)
    for one in siege(publisher, trees, bad):
        assert one["said"].startswith("ManifestError: manifest: seq "), one["said"]
        assert one["said"].endswith(f": must be a whole number from 1 to {MOST}")


@pytest.mark.parametrize("kind", ["signed", "tuf"])
def test_a_forged_seq_at_the_most_does_not_raise_the_floor(tmp_path, kind):
    """Nor does a release that could not be had whole; only a confirmed one does."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    forged = release(tmp_path / "forger", V2, seq=MOST, version="v9")
    trees["bad"] = {**trees["v2"], "stable.manifest": forged}
    (one,) = siege(publisher, trees)
    assert one["said"].startswith("SignatureError: "), one["said"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_seq_at_the_most_that_never_ran_does_not_raise_the_floor(tmp_path, kind):
    """A mistake of the publisher is mended as long as no board confirmed it."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1)}
    trees["bad"] = {n: d for n, d in publisher.publish(V2, MOST).items() if not n.startswith("blobs/")}
    trees["v2"] = publisher.publish(V2, 2)
    (one,) = siege(publisher, trees)
    assert one["said"].startswith("NotFoundError: "), one["said"]


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_metadata_of_the_highest_version_by_a_stranger_is_refused(tmp_path, role):
    """And does not stand in the way of the right one; for stolen keys see the rotation in tests/test_tuf.py."""
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    name = "tuf/timestamp.json" if role == "timestamp" else f"tuf/3.{role}.json"
    whole = json.loads(trees["v2"][name])
    whole["signed"]["version"] = MOST
    trees["bad"] = {**trees["v2"], name: json.dumps(whole).encode()}
    (one,) = siege(publisher, trees)
    rule = "0 of 1 signatures hold" if role == "timestamp" else "the limit is "
    assert rule in one["said"] or one["said"].startswith(f"HashError: {name}: "), one["said"]
