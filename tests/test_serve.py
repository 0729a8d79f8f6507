"""`ota serve`: the real server, over real connections."""

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from queue import SimpleQueue

import pytest
from missing import program
from support import ROOT, run_mp

from ota_host.server import WAITING, listen, serve

MANIFEST = b'{"ota":1}\n' * 40
BLOB = bytes(range(256)) * 1000
NAME = hashlib.sha256(BLOB).hexdigest()
BLOB_PATH = f"/sample/blobs/{NAME[:2]}/{NAME}"
# The smaller forms of a content.
FORMS = [BLOB_PATH + ".z", "/sample/deltas/0123456789abcdef-fedcba9876543210"]
FORM = b"\x48\xc7 a zlib stream"


def start(root, *words):
    """The process of a server on a free port, and its first line."""
    command = [sys.executable, "-m", "ota_host.cli", "serve", str(root), "--port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline()


def stop(process):
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=20)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A served folder beside a secret one."""
    above = tmp_path_factory.mktemp("serve")
    (above / "secret").write_text("secret")
    root = above / "public"
    blob = root / BLOB_PATH[1:]
    blob.parent.mkdir(parents=True)
    blob.write_bytes(BLOB)
    (root / "sample/deltas").mkdir()
    for path in FORMS:
        (root / path[1:]).write_bytes(FORM)
    (root / "sample/stable.manifest").write_bytes(MANIFEST)
    (root / "sample/version").write_bytes(b"v1.0.0")
    (root / "sample/v1.0.0+rollback.2_main.py").write_bytes(b"x = 1\n")
    (root / "sample/.lock").write_text("")
    (root / "out").symlink_to(above / "secret")
    return root


@pytest.fixture(scope="module")
def port(tree):
    process, line = start(tree, "--json")
    yield json.loads(line)["port"]
    stop(process)


@pytest.fixture
def get(port):
    """Asks on one connection: get(path, method, **headers) -> (response, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(path, method="GET", **headers):
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response, response.read()

    ask.connection = connection
    yield ask
    connection.close()


def test_a_content_comes_whole_with_its_hash_as_its_tag_and_is_cacheable_for_ever(get):
    """Blobs never change."""
    response, body = get(BLOB_PATH)
    assert (response.status, response.version, body) == (200, 11, BLOB)
    assert response.headers["etag"] == f'"{NAME}"'
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-length"] == str(len(BLOB))
    assert response.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("path", FORMS, ids=["z", "patch"])
def test_a_smaller_form_comes_as_it_is_and_is_cacheable_for_ever(get, path):
    """A board unpacks it itself, so it is no encoding of something else."""
    response, body = get(path, Accept_Encoding="gzip, deflate, compress")
    assert (response.status, body) == (200, FORM)
    assert response.headers["content-encoding"] is None
    assert response.headers["etag"] == f'"{hashlib.sha256(FORM).hexdigest()}"'
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert get(path, Range="bytes=5-")[1] == FORM[5:]


def test_a_manifest_has_a_strong_tag_and_is_asked_for_every_time(get):
    """304 is the one request that decides "nothing new"."""
    response, body = get("/sample/stable.manifest")
    etag = response.headers["etag"]
    assert (response.status, body, response.headers["cache-control"]) == (200, MANIFEST, "no-cache")
    assert etag == f'"{hashlib.sha256(MANIFEST).hexdigest()}"'
    response, body = get("/sample/stable.manifest", If_None_Match=etag)
    assert (response.status, body, response.headers["etag"]) == (304, b"", etag)
    response, body = get("/sample/stable.manifest", If_None_Match='"other"')
    assert (response.status, body) == (200, MANIFEST)


def test_a_replaced_manifest_has_another_tag_at_once(tree, get):
    """Also when size and time stay the same: the old tag gets the new content."""
    path = tree / "sample/beta.manifest"
    path.write_bytes(b"1")
    old = get("/sample/beta.manifest")[0].headers["etag"]
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    (tree / "new").write_bytes(b"2")
    os.utime(tree / "new", ns=times)
    os.replace(tree / "new", path)
    response, body = get("/sample/beta.manifest", If_None_Match=old)
    assert (response.status, body) == (200, b"2")


@pytest.mark.parametrize("path", ["/sample/stable.manifest", BLOB_PATH], ids=["manifest", "blob"])
@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        pytest.param("bytes=100-", 100, None, id="from"),
        pytest.param("bytes=0-9", 0, 10, id="part"),
        pytest.param("bytes=-7", -7, None, id="end"),
        pytest.param("bytes=390-99999999", 390, None, id="beyond"),
    ],
)
def test_a_range_is_answered_206_with_just_that(get, path, wanted, first, last):
    """A board goes on where the link broke."""
    whole = MANIFEST if "manifest" in path else BLOB
    response, body = get(path, Range=wanted)
    assert (response.status, body) == (206, whole[first:last])
    start = first % len(whole)
    assert response.headers["content-range"] == f"bytes {start}-{start + len(body) - 1}/{len(whole)}"
    assert response.headers["content-length"] == str(len(body))


