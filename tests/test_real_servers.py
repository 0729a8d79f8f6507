"""A board and the servers that people have: nginx, Apache, lighttpd, Caddy, buckets; as they come, and as the page says."""

import contextlib
import functools
import http.client
import http.server
import random
import re
import threading

import pytest
from servers import Relay, apache, caddy, lighttpd, moto, nginx, rclone
from support import ROOT, release, told_by
from test_docs import BLOCK

PAGE = (ROOT / "docs/how-to/web-servers.md").read_text()
OLD = {"main.py": b"x = 1\n" + b"print('some text that packs well')\n" * 300, "boot.py": b"import ota\n"}
NEW = {
    "main.py": OLD["main.py"].replace(b"x = 1", b"x = 2"),
    "boot.py": b"import ota\n",
    "lib/new.py": b"def f():\n    return 1\n" * 200,
    "pages/index.html": b"<html>text of a page</html>\n" * 40,
}
BOARD = """
from world import *
from ota.transports.http import HttpTransport
def over(tree, retries=0):
    u = updater("")
    u.transport = HttpTransport(ARGS[0] + "/" + tree, timeout=5, retries=retries)
    u.transport.backoff_ms = 1
    return u
def end():
    boot(2)
    confirm()
    return {path: data for path, data in ramflash.tree().items() if ".ota-" not in path}
"""


def block(language):
    """The configuration of the page for one server."""
    (found,) = [text for name, text in BLOCK.findall(PAGE) if name == language]
    return found


@contextlib.contextmanager
def nginx_of(folder, inside="listen 127.0.0.1:{port};"):
    with nginx(folder.parent, inside) as port:
        yield f"http://127.0.0.1:{port}"


def nginx_of_the_page(folder):
    inside = re.search(r"server \{\n(.*)\n\}", block("nginx"), re.S)[1]
    return nginx_of(folder, inside.replace("listen 8080", "listen 127.0.0.1:{port}").replace("root /srv/ota;", ""))


def apache_of_the_page(folder):
    return apache(folder, block("apache").replace("/srv/ota", "{folder}/www"))


def lighttpd_of_the_page(folder):
    return lighttpd(folder, re.sub(r'server.document-root.*\n', "", block("lighttpd")))


def caddy_of_the_page(folder):
    inside = re.search(r"\{\n(.*)\n\}", block("caddy"), re.S)[1]
    return caddy(folder, inside.replace("root * /srv/ota", "").replace("file_server", ""))


@contextlib.contextmanager
def python(folder):
    """HTTP/1.0, no tags, no ranges."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


PACKS = "SetOutputFilter DEFLATE\nAddOutputFilterByType DEFLATE text/html text/plain application/octet-stream\n"
# The server, how many forms of a file it gives wrongly, whether it has tags, and ranges.
SERVERS = {
    "nginx": (nginx_of, 0, True, True),
    "nginx of the page": (nginx_of_the_page, 0, True, True),
    "nginx that packs": (lambda www: nginx_of(www, "listen 127.0.0.1:{port}; gzip on; gzip_types *; gzip_min_length 1;"), 0, True, True),
    "Apache": (apache, 0, True, True),
    "Apache of the page": (apache_of_the_page, 0, True, True),
    "Apache that takes .z for compress": (lambda www: apache(www, "AddEncoding x-compress .Z\nAddEncoding x-gzip .gz .tgz\n"), 2, True, True),
    "Apache that negotiates": (lambda www: apache(www, "<Directory {folder}/www>\nOptions +MultiViews\n</Directory>\n"), 0, True, True),
    "Apache that packs": (lambda www: apache(www, PACKS), 0, True, True),
    "lighttpd": (lighttpd, 0, False, True),
    "lighttpd of the page": (lighttpd_of_the_page, 0, True, True),
    "Caddy": (caddy, 0, True, True),
    "Caddy of the page": (caddy_of_the_page, 0, True, True),
    "Caddy that packs": (lambda www: caddy(www, "encode gzip zstd"), 0, True, True),
    "rclone serve s3": (rclone, 0, True, True),
    "moto": (moto, 0, True, True),
    "http.server of Python": (python, 0, False, False),
}


@pytest.fixture
def www(tmp_path):
    """`one` and `two` are what a server has before and after the second release."""
    release(tmp_path / "www" / "one", OLD)
    release(tmp_path / "www" / "two", NEW, version="v1.0.1", seq=2, before=OLD)
    return tmp_path / "www"


@pytest.mark.parametrize(("serve", "wrong", "tags", "ranges"), SERVERS.values(), ids=SERVERS)
def test_a_board_installs_two_releases_from_the_server_and_then_has_nothing_to_do(www, serve, wrong, tags, ranges):
    """What is smaller comes where the server gives it as it is; with tags, an idle poll is one request and one 304."""
    script = """
