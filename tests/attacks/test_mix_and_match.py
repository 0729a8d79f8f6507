"""Mix and match: parts of different releases, each of them once good."""

import pytest

from .scene import KINDS, V1, V2, V3, Publisher, blob, siege


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_one_release_under_the_manifest_of_another_are_refused(tmp_path, kind):
    """v2's files for v3's manifest, all of them or one: v1 stays whole."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1)}
    publisher.publish(V2, 2)
    v3 = publisher.publish(V3, 3)
    old = {blob(V3[path]): V2[path] for path in ("main.py", "lib/a.py")}
    trees["all"] = {**v3, **old}
    trees["one"] = {**v3, blob(V3["main.py"]): V2["main.py"]}
    trees["v2"] = publisher.publish(V3, 4)
    told = siege(publisher, trees, ["all", "one"], end=V3)
    assert told[0]["said"].startswith("HashError: lib/a.py: sha256 is ")
    assert told[1]["said"].startswith("HashError: main.py: sha256 is ")


def test_a_manifest_of_one_release_under_the_metadata_of_another_is_refused(tmp_path):
    """Both ways; the hash in TUF's targets names one manifest."""
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1)}
    two, three = publisher.publish(V2, 2), publisher.publish(V3, 3)
    trees["older"] = {**three, "stable.manifest": two["stable.manifest"], **{blob(d): d for d in V2.values()}}
    trees["v2"] = three
    (one,) = siege(publisher, trees, ["older"], end=V3)
    assert one["said"].startswith("SignatureError: manifest v1.0.2: ") and "; the target is " in one["said"]
    assert not [name for name in one["asked"] if name.startswith("blobs/")]


@pytest.mark.parametrize("old", ["snapshot", "targets"])
def test_metadata_of_one_time_under_that_of_another_is_refused(tmp_path, old):
    """The file of before under the name of now."""
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1)}
    two, three = publisher.publish(V2, 2), publisher.publish(V3, 3)
    trees["bad"] = {**three, f"tuf/4.{old}.json": two[f"tuf/3.{old}.json"]}
    trees["v2"] = three
    (one,) = siege(publisher, trees, end=V3)
    # Signatures differ in length: what breaks first is the length or the hash.
    assert f"Error: tuf/4.{old}.json" in one["said"], one["said"]
    assert any(rule in one["said"] for rule in ("hash is ", "the limit is ", "bytes, not ")), one["said"]
    assert "stable.manifest" not in one["asked"]