def test_a_range_past_the_end_is_416_with_the_size(get):
    """A board that has it all asks for nothing."""
    response, _ = get(BLOB_PATH, Range=f"bytes={len(BLOB)}-")
    assert (response.status, response.headers["content-range"]) == (416, f"bytes */{len(BLOB)}")


def test_if_range_gives_the_part_for_the_same_content_and_the_whole_for_another(get):
    """Two halves of two releases never meet."""
    etag = get("/sample/stable.manifest")[0].headers["etag"]
    response, body = get("/sample/stable.manifest", Range="bytes=10-", If_Range=etag)
    assert (response.status, body) == (206, MANIFEST[10:])
    response, body = get("/sample/stable.manifest", Range="bytes=10-", If_Range='"other"')
    assert (response.status, body) == (200, MANIFEST)
    response, body = get("/sample/stable.manifest", Range="bytes=10-", If_Range="W/" + etag)
    assert (response.status, body) == (200, MANIFEST)


def test_head_has_the_headers_and_no_body(get):
    """And the connection can be used for the next request."""
    response, body = get(BLOB_PATH, "HEAD")
    assert (response.status, body, response.headers["content-length"]) == (200, b"", str(len(BLOB)))
    assert get("/sample/version")[1] == b"v1.0.0"


def test_many_requests_go_over_one_connection(get):
    """Also after a 304 and a 404."""
    get("/sample/version")
    sock = get.connection.sock
    for path, status in (("/sample/none", 404), (BLOB_PATH, 200), ("/sample/stable.manifest", 200)):
        assert get(path)[0].status == status
    assert get("/sample/version", If_None_Match="*")[0].status == 304
    assert get.connection.sock is sock and sock is not None


def test_a_plus_in_a_name_is_a_plus(get):
    """Versions with build metadata have one."""
    assert get("/sample/v1.0.0+rollback.2_main.py")[1] == b"x = 1\n"
    assert get("/sample/v1.0.0%2Brollback.2_main.py")[1] == b"x = 1\n"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/sample/../../secret",
        "/%2e%2e/secret",
        "/sample/..%2f..%2fsecret",
        "/sample/%2e%2e%5c%2e%2e%5csecret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/out",
        "/sample/.lock",
        "/sample/%00",
        "/sample",
        "/",
        "/" + "x" * 5000,
    ],
)
def test_what_is_not_below_the_folder_is_404(get, path):
    """No way up, no link out, no hidden file, no listing."""
    response, body = get(path)
    assert response.status == 404 and b"secret" not in body


def test_nothing_can_be_written(get):
    """It serves files, and nothing else."""
    for method in ("POST", "PUT", "DELETE"):
        assert get("/sample/version", method)[0].status == 405


def test_each_request_is_a_line_of_json(tree):
    """Who, what, status, bytes, milliseconds; and Ctrl-C is a good end."""
    process, first = start(tree, "--json")
    connection = http.client.HTTPConnection("127.0.0.1", json.loads(first)["port"], timeout=20)
    connection.request("GET", "/sample/version", headers={"User-Agent": "board 7"})
    connection.getresponse().read()
    out, err = stop(process)
    (line,) = map(json.loads, out.splitlines())
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "client": "127.0.0.1",
        "agent": "board 7",
        "method": "GET",
        "path": "/sample/version",
        "status": 200,
        "bytes": 6,
    }
    assert (err, process.returncode) == ("", 0)


def test_each_request_is_a_line_to_read(tree):
    """What a client sends cannot draw on the terminal."""
    process, _ = start(tree)
    number = int(process.stdout.readline().split("127.0.0.1:")[1].split("/")[0])
    with socket.create_connection(("127.0.0.1", number), 20) as sock:
        sock.sendall(b"GET /sample/none?[red]%1b HTTP/1.1\r\nHost: x\r\nUser-Agent: [bold]\x9b\r\nConnection: close\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 404")
    out, _ = stop(process)
    *_, line = out.splitlines()
    assert line.startswith("127.0.0.1 ([bold]?)  GET /sample/none  404  ")


