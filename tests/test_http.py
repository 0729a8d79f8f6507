"""HTTP and HTTPS on the real MicroPython, against nginx and against servers that misbehave."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest
import trustme
from servers import Wire, free_port, nginx, requests
from support import FULL, ROOT, run_mp

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


def client_on_pc(script, *args, timeout=120):
    """The same script on CPython."""
    env = dict(os.environ, PYTHONPATH=str(ROOT), ARGS=json.dumps([str(a) for a in args]))
    command = [sys.executable, "-c", CLIENT + script]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(params=[client, client_on_pc], ids=["micropython", "cpython"])
def runtime(request):
    """Runs a script on one of the two: call it like `client`."""
    return request.param


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
print(len(get(t, "big", 51100, etag)), outcome(t, "big", 51100, '"other"'))
print(outcome(t, "big", etag=etag))
print(outcome(t, "big", 51200))
""",
            port,
        )
    assert told[0] == "True"
    assert told[1].startswith("100 TransportError: big has changed: its etag is ")
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
        ("ftp://127.0.0.1:21/x", "HttpTransport needs http://"),
        ("ftp://127.0.0.1/x", "url 'ftp://127.0.0.1/x' is not http(s)://host[:port]/path"),
        ("", "over 5 redirects"),
    ],
)
def test_a_redirect_that_leads_nowhere_good_is_an_error(location, message, runtime):
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    with Wire(answer) as wire:
        (told,) = runtime('print(outcome(HttpTransport(ARGS[0], retries=0), "loop"))', wire.url)
        assert len(wire.heard) == (6 if "over" in message else 1)
    assert message in told


HEAD = b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\n"
LENGTH = HEAD + b"Content-Length: 10\r\n\r\n0123456789"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\nT: x\r\n\r\n"


