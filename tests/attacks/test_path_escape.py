"""Path escape: a manifest that names what lies outside of the release."""

import hashlib
import json

import pytest
from test_manifest import BAD_PATHS

from .scene import KINDS, V1, V2, Publisher, Site, on_board, siege

EVIL = b"evil"


def manifest(*paths):
    """A manifest of these paths as they are, right in all else."""
    rows = [{"ota": 1, "project": "sample", "version": "v9", "seq": 2, "files": len(paths), "size": 4 * len(paths)}]
    rows += [{"p": path, "s": 4, "h": hashlib.sha256(EVIL).hexdigest()} for path in paths]
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()


ORDERS = {"unsorted": ("b", "a"), "twice": ("a", "a")}


@pytest.mark.parametrize("fs", ["lfs2", "fat"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_path_that_leaves_the_root_or_touches_our_own_files_is_refused_before_any_file(tmp_path, kind, fs):
    """Signed or not: not even the publisher can name one."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1)}
    cases = {name: (path,) for name, path in BAD_PATHS.items()} | ORDERS
    for name, paths in cases.items():
        trees[name] = publisher.offer(manifest(*paths), {"x": EVIL})
    trees["v2"] = publisher.publish(V2, 3)
    for name, one in zip(cases, siege(publisher, trees, cases, fs=fs)):
        assert one["said"].startswith("ManifestError: manifest: path "), (name, one["said"])
        assert not [asked for asked in one["asked"] if asked.startswith("blobs/")]


CASE = """
power_up_with_root(kind=ARGS[1])
install("v1")
before = live()
said = attempt("bad")["said"]
boot(2)
tell(same=live() == before, said=said, last=install("v2")["said"], end=sorted(live()))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_two_paths_that_are_one_file_where_case_is_folded_install_nothing(tmp_path, kind):
    """On FAT the second would overwrite the first: refused before any file."""
    publisher = Publisher(tmp_path, kind)
    files = {"A.py": b"upper", "a.py": b"lower"}
    trees = {"v1": publisher.publish(V1, 1), "bad": publisher.publish(files, 2), "v2": publisher.publish(V2, 3)}
    with Site(trees) as site:
        facts = on_board(publisher, site, CASE, "fat")
    assert facts["said"] == "StorageError: A.py and a.py are one file on FAT; rename one"
    assert facts["same"] is True and facts["last"] == "no error"
    assert set(V2) <= set(facts["end"]) and "a.py" not in facts["end"]