BOARD = """
import json, os
import ota
from ota import HttpTransport, Updater
print(Updater(HttpTransport(json.loads(os.getenv("ARGS"))[0])).run(reset=False))
ota.boot()
ota.confirm()
ota.boot()
print(ota.status()["version"])
"""


def test_a_board_goes_forward_and_back_by_what_is_published_and_served(tmp_path):
    """publish, serve, install, rollback: the whole way, on the real MicroPython."""
    source, board = tmp_path / "src", tmp_path / "board"
    (source / "lib").mkdir(parents=True)
    board.mkdir()
    (source / "boot.py").write_text("import ota\nota.boot()\n")
    (source / "lib/a b+é.txt").write_text("one")
    (tmp_path / "ota.toml").write_text('project = "sample"\n')

    def ota(*words):
        command = [sys.executable, "-m", "ota_host.cli", *words, "--config", str(tmp_path / "ota.toml")]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def update():
        said = run_mp(BOARD, f"http://127.0.0.1:{number}/sample", cwd=board).stdout.splitlines()
        out = [line for line in said if not line.startswith("ota:")]
        return *out, (board / "lib/a b+é.txt").read_text()

    ota("publish", "--version", "v1.0.0")
    process, first = start(tmp_path / "public", "--json")
    number = json.loads(first)["port"]
    try:
        assert update() == ("True", "v1.0.0", "one")
        assert update() == ("False", "v1.0.0", "one")
        (source / "lib/a b+é.txt").write_text("two")
        ota("publish", "--version", "v1.0.1")
        assert update() == ("True", "v1.0.1", "two")
        ota("rollback")
        assert update() == ("True", "v1.0.0+rollback.3", "one")
    finally:
        out, _ = stop(process)
    asked = [(line["path"].split("/")[2], line["status"]) for line in map(json.loads, out.splitlines())]
    manifest, blob = ("stable.manifest", 200), ("blobs", 200)
    short = ("stable.d", 200)
    # A line is written when its answer has gone out; the next request may have ended by then.
    assert sorted(asked) == sorted([manifest, blob, blob, short, short, blob, short, blob])