@pytest.mark.parametrize("whole", [LENGTH, CHUNKS], ids=["length", "chunked"])
def test_a_response_cut_at_any_byte_is_an_error_and_never_a_short_body(whole, runtime):
    """The connection ends after each byte of status line, headers, chunk sizes and body in turn."""
    cuts = [whole[:i] for i in range(len(whole))]
    with Wire(*cuts, whole) as wire:
        told = runtime(
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
    "chunk-empty": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n\r\n", "chunk size b'' is not"),
    "chunk-negative": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n" + bytes(900), "broke off at 0"),
    "chunk-of-gzip": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n", "is not chunked"),
    "gzip": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "content-encoding is gzip: switch it off"),
    "not-modified-unasked": (b"HTTP/1.1 304 x\r\n\r\n", "TransportError: GET http"),
    "range-of-no-size": (
        b"HTTP/1.1 206 x\r\nContent-Range: bytes 3-4/*\r\nContent-Length: 2\r\n\r\n34",
        "got range 'bytes 3-4/*'",
    ),
    "range-of-many": (
        b"HTTP/1.1 206 x\r\nContent-Type: multipart/byteranges\r\nContent-Length: 2\r\n\r\n34",
        "length '' is not a number",
    ),
    "chunk-end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n", "chunk is malformed"),
    "long-header": (HEAD + b"X: " + b"y" * 66000 + b"\r\n\r\n", "the headers are cut short, or too long: b'yy"),
    "many-headers": (HEAD + b"X: y\r\n" * 11000 + b"\r\n", "the headers are cut short, or too long: b'X: y"),
    "long-etag": (HEAD + b"ETag: " + b"y" * 2000 + b"\r\n\r\n", "the headers are cut short, or too long: b'ETag: y"),
    "range-other": (
        b"HTTP/1.1 206 x\r\nContent-Range: bytes 0-4/5\r\nContent-Length: 5\r\n\r\n01234",
        "got range 'bytes 0-4/5'",
    ),
    "404": (b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", "NotFoundError: GET "),
    "404-cut-short": (b"HTTP/1.1 404 x\r\nContent-Length: 99\r\n\r\nab", "NotFoundError: GET "),
    "410": (b"HTTP/1.1 410 x\r\nContent-Length: 0\r\n\r\n", "NotFoundError: GET "),
    "503": (b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", "status 503"),
}


@pytest.mark.parametrize(("answer", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_an_answer_that_breaks_the_rules_is_an_error_that_names_it(answer, message, runtime):
    start = 3 if b"206" in answer else 0
    with Wire(answer) as wire:
        script = 'print(outcome(HttpTransport(ARGS[0], retries=0), "x", int(ARGS[1]), limit=1000))'
        (told,) = runtime(script, wire.url, start)
    assert "Error: " in told
    if message != "x is":
        assert message in told


def test_a_100_continue_and_odd_but_legal_headers_are_fine():
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200\r\ncontent-LENGTH:3\r\nX:\r\n\r\nabc"
    with Wire(answer.replace(b"200\r", b"200 \r")) as wire:
        assert client('print(get(HttpTransport(ARGS[0]), "x"))', wire.url) == ["b'abc'"]


LONG = {
    "a policy of 3.5 KB": b"Content-Security-Policy: default-src 'none'; connect-src " + b"a.example.com " * 250,
    "a cookie of 60 KB": b"Set-Cookie: " + b"x" * 60000,
    "a line that fills the buffer": b"X: " + b"y" * 1021,
    "a colon where a piece begins": b"X: " + b"y" * 1021 + b"ETag: no\r\n z",
    "no colon": b"x" * 3000,
    "200 lines": b"\r\n".join(b"X-%d: y" % i for i in range(200)),
    "a name of no use that begins as one of use": b"Content-Length-Of: " + b"9" * 2000,
}


@pytest.mark.parametrize("extra", LONG.values(), ids=LONG)
def test_headers_that_nobody_wants_may_be_long(extra, runtime):
    """Of a file and of its trailers; what comes behind them counts."""
    whole = b"HTTP/1.1 200 OK\r\n" + extra + b'\r\nETag: "1"\r\nContent-Length: 10\r\n\r\n0123456789'
    chunks = HEAD + extra + b"\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n" + extra + b"\r\n\r\n"
    with Wire(whole, chunks, LENGTH, keep=True) as wire:
        told = runtime(
            """
t = HttpTransport(ARGS[0], retries=0)
s = t.open("x")
print(s.size, s.etag)
while s.readinto(buffer):
    pass
print(outcome(t, "x"))
print(outcome(t, "x"))
""",
            wire.url,
        )
    assert told == ['10 "1"', "10 bytes", "10 bytes"]


@pytest.mark.parametrize(("size", "right"), [(1200, True), (4096, True), (4200, False)])
def test_a_redirect_to_a_url_of_up_to_4_kb_is_followed(size, right, runtime):
    """As those are that a bucket signs."""
    with Wire(LENGTH) as bucket:
        url = bucket.url + "/y?X-Amz-Signature="
        url += "f" * (size - len(url))
        answer = b"HTTP/1.1 302 x\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % url.encode()
        with Wire(answer) as wire:
            (told,) = runtime('print(outcome(HttpTransport(ARGS[0], retries=0), "x"))', wire.url)
        asked = [heard.split(" ")[1] for heard in bucket.heard]
    if right:
        assert (told, asked) == ("10 bytes", [url[len(bucket.url) :]])
    else:
        assert "the headers are cut short, or too long: b'Location: http" in told and not asked


@pytest.mark.parametrize("coding", ["", "identity", "Identity", "aws-chunked", "utf-8", "UTF-8", "aws-chunked, identity", "binary"])
def test_a_coding_that_packs_nothing_is_plain_content(coding, runtime):
    """As buckets keep it of how an object was uploaded; a hash says whether the bytes are right."""
    with Wire(HEAD + b"Content-Encoding: %s\r\nContent-Length: 3\r\n\r\nabc" % coding.encode()) as wire:
        assert runtime('print(outcome(HttpTransport(ARGS[0]), "x"))', wire.url) == ["3 bytes"]


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "br", "zstd", "deflate", "compress", "x-compress", "aws-chunked,gzip"])
def test_a_coding_that_packs_is_refused_by_its_name_and_not_asked_for_again(coding, runtime):
    with Wire(HEAD + b"Content-Encoding: %s\r\nContent-Length: 3\r\n\r\nabc" % coding.encode()) as wire:
        (told,) = runtime('print(outcome(HttpTransport(ARGS[0]), "x"))', wire.url)
        assert len(wire.heard) == 1
    assert told.endswith(f"content-encoding is {coding.lower().split(',')[-1]}: switch it off")


@pytest.mark.parametrize("extra", [b"Content-Encoding: gzip\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Content-Length: -\r\n"])
def test_a_refusal_is_what_its_status_says_however_its_page_is_packed(extra, runtime):
    script = 'print(outcome(HttpTransport(ARGS[0], retries=0), "x"))'
    with Wire(b"HTTP/1.1 404 x\r\n" + extra + b"\r\n...", b"HTTP/1.1 503 x\r\n" + extra + b"\r\n...") as wire:
        assert runtime(script, wire.url) == [f"NotFoundError: GET {wire.url}/x: status 404"]
        assert runtime(script, wire.url) == [f"TransportError: GET {wire.url}/x: status 503"]


def test_a_transfer_in_no_coding_is_plain():
    with Wire(HEAD + b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc") as wire:
        assert client('print(outcome(HttpTransport(ARGS[0]), "x"))', wire.url) == ["3 bytes"]


RANGES = {
    "the range": (b"Content-Range: bytes 3-9/10\r\nContent-Length: 7\r\n\r\n3456789", "b'3456789'"),
    "all of it": (b"Content-Length: 10\r\n\r\n0123456789", "b'3456789'"),
    "all of it as a range": (b"Content-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n0123456789", "b'3456789'"),
    "all of it with no range": (b"Content-Range: bytes */10\r\nContent-Length: 10\r\n\r\n0123456789", "b'3456789'"),
}


@pytest.mark.parametrize(("answer", "right"), RANGES.values(), ids=RANGES)
def test_a_range_that_comes_with_status_200_is_believed_when_one_was_asked_for(answer, right, runtime):
    """Some buckets answer like that; others ignore the range."""
    with Wire(HEAD + answer) as wire:
        assert runtime('print(get(HttpTransport(ARGS[0], retries=0), "x", 3))', wire.url) == [right]


def test_the_rest_of_an_object_with_a_weak_tag_is_asked_for_without_it(runtime):
    """Servers must not go on by one, as Apache gives of a file that is a second old; the answer's own says whether it fits."""
    rest = b'HTTP/1.1 206 x\r\nETag: W/"1"\r\nContent-Range: bytes 3-9/10\r\nContent-Length: 7\r\n\r\n3456789'
    with Wire(rest, rest.replace(b'"1"', b'"2"'), rest.replace(b"W/", b"")) as wire:
        told = runtime(
            """
t = HttpTransport(ARGS[0], retries=0)
for tag in ('W/"1"', 'W/"1"', '"1"'):
    print(outcome(t, "x", 3, tag))
""",
            wire.url,
        )
        heads = [[line for line in heard.split("\r\n") if "ange" in line] for heard in wire.heard]
    assert told[0] == told[2] == "7 bytes" and told[1].endswith('x has changed: its etag is W/"2", not W/"1"')
    assert heads == [["Range: bytes=3-"]] * 2 + [["Range: bytes=3-", 'If-Range: "1"']]


def test_a_range_that_nobody_asked_for_does_not_make_of_a_part_the_whole(runtime):
    with Wire(HEAD + b"Content-Range: bytes 3-9/10\r\nContent-Length: 10\r\n\r\n0123456789") as wire:
        assert runtime('print(get(HttpTransport(ARGS[0], retries=0), "x"))', wire.url) == ["b'0123456789'"]


@pytest.mark.parametrize("digits", [b"0000000000a", b"A  ", b"000a;x=y", b"0" * 900 + b"a"])
def test_the_size_of_a_chunk_may_have_zeros_in_front(digits, runtime):
    with Wire(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + digits + b"\r\n0123456789\r\n" + b"0" * 20 + b"\r\n\r\n") as wire:
        assert runtime('print(outcome(HttpTransport(ARGS[0]), "x"))', wire.url) == ["10 bytes"]


def test_headers_of_no_use_may_be_in_any_code(runtime):
    with Wire(HEAD + b"X-\xe9\xff: \xe9\r\nContent-Length: 3\r\n\r\nabc") as wire:
        assert runtime('print(outcome(HttpTransport(ARGS[0]), "x"))', wire.url) == ["3 bytes"]


def test_60_kb_of_headers_fit_in_16_kb_of_free_heap():
    """A server may send more of them than many a board can hold."""
    odd = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 990) for i in range(60))
    with Wire(HEAD + odd + b"Content-Length: 3\r\n\r\nabc") as wire:
        script = """
t = HttpTransport(ARGS[0], retries=0)
ROOM = 16000
%s
print(outcome(t, "x"))
""" % FULL
        assert client(script, wire.url, heap="300k") == ["3 bytes"]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_may_take_longer_than_its_lines(chunked, runtime):
    """Each piece within the timeout, the whole in five times as much."""

    def pour(client):
        head = b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: 8\r\n\r\n"
        client.sendall(HEAD + head)
        for _ in range(8):
            time.sleep(0.3)
            client.sendall(b"1\r\nx\r\n" if chunked else b"x")
        client.sendall(b"0\r\n\r\n" if chunked else b"")

    with Wire(pour) as wire:
        told = runtime('print(outcome(HttpTransport(ARGS[0], timeout=0.5, retries=0), "x"))', wire.url)
    assert told == ["8 bytes"]


