"""Wrong software: a sound release, of the right key, that is not for this board."""

import pytest

from .scene import KINDS, V1, V2, V3, Publisher, siege

WRONG = {
    "project": ({"project": "other"}, "PolicyError: project is 'other', this board's is 'sample'"),
    "platform": ({"requires": {"platform": ["esp32"]}}, "PolicyError: this board is 'linux'; the release is for ['esp32']"),
    "mpy": ({"requires": {"mpy": 5}}, "PolicyError: .mpy version is 6, the release has 5"),
    "machine": ({"requires": {"arch": [10]}}, "PolicyError: machine code is for ['xtensawin'], this board runs x64"),
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


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_of_another_channel_under_the_name_of_ours_is_refused_before_any_file(tmp_path, kind):
    """Of the same project, with a good signature; a manifest that names its channel, as here, is of no other."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1, says_channel=True)}
    beta = publisher.publish(V3, 2, "beta", says_channel=True)
    trees["v2"] = publisher.publish(V2, 3, says_channel=True)
    trees["bad"] = {**trees["v2"], **beta, "stable.manifest": beta["beta.manifest"]}
    if kind == "tuf":  # with the metadata of then, which names both; the board's own have no beta
        trees["bad"].update(publisher.metadata())
    (one,) = siege(publisher, trees)
    if kind == "tuf":
        assert one["said"].startswith("SignatureError: manifest v1.0.2: ") and "the target is" in one["said"], one["said"]
    else:
        assert one["said"] == "PolicyError: channel is 'beta', this board follows 'stable'"
    assert not [asked for asked in one["asked"] if asked.startswith("blobs/")]