power_up(blocks=128)
over("one").run(reset=False)
one = end()
over("two").run(reset=False)
told = [event for event, _ in EVENTS if event in ("fallback", "retry")]
two = end()
over("two").run(reset=False)
relay = HttpTransport(ARGS[0] + "/one", retries=0)
said = error(relay.open, "forget")
again = over("two").run(reset=False)
tell(one=one, two=two, told=told, said=said, again=again, last=EVENTS)
"""
    with serve(www) as url, Relay(url) as relay:
        facts = told_by(BOARD + script, relay.url, heap="8M")
        polls = [heard for heard, _ in relay.heard if "/two/stable.manifest" in heard]
    assert facts["one"] == {p: d.decode() for p, d in OLD.items()}
    assert facts["two"] == {p: d.decode() for p, d in NEW.items()}
    assert facts["told"] == ["fallback"] * wrong
    assert facts["said"].startswith("NotFoundError: GET ") and facts["again"] is False
    assert facts["last"] == [["current", None if tags else "v1.0.1"]]
    assert len(polls) == 3 and ("If-None-Match" in polls[2]) == tags


@pytest.mark.parametrize(("serve", "wrong", "tags", "ranges"), SERVERS.values(), ids=SERVERS)
def test_a_download_that_breaks_off_goes_on_where_it_broke_off_and_ends_in_the_right_bytes(tmp_path, serve, wrong, tags, ranges):
    """Twice; where the server cannot begin in the middle, it all comes again."""
    data = random.Random(7).randbytes(60_000).hex().encode()
    release(tmp_path / "www" / "sample", {"main.py": data})
    script = """
power_up(blocks=128)
ready = over("sample", 3).run(reset=False)
tell(ready=ready, same=ramflash.read("main.py.ota-new") == open(ARGS[1], "rb").read())
"""
    (blob,) = (tmp_path / "www").glob("sample/blobs/*/*")
    with serve(tmp_path / "www") as url, Relay(url, cuts=[50_000, 30_000]) as relay:
        facts = told_by(BOARD + script, relay.url, blob, heap="8M")
        asked = [heard for heard in relay.heard if "/blobs/" in heard[0]]
    assert facts == {"ready": True, "same": True}
    starts = [int(re.search(r"Range: bytes=(\d+)-", heard)[1]) for heard, _ in asked[1:]]
    assert len(asked) == 3 and 40_000 < starts[0] <= starts[1]
    assert (asked[-1][1] < 60_000) == ranges


@pytest.mark.parametrize("name", [name for name in SERVERS if "of the page" in name])
def test_a_server_set_up_as_the_page_says_gives_what_the_page_promises(tmp_path, name):
    """Tags, ranges and times to keep for caches, nothing that is hidden, and an idle poll of at most 400 bytes both ways."""
    root = tmp_path / "www"
    release(root / "sample", NEW)
    (root / ".hidden").write_text("x")
    blob = min(root.glob("sample/blobs/*/*")).relative_to(root).as_posix()
    script = """
power_up(blocks=128)
for _ in range(3):
    u = over("sample")
    u.run(reset=False)
    u.transport.close()
    end()
tell(last=EVENTS)
"""
    with SERVERS[name][0](root) as url, Relay(url) as relay:
        facts = told_by(BOARD + script, relay.url, heap="8M")
        request, down = relay.heard[-1]

        def get(path):
            connection = http.client.HTTPConnection(url[7:])
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers

        (status, manifest), (_, content) = get("/sample/stable.manifest"), get("/" + blob)
        assert get("/.hidden")[0] in (403, 404)
    assert facts["last"] == [["current", None]] and "If-None-Match" in request and len(request) + down <= 400
    assert status == 200 and manifest["ETag"] and content["ETag"] and content["Accept-Ranges"] == "bytes"
    assert not manifest["Content-Encoding"] and not content["Content-Encoding"]
    assert (manifest["Cache-Control"], content["Cache-Control"]) == ("no-cache", "public, max-age=31536000, immutable")