def test_half_a_pair_of_credentials_is_sent_as_it_is():
    with Wire(LENGTH) as wire:
        client('print(outcome(HttpTransport(ARGS[0], user="me"), "x"))', wire.url)
        assert "Authorization: Basic bWU6\r\n" in wire.heard[0]  # me:


def test_credentials_never_go_over_the_connection_of_another_server():
    """Two streams at once, one of them redirected: each connection keeps to its server."""
    with Wire(LENGTH, keep=True) as other:
        away = b"HTTP/1.1 302 x\r\nLocation: %s/y\r\nContent-Length: 0\r\n\r\n" % other.url.encode()
        with Wire(away, LENGTH, keep=True) as wire:
            told = client(
                """
t = HttpTransport(ARGS[0], token="secret", retries=0)
redirected = t.open("a")
print(outcome(t, "b"))
while redirected.readinto(buffer):
    pass
print(outcome(t, "c"))
""",
                wire.url,
            )
            assert told == ["10 bytes", "10 bytes"]
            assert [r.split()[1] for r in wire.heard] == ["/a", "/b", "/c"]
            assert all("Bearer secret" in r for r in wire.heard)
        assert len(other.heard) == 1 and "secret" not in other.heard[0]


@pytest.mark.parametrize(
    ("location", "path"),
    [("//{netloc}/y?a=1#part", "/y?a=1"), ("z", "/a/z"), ("/z", "/z"), ("/a b\rX: y", "/a%20b%0DX:%20y")],
    ids=["other-host", "beside", "root", "odd"],
)
def test_a_redirect_is_followed_by_the_rules_of_urls(location, path, runtime):
    with Wire(LENGTH) as other:
        location = location.replace("{netloc}", other.url[7:])
        answer = f"HTTP/1.1 307 x\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        with Wire(answer, LENGTH) as wire:
            told = runtime('print(outcome(HttpTransport(ARGS[0] + "/a"), "x"))', wire.url)
            last = (wire.heard[1:] + other.heard)[0]
    assert told == ["10 bytes"]
    assert last.startswith(f"GET {path} HTTP/1.1\r\n")


