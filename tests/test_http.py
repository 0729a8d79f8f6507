"""HTTP and HTTPS on the real MicroPython, against nginx and against servers that misbehave."""

import time

import pytest
import trustme
from servers import Wire, nginx, requests
from support import run_mp

CLIENT = """
import json, os
from ota.errors import OtaError
from ota.transports.http import HttpTransport
from ota.transports.https import HttpsTransport
ARGS = json.loads(os.getenv("ARGS"))
buffer = memoryview(bytearray(700))
def get(t, name, start=0, etag=None, limit=None):
    data = b""
    s = t.open(name, start, etag, limit)
    while True:
        n = s.readinto(buffer)
        if not n:
            s.close()
            return data
        data += bytes(buffer[:n])
def outcome(t, *args, **options):
    try:
        return "%d bytes" % len(get(t, *args, **options))
    except OtaError as e:
        return "%s: %s" % (type(e).__name__, e)
"""


def client(script, *args, **options):
    return run_mp(CLIENT + script, *args, **options).stdout.splitlines()


BIG = bytes(range(256)) * 200


@pytest.fixture
def www(tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "big").write_bytes(BIG)
    for i in range(6):
        (tmp_path / "www" / f"f{i}").write_bytes(b"%d" % i * 1000)
    return tmp_path


def test_many_files_come_over_one_connection(www):
    with nginx(www, "listen 127.0.0.1:{port};") as port:
        told = client(
            """
t = HttpTransport("http://127.0.0.1:%s" % ARGS[0])
print([len(get(t, "f%d" % i)) for i in range(6)])
""",
            port,
        )
    assert told == [str([1000] * 6)]
    assert len({connection for connection, *_ in requests(www)}) == 1


def test_a_connection_that_the_server_ends_is_opened_again_without_an_error(www):
    """nginx closes after two requests, and after a pause; no retry is needed for either."""
    with nginx(www, "listen 127.0.0.1:{port}; keepalive_requests 2; keepalive_timeout 1;") as port:
        told = client(
            """
import time
t = HttpTransport("http://127.0.0.1:%s" % ARGS[0], retries=0)
print([len(get(t, "f%d" % i)) for i in range(5)])
time.sleep(1.5)
print(len(get(t, "f5")))
""",
            port,
        )
    assert told == [str([1000] * 5), "1000"]


def test_range_and_etag_are_understood(www):
    with nginx(www, "listen 127.0.0.1:{port};") as port:
        told = client(
            """
t = HttpTransport("http://127.0.0.1:%s" % ARGS[0], retries=0)
s = t.open("big")
etag = s.etag
s.close()
print(get(t, "big", 51000) == bytes(range(256))[56:] * 1)
print(len(get(t, "big", 51100, etag)), len(get(t, "big", 51100, '"other"')))
print(outcome(t, "big", etag=etag))
print(outcome(t, "big", 51200))
""",
            port,
        )
    assert told[0] == "True"
    assert told[1] == "100 100"
    assert told[2].startswith("NotModified: ")
    assert "status 416" in told[3]
    statuses = [status for *_, status, _ in requests(www)]
    assert statuses == ["200", "206", "206", "200", "304", "416"]


def test_a_chunked_body_is_put_together(www):
    with nginx(www, "listen 127.0.0.1:{port}; gzip off; ssi on; ssi_types *;") as port:
        told = client(
            """
t = HttpTransport("http://127.0.0.1:%s" % ARGS[0], retries=0)
s = t.open("f1")
print(s.size)
print(get(t, "f1") == b"1" * 1000, get(t, "f2") == b"2" * 1000)
""",
            port,
        )
    assert told == ["None", "True True"]