def test_an_answer_is_sent_at_once(port):
    """Nagle's algorithm would hold each body back for 40 ms; a board fetches many small files."""
    with listen("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP  # what asyncio looks at
    took = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in range(60):
        start = time.perf_counter()
        connection.request("GET", "/sample/version")
        connection.getresponse().read()
        took.append(time.perf_counter() - start)
    connection.close()
    assert sorted(took)[20] < 0.03


def queue(sock):
    """Of a listening socket of Linux: how many connections wait, and how many may (include/uapi/linux/tcp.h)."""
    return struct.unpack_from("II", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_a_board_is_answered_while_hundreds_that_came_later_still_wait(tree):
    """And all of them may wait, though only a few are taken at a time."""
    busy, go_on, asked = threading.Event(), threading.Event(), SimpleQueue()

    def tell(entry):
        asked.put((entry["path"], *queue(sock)))
        busy.set()
        assert go_on.wait(20)

    sock = listen("127.0.0.1", 0)
    address = sock.getsockname()
    threading.Thread(target=serve, args=(tree, sock, tell), daemon=True).start()
    ask = "HEAD /sample/%s HTTP/1.1\r\nHost: x\r\n\r\n"
    boards = [socket.create_connection(address, timeout=20)]
    boards[0].sendall((ask % "version").encode())
    assert busy.wait(20)
    boards += [socket.create_connection(address, timeout=20) for _ in range(400)]
    boards[1].sendall((ask % "stable.manifest").encode())
    go_on.set()
    assert boards[1].recv(12) == b"HTTP/1.1 200"
    for board in boards:
        board.close()
    (_, none, most), (path, waiting, _) = asked.get(timeout=20), asked.get(timeout=20)
    assert path == "/sample/stable.manifest"
    assert (none, waiting > 0) == (0, True)
    with open("/proc/sys/net/core/somaxconn") as f:
        assert most == min(WAITING, int(f.read()))


def test_an_address_in_use_is_one_line_and_exit_code_3(tree):
    """It names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "ota_host.cli", "serve", str(tree), "--port", number]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"error: cannot listen on 127.0.0.1 port {number}: Address already in use\n"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture
def nginx(tree, tmp_path):
    """nginx with the block of the how-to, on a free port: its port."""
    command = program("nginx")
    block = re.search(r"```nginx\n(.*?)```", (ROOT / "docs/how-to/web-servers.md").read_text(), re.S)[1]
    number = free_port()
    block = block.replace("listen 8080;", f"listen 127.0.0.1:{number};").replace("/srv/ota", str(tree))
    scratch = "".join(
        f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # As root, its workers would be another user, who may not read the tests' folder.
    user = "user root;" if os.name == "posix" and os.geteuid() == 0 else ""
    head = f"daemon off; {user} pid {tmp_path}/pid; error_log stderr; events {{}}"
    (tmp_path / "nginx.conf").write_text(f"{head} http {{ access_log off; {scratch} {block} }}")
    process = subprocess.Popen([command, "-p", tmp_path, "-c", "nginx.conf", "-e", "stderr"])
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", number), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield number
    process.terminate()
    process.wait(20)


def test_the_nginx_of_the_how_to_does_what_boards_need(nginx, tree):
    """The table of headers, a range, a 304, no hidden file."""
    connection = http.client.HTTPConnection("127.0.0.1", nginx, timeout=20)

    def ask(path, **headers):
        connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response, response.read()

    response, body = ask("/sample/stable.manifest")
    assert (body, response.headers["cache-control"]) == (MANIFEST, "no-cache")
    etag = response.headers["etag"]
    assert ask("/sample/stable.manifest", If_None_Match=etag)[0].status == 304
    response, body = ask(BLOB_PATH, Range="bytes=1000-", If_Range=ask(BLOB_PATH)[0].headers["etag"])
    assert (response.status, body) == (206, BLOB[1000:])
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    for path in FORMS:
        response, body = ask(path, Accept_Encoding="gzip, compress")
        assert (body, response.headers["content-encoding"]) == (FORM, None)
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert ask("/sample/.lock")[0].status == 404
    assert ask("/sample/v1.0.0+rollback.2_main.py")[1] == b"x = 1\n"
    connection.close()


def test_the_upload_of_the_how_to_copies_the_tree_in_the_order_of_its_rules(tree, tmp_path):
    """Contents, then releases and `version`, then the channels; nothing of the publisher."""
    program("rsync")
    text = (ROOT / "docs/how-to/web-servers.md").read_text()
    lines = re.search(r"```sh\n(.*?)```", text, re.S)[1].strip().splitlines()
    (tree / "sample/releases").mkdir(exist_ok=True)
    (tree / "sample/releases/v1.0.0.manifest").write_bytes(MANIFEST)
    seen = []
    for line in lines:
        command = line.replace("web:/srv/ota/", f"{tmp_path}/").replace("public/", f"{tree}/")
        subprocess.run(command, shell=True, check=True)
        seen.append({p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()})
    assert BLOB_PATH[1:] in seen[0]
    assert not {n for n in seen[0] if n.endswith(("manifest", "version"))}
    assert {"sample/version", "sample/releases/v1.0.0.manifest"} <= seen[1]
    assert "sample/stable.manifest" in seen[2] - seen[1]
    assert "sample/.lock" not in seen[2]


def test_the_addresses_of_all_networks_are_ready_to_paste(tmp_path, capsys):
    """0.0.0.0 is no address that a board can ask; names of projects are known."""
    from pathlib import Path

    from ota_host import show
    from ota_host.server import addresses

    assert addresses("192.168.2.1") == ["192.168.2.1"] and addresses("fd00::1") == ["[fd00::1]"]
    found = addresses("0.0.0.0")
    assert found and all(re.fullmatch(r"\d+\.\d+\.\d+\.\d+", address) for address in found) and "0.0.0.0" not in found
    (tmp_path / "one").mkdir()
    (tmp_path / "one/stable.manifest").write_text("")
    show.serving(Path(tmp_path), ["http://192.168.2.1:8000"], "0.0.0.0")
    assert capsys.readouterr().out == f"serving {tmp_path}; Ctrl-C ends it\n  http://192.168.2.1:8000/one\n"
    show.serving(Path(tmp_path), ["http://127.0.0.1:8000"], "127.0.0.1")
    assert capsys.readouterr().out.endswith("only this PC reaches it; for boards: ota serve --host 0.0.0.0\n")