def test_redirects_and_missing_files_keep_the_connection(www):
    """What nginx says with a 302 or a 404 is read, since that costs less than to connect again."""
    server = "listen 127.0.0.1:{port}; location /old/ { rewrite ^/old/(.*) /$1 redirect; }"
    with nginx(www, server) as port:
        told = client(
            """
t = HttpTransport("http://127.0.0.1:%s/old" % ARGS[0], retries=0)
print([len(get(t, "f%d" % i)) for i in range(6)], outcome(t, "missing")[:13], len(get(t, "f0")))
""",
            port,
        )
    assert told == [f"{[1000] * 6} NotFoundError 1000"]
    assert len({connection for connection, *_ in requests(www)}) == 1


def test_a_connection_is_closed_when_its_answer_is_no_good():
    """Not when the garbage collector comes by: a board has few sockets."""
    closed = threading.Event()

    def bad(client):
        client.sendall(HEAD + b"Content-Length: x\r\n\r\n")
        if client.recv(1) == b"":
            closed.set()

    def good(client):
        client.sendall(LENGTH if closed.wait(5) else b"")

    with Wire(bad, good) as wire:
        told = client(
            """
import gc
gc.disable()
t = HttpTransport(ARGS[0], retries=0)
print(outcome(t, "x")[:14], outcome(t, "x"))
""",
            wire.url,
        )
    assert told == ["TransportError 10 bytes"]


