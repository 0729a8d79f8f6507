"""Path kind: a path that is to be a file and a folder at once, or is the other on the board."""

import pytest

from .scene import KINDS, V1, V2, V3, Publisher, siege


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("paths", [("data", "data/x"), ("data", "data.txt", "data/x")], ids=["next to", "apart"])
def test_a_path_below_another_one_of_the_same_release_is_refused_before_any_file(tmp_path, kind, paths):
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "bad": publisher.publish({**V2, **{p: b"x" for p in paths}}, 2)}
    trees["v2"] = publisher.publish(V2, 3)
    (one,) = siege(publisher, trees)
    assert one["said"] == "ManifestError: manifest: path 'data/x': is below the file 'data'"
    assert not [name for name in one["asked"] if name.startswith("blobs/")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_where_the_board_has_a_file_of_its_own_is_refused_and_blocks_no_later_release(tmp_path, kind):
    """The board of the scene has `mine.txt`, which no release names."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "bad": publisher.publish({**V2, "mine.txt/x": b"x"}, 2), "v2": publisher.publish(V3, 3)}
    (one,) = siege(publisher, trees, end=V3)
    assert one["said"] == "StorageError: mine.txt/x: mine.txt is in the way; move it"
    assert not [name for name in one["asked"] if name.startswith("blobs/")]