def test_credentials_go_to_the_server_of_the_url_and_to_no_other(www, tmp_path):
    """Basic and Bearer are sent; after a redirect to another port they are not."""
    other = tmp_path / "other"
    (other / "www").mkdir(parents=True)
    (other / "www" / "f1").write_bytes(b"other")
    (www / "passwords").write_text("me:{PLAIN}secret\n")
    with nginx(other, "listen 127.0.0.1:{port};") as away:
        inside = f"""
        listen 127.0.0.1:{{port}}; location /away {{ return 302 http://127.0.0.1:{away}/f1; }}
        location /here {{ return 302 /f1; }}
        location = /f1 {{ auth_basic x; auth_basic_user_file {www}/passwords; }}
        """
        with nginx(www, inside) as port:
            told = client(
                """
url = "http://127.0.0.1:%s" % ARGS[0]
t = HttpTransport(url, user="me", password="secret")
print(len(get(t, "f1")), len(get(t, "here")), get(t, "away"))
print(outcome(HttpTransport(url), "f1"), outcome(HttpTransport(url, token="abc"), "f1"))
""",
                port,
            )
    assert told[0] == "1000 1000 b'other'"
    assert told[1].count("status 401") == 2
    assert [line[4] for line in requests(other)] == ['"-"']
    assert '"Bearer abc"' in [line[4] for line in requests(www)]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/loop", "over 5 redirects"),
        ("https://127.0.0.1/x", "HttpTransport needs HttpsTransport"),
        ("ftp://127.0.0.1/x", "HttpTransport needs http://"),
        ("", "over 5 redirects"),
    ],
)
def test_a_redirect_that_leads_nowhere_good_is_an_error(location, message):
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    with Wire(answer) as wire:
        (told,) = client('print(outcome(HttpTransport(ARGS[0], retries=0), "loop"))', wire.url)
    assert message in told


HEAD = b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\n"
LENGTH = HEAD + b"Content-Length: 10\r\n\r\n0123456789"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\nT: x\r\n\r\n"


@pytest.mark.parametrize("whole", [LENGTH, CHUNKS], ids=["length", "chunked"])
def test_a_response_cut_at_any_byte_is_an_error_and_never_a_short_body(whole):
    """The connection ends after each byte of status line, headers, chunk sizes and body in turn."""
    cuts = [whole[:i] for i in range(len(whole))]
    with Wire(*cuts, whole) as wire:
        told = client(
            """
t = HttpTransport(ARGS[0], retries=0)
for i in range(int(ARGS[1])):
    print(outcome(t, "x"))
""",
            wire.url,
            len(whole) + 1,
        )
    assert told.pop() == "10 bytes"
    assert len(told) == len(whole)
    assert {line.split(":")[0] for line in told} == {"TransportError"}