def test_the_next_address_of_a_name_is_tried_when_one_leads_nowhere(monkeypatch):
    """`localhost` is ::1 first on many machines, and the server listens on 127.0.0.1 only."""
    from ota import HttpTransport
    from ota_host.testing import read_all

    with Wire(LENGTH) as wire:
        ports = [free_port(), wire.port]

        def addresses(*args):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", p)) for p in ports]

        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        assert read_all(HttpTransport("http://name", retries=0).open("x")) == b"0123456789"
        ports.pop()
        from ota.errors import TransportError

        with pytest.raises(TransportError, match="GET http://name/x: Connection refused"):
            HttpTransport("http://name", retries=0).open("x")


# Stands in for the firmware's `socket`: a name has the addresses that a test says.
ADDRESSES = """
import sys, socket
def getaddrinfo(host, port, *more):
    return [(family, 1, 6, "", socket.getaddrinfo("127.0.0.1", p)[0][-1]) for family, p in ADDRESSES]
def make(family, *more):
    if family == 10:
        raise OSError(97)
    return socket.socket(family, *more)
class Socket:
    SOCK_STREAM = socket.SOCK_STREAM
sys.modules["socket"] = Socket
Socket.getaddrinfo = getaddrinfo
Socket.socket = make
"""


@pytest.mark.parametrize("order", ["6 4", "4 6", "6 4 6"])
def test_an_address_of_a_family_that_the_board_lacks_is_passed_over(order):
    """There it is `socket()` that raises. When no other is left, the error is that of the one that could be tried."""
    with Wire(LENGTH) as wire:
        for port, said in ((wire.port, "10 bytes"), (free_port(), "TransportError: GET http://board.test/x: connection refused")):
            known = [(10 if kind == "6" else 2, port) for kind in order.split()]
            script = CLIENT.replace("from ota.transports.https import HttpsTransport\n", "")
            done = run_mp(
                f"ADDRESSES = {known}\n" + ADDRESSES + script + 'print(outcome(HttpTransport("http://board.test", retries=0), "x"))'
            )
            assert done.stdout.splitlines() == [said]


