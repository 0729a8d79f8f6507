"""Wrong software: a sound release, of the right key, that is not for this board."""

import pytest

from .scene import KINDS, V1, V2, V3, Publisher, siege

WRONG = {
    "project": ({"project": "other"}, "PolicyError: project is 'other', this board's is 'sample'"),
    "platform": ({"requires": {"platform": ["esp32"]}}, "PolicyError: platform 'linux' is not of ['esp32']"),
    "mpy": ({"requires": {"mpy": 5}}, "PolicyError: .mpy version is 6, the release has 5"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_release_for_another_project_platform_or_abi_is_refused_before_any_file_is_asked_for(tmp_path, kind):
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1)}
    for name, (header, _) in WRONG.items():
        trees[name] = publisher.publish(V3, 2, **header)
    trees["v2"] = publisher.publish(V2, 3)
    for (name, (_, message)), one in zip(WRONG.items(), siege(publisher, trees, WRONG)):
        assert one["said"] == message, name
        assert [asked for asked in one["asked"] if asked.startswith("blobs/")] == []
