"""Captive portal: a login page, with status 200, whatever was asked for. For the legacy layout see tests/test_legacy_mended.py."""

import pytest

from .scene import KINDS, V1, V2, Publisher, Site, on_board

PAGE = b"<!DOCTYPE html>\n<html><head><title>Welcome</title></head>\n<body>Please log in</body></html>\n"
SAID = {
    "sha256": "ManifestError: manifest: line 1: is not a JSON object",
    "signed": "ManifestError: manifest: line 1: is not a JSON object",
    "tuf": "VerifyError: root metadata: ValueError(",
}


def serve(trees):
    """The trees, and two with a page: for every request, and for every one but small ones."""

    def answer(tree, name):
        if tree == "portal" or tree == "files" and name.startswith("blobs/"):
            return PAGE
        return trees["v2" if tree == "files" else tree].get(name)

    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_a_login_page_is_no_release_and_no_file(tmp_path, kind):
    """For every request, and for the files only."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    with Site(serve(trees)) as site:
        facts = on_board(publisher, site, "siege()", bad=["portal", "files"])
        asked = site.of("portal")
    portal, files = facts["told"]
    assert portal["said"].startswith(SAID[kind]), portal["said"]
    assert len(asked) == 1
    assert files["said"].startswith("HashError: ") or "the limit is " in files["said"], files["said"]
    assert all(one["live"] and one["booted"] and not one["ready"] for one in facts["told"])
    assert facts["last"]["said"] == "no error" and facts["end"]["main.py"] == "main 2"
