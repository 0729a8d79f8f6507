"""Extraneous files: what the manifest does not list is never asked for."""

import pytest

from .scene import KINDS, V1, V2, Publisher, Site, blob, on_board


def wanted(tree, old, new):
    """What a board asks for that goes from the files `old` to `new`, in order."""
    metadata = []
    if any(name.startswith("tuf/") for name in tree):
        metadata = ["tuf/2.root.json", "tuf/timestamp.json", "tuf/3.snapshot.json", "tuf/3.targets.json"]
    return metadata + ["stable.manifest"] + [blob(new[p]) for p in sorted(new) if new[p] != old.get(p)]


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_the_manifest_does_not_list_are_never_asked_for(tmp_path, kind):
    """Other releases, other channels, legacy files, metadata of roles that nobody delegated to."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    want = wanted(trees["v2"], V1, V2)
    extra = ["evil.py", "version", "v1.0.2_main.py", "beta.manifest", "blobs/ab/" + "ab" * 32, "tuf/evil.json", "main.py"]
    trees["v2"].update({name: b"evil" for name in extra})
    with Site(trees) as site:
        facts = on_board(publisher, site, "siege()")
        assert site.of("v2") == want
        assert all(command == "GET" and "Content-Length" not in headers for command, headers in site.heard)
    assert facts["last"]["said"] == "no error" and "evil" not in str(facts["end"])
