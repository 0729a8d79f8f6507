"""Half a library: a release without what the next boot needs to undo it."""

import pytest

from .scene import KINDS, V1, V2, Publisher, siege

HALVES = {
    "no bootguard": {"ota/__init__.py": b"", "ota/updater.py": b""},
    "no package": {"lib/ota/bootguard.mpy": b"M"},
    "somebody else's": {"ota.py": b"def boot(): pass\n"},
}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_release_without_what_the_next_boot_needs_is_refused_before_any_file(tmp_path, kind, half):
    publisher = Publisher(tmp_path, kind)
    bad = publisher.publish({**V2, **HALVES[half]}, 2)
    trees = {"v1": publisher.publish(V1, 1), "bad": bad, "v2": publisher.publish(V2, 3)}
    if kind == "tuf":  # its metadata go forward only
        trees = {"v1": publisher.publish(V1, 4), "bad": publisher.publish({**V2, **HALVES[half]}, 5), "v2": publisher.publish(V2, 6)}
    (one,) = siege(publisher, trees)
    assert one["said"].startswith("PolicyError: ") and "ota" in one["said"]
    assert not [name for name in one["asked"] if name.startswith("blobs/")]