BROKEN = {
    "not-http": (b"SSH-2.0-x\r\n\r\n", "is not HTTP"),
    "no-status": (b"HTTP/1.1 abc\r\n\r\n", "is not HTTP"),
    "length-negative": (HEAD + b"Content-Length: -1\r\n\r\n", "length '-1' is not a number"),
    "length-huge": (HEAD + b"Content-Length: 99999999999\r\n\r\n", "is not a number"),
    "over-limit": (HEAD + b"Content-Length: 2000\r\n\r\n", "is 2000 bytes, the limit is 1000"),
    "chunk-word": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "x is"),
    "chunk-huge": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n123456789\r\n", "chunk size"),
    "chunk-end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n", "chunk is malformed"),
    "long-header": (HEAD + b"X: " + b"y" * 2000 + b"\r\n\r\n", "over 1024 bytes"),
    "many-headers": (HEAD + b"X: y\r\n" * 100 + b"\r\n", "over 64 headers"),
    "range-other": (
        b"HTTP/1.1 206 x\r\nContent-Range: bytes 0-4/5\r\nContent-Length: 5\r\n\r\n01234",
        "got range 'bytes 0-4/5'",
    ),
    "404": (b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", "NotFoundError: GET "),
    "410": (b"HTTP/1.1 410 x\r\nContent-Length: 0\r\n\r\n", "NotFoundError: GET "),
    "503": (b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", "status 503"),
}


@pytest.mark.parametrize(("answer", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_an_answer_that_breaks_the_rules_is_an_error_that_names_it(answer, message):
    start = 3 if b"206" in answer else 0
    with Wire(answer) as wire:
        script = 'print(outcome(HttpTransport(ARGS[0], retries=0), "x", int(ARGS[1]), limit=1000))'
        (told,) = client(script, wire.url, start)
    assert "Error: " in told
    if message != "x is":
        assert message in told


def test_a_100_continue_and_odd_but_legal_headers_are_fine():
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200\r\ncontent-LENGTH:3\r\nX:\r\n\r\nabc"
    with Wire(answer.replace(b"200\r", b"200 \r")) as wire:
        assert client('print(get(HttpTransport(ARGS[0]), "x"))', wire.url) == ["b'abc'"]


def test_a_body_without_a_length_ends_with_the_connection():
    with Wire(HEAD + b"\r\nall of it") as wire:
        assert client('print(get(HttpTransport(ARGS[0]), "x"))', wire.url) == ["b'all of it'"]


@pytest.mark.parametrize("head", [b"Content-Length: 999999999\r\n\r\n", b"\r\n"], ids=["told", "untold"])
def test_a_body_that_never_ends_is_stopped_at_the_limit(head):
    def pour(client):
        client.sendall(HEAD + head)
        while True:
            client.sendall(bytes(10000))

    with Wire(pour) as wire:
        (told,) = client('print(outcome(HttpTransport(ARGS[0]), "x", limit=50000))', wire.url)
    assert "limit" in told and "50000" in told


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", HEAD, LENGTH[:-4]], ids=["nothing", "status", "header", "body"])
def test_a_server_that_falls_silent_is_given_up_after_the_timeout(said):
    def stall(client):
        client.sendall(said)
        time.sleep(10)

    with Wire(stall) as wire:
        started = time.monotonic()
        (told,) = client('print(outcome(HttpTransport(ARGS[0], timeout=1, retries=0), "x"))', wire.url)
        assert time.monotonic() - started < 8
    assert told.startswith("TransportError: ")


def test_a_refused_connection_is_tried_again_with_pauses():
    """Two resets, then an answer: three requests, one result."""
    with Wire(b"", b"", LENGTH) as wire:
        told = client('t = HttpTransport(ARGS[0], retries=2)\nt.backoff_ms = 20\nprint(outcome(t, "x"))', wire.url)
        assert told == ["10 bytes"]
        assert len(wire.heard) == 3


def test_streaming_makes_no_garbage_that_grows_with_the_body():
    body = bytes(300_000)
    with Wire(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body) as wire:
        (told,) = client(
            """
import gc
s = HttpTransport(ARGS[0]).open("x")
for _ in range(5):
    s.readinto(buffer)
gc.collect()
gc.disable()
before = gc.mem_alloc()
while s.readinto(buffer):
    pass
print(gc.mem_alloc() - before)
""",
            wire.url,
        )
    assert int(told) < 1000


def test_a_name_with_odd_characters_arrives_as_it_is(www):
    (www / "www" / "v1_a b%c.py").write_bytes(b"odd")
    with nginx(www, "listen 127.0.0.1:{port};") as port:
        script = 'print(get(HttpTransport("http://127.0.0.1:%s/" % ARGS[0]), "v1_a b%c.py"))'
        assert client(script, port) == ["b'odd'"]


@pytest.mark.parametrize("url", ["", "x", "ftp://h/", "http://", "http://me@h/", "http://h:x/", "https://h/"])
def test_a_url_that_cannot_be_used_is_refused_when_the_transport_is_made(url):
    script = """
try:
    HttpTransport(ARGS[0])
except OtaError as e:
    print(type(e).__name__, e)
"""
    (told,) = client(script, url)
    assert told.startswith("TransportError ") and (repr(url)[1:-1] in told)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def der(ca):
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_pem_x509_certificate(ca.cert_pem.bytes()).public_bytes(Encoding.DER)


def tls_server(www, cert):
    (www / "key.pem").write_bytes(cert.private_key_and_cert_chain_pem.bytes())
    return f"""
    listen 127.0.0.1:{{port}} ssl; ssl_certificate {www}/key.pem; ssl_certificate_key {www}/key.pem;
    location /down {{ return 302 http://127.0.0.1:{{port}}/f1; }}
    """


def https(www, port, ca, call='outcome(t, "f1")', host="localhost"):
    (www / "ca.der").write_bytes(der(ca))
    script = f"""
t = HttpsTransport("https://{host}:%s" % ARGS[0], ca=ARGS[1], retries=0)
print({call})
"""
    return client(script, port, www / "ca.der")[0]


def test_https_takes_the_right_authority_and_keeps_the_connection(www, authority):
    with nginx(www, tls_server(www, authority.issue_cert("localhost"))) as port:
        assert https(www, port, authority, '[len(get(t, "f%d" % i)) for i in range(6)], len(get(t, "big"))') == (
            f"{[1000] * 6} 51200"
        )
    assert len({connection for connection, *_ in requests(www)}) == 1


def test_https_refuses_another_authority_another_host_and_a_way_down(www, authority):
    with nginx(www, tls_server(www, authority.issue_cert("localhost"))) as port:
        assert "TransportError: " in https(www, port, trustme.CA())
        assert "HttpsTransport needs https://" in https(www, port, authority, 'outcome(t, "down")')
    with nginx(www, tls_server(www, authority.issue_cert("example.org"))) as port:
        told = https(www, port, authority)
    assert "TLS with localhost" in told and "clock says 20" in told


def test_https_without_an_authority_needs_the_word(www, authority):
    script = """
try:
    HttpsTransport("https://localhost/")
except OtaError as e:
    print(e)
t = HttpsTransport("https://localhost:%s" % ARGS[0], verify=False)
print(outcome(t, "f1"))
"""
    with nginx(www, tls_server(www, authority.issue_cert("localhost"))) as port:
        told = client(script, port)
    assert "give ca=, a certificate in DER, or verify=False" in told[0]
    assert told[1] == "1000 bytes"


def test_a_whole_update_runs_over_nginx_with_one_connection(www):
    """The README's three words: check, stage, and a release that waits for the reset."""
    from support import release

    files = {f"f{i}.py": b"%d" % i * 3000 for i in range(8)}
    release(www / "www" / "sample", files)
    with nginx(www, "listen 127.0.0.1:{port};") as port:
        told = run_mp(
            """
import ramflash, os, json
ramflash.mount(ramflash.Flash(), "lfs2", True)
from ota import Updater, HttpTransport
url = "http://127.0.0.1:%s/sample" % json.loads(os.getenv("ARGS"))[0]
print(Updater(HttpTransport(url)).run(reset=False))
""",
            port,
        ).stdout
    assert told == "True\n"
    asked = requests(www)
    assert len(asked) == 9
    assert len({connection for connection, *_ in asked}) == 1


def test_a_body_that_breaks_off_is_continued_where_it_broke(www):
    """The second request asks for the rest only, and the file comes out right."""
    from support import release

    data = bytes(range(256)) * 40
    manifest = release(www / "tree", {"main.py": data})
    blob = b"HTTP/1.1 200 OK\r\nContent-Length: 10240\r\n\r\n" + data[:3000]
    rest = b"HTTP/1.1 206 x\r\nContent-Range: bytes 3000-10239/10240\r\nContent-Length: 7240\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(manifest)
    with Wire(head + manifest, blob, rest + data[3000:]) as wire:
        told = run_mp(
            """
import ramflash, os, json, hashlib, binascii
ramflash.mount(ramflash.Flash(), "lfs2", True)
from ota import Updater, HttpTransport
u = Updater(HttpTransport(json.loads(os.getenv("ARGS"))[0]))
print(u.run(reset=False), ramflash.read("main.py.ota-new") == bytes(range(256)) * 40)
""",
            wire.url,
        ).stdout
        assert told == "True True\n"
        assert len(wire.heard) == 3
        assert "Range: bytes=3000-\r\n" in wire.heard[2]


def test_a_server_that_answers_with_its_login_page_changes_nothing(www):
    """A captive portal: status 200 and HTML for every request."""
    page = b"<!DOCTYPE html><title>Welcome</title>"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
    with Wire(answer + page) as wire:
        told = run_mp(
            """
import ramflash, os, json
ramflash.mount(ramflash.Flash(), "lfs2", True)
ramflash.write("main.py", b"mine")
from ota import Updater, HttpTransport, OtaError
try:
    Updater(HttpTransport(json.loads(os.getenv("ARGS"))[0])).run(reset=False)
except OtaError as e:
    print(type(e).__name__, e)
print(ramflash.tree())
""",
            wire.url,
        ).stdout.splitlines()
    assert told == ["ManifestError manifest: line 1: is cut short", "{'main.py': b'mine'}"]
