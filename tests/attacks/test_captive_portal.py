"""Captive portal: a login page, with status 200, whatever was asked for. For the legacy layout see tests/test_legacy_mended.py."""

import threading

import pytest

from .scene import KINDS, V1, V2, Publisher, Site, on_board

PAGE = b"<!DOCTYPE html>\n<html><head><title>Welcome</title></head>\n<body>Please log in</body></html>\n"
SAID = {
    "sha256": "ManifestError: manifest: line 1: is not a JSON object but of a web page, {}/stable.manifest",
    "signed": "ManifestError: manifest: line 1: is not a JSON object but of a web page, {}/stable.manifest",
    "tuf": "VerifyError: {}/tuf/2.root.json is a web page",
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
    """For every request, and for the files only; the error says whose page it is."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    with Site(serve(trees)) as site:
        facts = on_board(publisher, site, "siege()", bad=["portal", "files"])
        asked = site.of("portal")
    portal, files = facts["told"]
    assert portal["said"] == SAID[kind].format(site.url + "/portal")
    assert len(asked) == 1
    assert files["said"].startswith("HashError: ") or "the limit is " in files["said"], files["said"]
    assert all(one["live"] and one["booted"] and not one["ready"] for one in facts["told"])
    assert facts["last"]["said"] == "no error" and facts["end"]["main.py"] == "main 2"


OPEN = """
import gc
power_up_with_root()
install("v1")
gc.collect()
gc.disable()
said = error(updater("portal").run, reset=False)
from ota.transports.http import HttpTransport
stream = HttpTransport(JOB["url"] + "/closed", retries=0).open("x")
answer = bytearray(3)
stream.readinto(answer)
tell(said=said, closed=bytes(answer))
"""


@pytest.mark.parametrize("kind", ["sha256", "signed"])
def test_a_check_that_failed_closes_its_connection_at_once(tmp_path, kind):
    """A board has few sockets, and asks a portal again and again."""
    publisher = Publisher(tmp_path, kind)
    v1 = publisher.publish(V1, 1)
    closed = threading.Event()

    def portal(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (10000, PAGE))
        request.connection.settimeout(5)
        if request.connection.recv(1) == b"":
            closed.set()

    def answer(tree, name):
        if tree == "closed":
            return b"yes" if closed.wait(3) else b"no "
        return portal if tree == "portal" else v1.get(name)

    with Site(answer) as site:
        facts = on_board(publisher, site, OPEN)
    assert facts["said"] == SAID[kind].format(site.url + "/portal")
    assert facts["closed"] == "yes"