@pytest.mark.parametrize("whole", [True, False], ids=["of a modem", "another file"])
def test_a_socket_module_of_the_application_connects_if_it_can(tmp_path, whole):
    """One that lacks what a transport needs is another file of that name."""
    module = """
import usocket
SOCK_STREAM = usocket.SOCK_STREAM
def getaddrinfo(host, port, *more):
    return usocket.getaddrinfo("127.0.0.1", port, *more)
def socket(*more):
    print("the modem connects")
    return usocket.socket(*more)
"""
    (tmp_path / "socket.py").write_text(module if whole else "SOCK_STREAM = 1\n")
    host = "board.test" if whole else "127.0.0.1"
    with Wire(LENGTH) as wire:
        script = CLIENT.replace("from ota.transports.https import HttpsTransport\n", "")
        done = run_mp(script + f'print(outcome(HttpTransport("http://{host}:{wire.port}", retries=0), "x"))', path=(tmp_path,))
    assert done.stdout.splitlines() == ["the modem connects"] * whole + ["10 bytes"]


def test_the_user_agent_goes_to_every_server_and_headers_to_that_of_the_url(runtime):
    """Headers may be secret, as credentials are; `User-Agent` among them takes the place of ours."""
    script = """
t = HttpTransport(ARGS[0], token="abc", headers={"X-Key": "k e y", "Accept": ""}, retries=0)
print(outcome(t, "a"), outcome(t, "b"))
print(outcome(HttpTransport(ARGS[0], headers={"user-agent": "mine/1.0"}, retries=0), "c"))
"""
    with Wire(LENGTH) as other:
        away = b"HTTP/1.1 302 x\r\nLocation: %s/y\r\nContent-Length: 0\r\n\r\n" % other.url.encode()
        with Wire(LENGTH, away, away) as wire:
            assert runtime(script, wire.url) == ["10 bytes 10 bytes", "10 bytes"]
            host = f"Host: 127.0.0.1:{wire.port}"
            ours = [host, "User-Agent: mpota", "X-Key: k e y", "Accept: ", "Authorization: Bearer abc"]
            heads = [sorted(heard.split("\r\n")[1:-2]) for heard in wire.heard]
        assert heads == [sorted(ours), sorted(ours), [host, "user-agent: mine/1.0"]]
        for heard in other.heard:
            assert heard.split("\r\n")[1:-2] == [f"Host: 127.0.0.1:{other.port}", "User-Agent: mpota"]


def test_a_server_that_refuses_requests_without_a_user_agent_serves_a_board(www):
    with nginx(www, 'listen 127.0.0.1:{port}; if ($http_user_agent = "") { return 403; }') as port:
        assert client('print(outcome(HttpTransport("http://127.0.0.1:%s" % ARGS[0]), "f1"))', port) == ["1000 bytes"]


def silent(client):
    time.sleep(3)


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


WORDS = {
    "a port that nothing listens on": (None, "connection refused"),
    "a name that is not known": ("http://no-such-host.invalid", "no such host"),
    "a server that says nothing": (silent, "timed out"),
    "a server that hangs up": (b"", "closed without an answer"),
    "a server that resets": (reset, "connection reset"),
    "a head that is cut short": (b"HTTP/1.1 200 OK\r\nX: ", "the headers are cut short"),
    "a body that is cut short": (LENGTH[:-4], "x broke off at 6: connection closed"),
    "a body that stalls": (lambda c: (c.sendall(LENGTH[:-4]), silent(c)), "x broke off at 6: timed out"),
}


@pytest.mark.parametrize(("answer", "said"), WORDS.values(), ids=WORDS)
def test_an_error_of_the_network_is_told_in_words(answer, said):
    with Wire(answer) as wire:
        url = wire.url if answer is not None and not isinstance(answer, str) else answer or f"http://127.0.0.1:{free_port()}"
        (told,) = client('print(outcome(HttpTransport(ARGS[0], timeout=0.5, retries=0), "x"))', url)
    assert said in told and "OSError" not in told and not re.search(r"-?\d+\b", told.split(said)[1]), told


ERRORS = {
    "OSError(errno.ETIMEDOUT)": "timed out",
    "OSError(errno.EHOSTUNREACH)": "no route",
    "OSError(101)": "no route",  # ENETUNREACH of Linux
    "OSError(errno.EINPROGRESS)": "timed out",  # of a connect() that does not get there in time
    "OSError(-2)": "no such host",  # of getaddrinfo() on boards, by its number
    "OSError('[addrinfo error -2]')": "no such host",
    "OSError(errno.ENOENT)": "no such file",
    "OSError(errno.EIO)": "EIO",
    "OSError(7777)": "error 7777",
    "OSError()": "",
    "OSError(-30592, 'MBEDTLS_ERR_SSL')": "MBEDTLS_ERR_SSL",
    "ValueError('odd')": "odd",
    "TransportError('as it is')": "as it is",
    "KeyError('x')": "KeyError('x'",
}


def test_what_an_exception_says_is_found_by_the_numbers_of_the_board():
    """They differ between ports: 113 is EHOSTUNREACH on one, ECONNABORTED on another."""
    script = "import errno, json\nfrom ota.errors import TransportError\nfrom ota.transports.why import say\n"
    told = run_mp(script + f"print(json.dumps([say(e) for e in [{', '.join(ERRORS)}]]))").stdout
    for want, got in zip(ERRORS.values(), json.loads(told)):
        assert got == want or want.endswith("'x'") and got.startswith(want)


STATUSES = {408: 4, 425: 4, 429: 4, 500: 4, 502: 4, 503: 4, 400: 1, 401: 1, 403: 1, 404: 1, 405: 1, 410: 1, 416: 1, 451: 1, 300: 1}


@pytest.mark.parametrize(("status", "requests"), STATUSES.items(), ids=map(str, STATUSES))
def test_a_status_that_will_not_pass_is_not_asked_for_again(status, requests):
    with Wire(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status) as wire:
        (told,) = client('t = HttpTransport(ARGS[0])\nt.backoff_ms = 1\nprint(outcome(t, "x"))', wire.url)
        assert len(wire.heard) == requests
    assert told.endswith(f"status {status}")


@pytest.mark.parametrize("status", [400, 403, 404, 408, 425, 429, 500, 502, 503, 504, 529])
def test_retry_after_counts_with_every_status_that_says_no(status):
    """GitHub's secondary limit is a 403. What is longer than the patience is an error at once, and says how long."""
    script = """
t = HttpTransport(ARGS[0])
t.backoff_ms = 1
try:
    t.open("x")
except OtaError as e:
    print(e.status, e.retry_s)
print(outcome(t, "x")[:12])
"""
    long, short = (b"HTTP/1.1 %d x\r\nRetry-After: %d\r\nContent-Length: 0\r\n\r\n" % (status, s) for s in (60, 1))
    with Wire(long, short, LENGTH) as wire:
        told = client(script, wire.url)
        asked = len(wire.heard)
    assert told[0] == f"{status} 60"
    assert (told[1], asked) == (("NotFoundErro", 2) if status == 404 else ("10 bytes", 3))


def test_an_ipv6_address_in_brackets_works(runtime):
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as e:
        pytest.skip(f"this machine has no IPv6: {e}")
    heard = []

    def serve():
        with server.accept()[0] as client:
            heard.append(client.recv(4096).decode())
            client.sendall(LENGTH)

    threading.Thread(target=serve, daemon=True).start()
    port = server.getsockname()[1]
    with server:
        assert runtime('print(outcome(HttpTransport(ARGS[0]), "x"))', f"http://[::1]:{port}") == ["10 bytes"]
    assert f"\r\nHost: [::1]:{port}\r\n" in heard[0]


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


DRIPS = {
    "status": (b"HTTP/1.1 200 ", b"x"),
    "header": (HEAD + b"X: ", b"y"),
    "headers": (HEAD, b"X: y\r\n"),
    "1xx": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"T: x\r\n"),
}


@pytest.mark.parametrize("pause", [0.2, 0], ids=["slowly", "fast"])
@pytest.mark.parametrize(("begin", "drip"), DRIPS.values(), ids=DRIPS.keys())
def test_lines_that_never_end_are_given_up_soon(begin, drip, pause, runtime):
    """A byte now and then, each within the timeout, or a flood: neither holds the board."""

    def pour(client):
        client.sendall(begin)
        while True:
            client.sendall(drip if pause else drip * 300)
            time.sleep(pause)

    with Wire(pour) as wire:
        script = """
import time
started = time.time()
print(outcome(HttpTransport(ARGS[0], timeout=0.5, retries=0), "x"))
print(time.time() - started < 4)
"""
        told = runtime(script, wire.url, timeout=20)
    assert told[0].startswith("TransportError: ") and told[1] == "True"
    if pause and len(drip) == 1:
        assert told[0].endswith("a line takes over 1 s")


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


@pytest.mark.parametrize("etag", [b'"x\rRange: bytes=1-"', b'"\x01\x01"', '"é"'.encode(), b""], ids=["line", "control", "utf8", "none"])
def test_an_etag_that_is_not_plain_text_is_none(runtime, etag):
    """It stands in the next request, and in the state, where control characters take six bytes each."""
    with Wire(HEAD + b"ETag: " + etag + b"\r\nContent-Length: 1\r\n\r\nx") as server:
        told = runtime('s = HttpTransport(ARGS[0]).open("a")\nprint(s.etag)', server.url)
    assert told == ["None"]


def test_a_name_with_odd_characters_arrives_as_it_is(www):
    (www / "www" / "v1_a b%c.py").write_bytes(b"odd")
    with nginx(www, "listen 127.0.0.1:{port};") as port:
        script = 'print(get(HttpTransport("http://127.0.0.1:%s/" % ARGS[0]), "v1_a b%c.py"))'
        assert client(script, port) == ["b'odd'"]


@pytest.mark.parametrize("url", ["", "x", "ftp://h/", "http://", "http://me@h/", "http://h:x/", "http://h\rX:1/", "https://h/"])
def test_a_url_that_cannot_be_used_is_refused_when_the_transport_is_made(url):
    script = """
try:
    HttpTransport(ARGS[0])
except OtaError as e:
    print(type(e).__name__, e)
"""
    (told,) = client(script, url)
    assert told.startswith("TransportError ") and ("@" in url or repr(url)[1:-1] in told)


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
        assert "TLS with 127.0.0.1: " in https(www, port, authority, host="127.0.0.1")




def test_https_on_a_firmware_that_cannot_verify_says_so_and_sends_nothing(authority, tmp_path):
    """ESP8266: `ssl` comes with an SSLContext, and without CERT_REQUIRED."""
    script = """
import sys
class Ssl:
    PROTOCOL_TLS_CLIENT = CERT_NONE = 0
    def SSLContext(self, protocol):
        return self
sys.modules["ssl"] = Ssl()
print(outcome(HttpsTransport("https://127.0.0.1:%s" % ARGS[0], ca=ARGS[1], token="secret", retries=0), "x"))
"""
    (tmp_path / "ca.der").write_bytes(der(authority))
    with Wire(LENGTH) as wire:
        (told,) = client(script, wire.port, tmp_path / "ca.der")
        assert told.startswith("TransportError: ") and "the TLS of this firmware cannot verify" in told
        assert wire.heard == []


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
    assert "give ca=, the certificate of an authority, or verify=False" in told[0]
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
        why = f"is not a JSON object but of a web page, {wire.url}/stable.manifest"
    assert told == ["ManifestError manifest: line 1: " + why, "{'main.py': b'mine'}"]
