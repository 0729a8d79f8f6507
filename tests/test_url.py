"""What a transport is given is checked when it is made; where a redirect leads is what RFC 3986 says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Wire
from support import run_mp
from test_http import LENGTH, client, client_on_pc, runtime  # noqa: F401 (a fixture)

from ota import HttpTransport
from ota.errors import TransportError
from ota.transports.url import head, join, root, split

RIGHT = {
    "http://h": ("http://h/", "h", 80, "h"),
    "http://h/a/b/": ("http://h/a/b/", "h", 80, "h"),
    "HTTP://Host.Example:8080/A": ("http://host.example:8080/A/", "host.example", 8080, "host.example:8080"),
    "http://h:": ("http://h:/", "h", 80, "h:"),
    "http://[::1]": ("http://[::1]/", "::1", 80, "[::1]"),
    "http://[FE80::1]:65535/x": ("http://[fe80::1]:65535/x/", "fe80::1", 65535, "[fe80::1]:65535"),
    "http://h/a%20b/~c;d=e,f@g": ("http://h/a%20b/~c;d=e,f@g/", "h", 80, "h"),
}
WRONG = [
    "", " ", "h", "h/x", "//h/x", "http:", "http:/h", "http://", "http:///x", "http://:80/", "httpx://h/", "ftp://h/",
    "http://h:0/", "http://h:65536/", "http://h:99999/", "http://h:-1/", "http://h:8o/", "http://h:80:80/", "http://[::1/", "http://[h]/", "http://::1/",
    "http://h/a b", " http://h/", "http://h/ ", "http://h/\n", "http://h\r\nX: 1/", "http://h/\tx", "http://h/\x00", "http://h/\x7f",
    "http://h/?a=1", "http://h?a", "http://h/#part", "http://h#", "http://ü.example/", "http://h/ü", "http://h\\x/", 'http://h"/',
]  # fmt: skip
SECRET = [
    "http://me:hunter2@h/", "http://hunter2@h/x", "http://me:hunter2@h:99999/", "http://me:hunter2@/", "http://me:hunter2/x@h/",
    "http://me:hunter2?x@h/", "http://me:hunter2#x@h/", "me:hunter2@h/", "http://me:hunter2@ü/", "http://h/?token=hunter2",
    "http://h?hunter2",
]  # fmt: skip
MAKE = """
def make(cls, *args, **options):
    try:
        cls(*args, **options)
    except OtaError as e:
        return "%s: %s" % (type(e).__name__, e)
    return "made"
"""


@pytest.mark.parametrize(("url", "parts"), RIGHT.items(), ids=RIGHT)
def test_a_url_of_http_is_taken_apart(url, parts):
    """Scheme and host in any case; the path as it is, with a slash at its end."""
    whole, (origin, netloc, host, port, path) = root(url)
    assert (whole, host, port, netloc) == parts
    assert origin == f"http://{'[' + host + ']' if ':' in host else host}:{port}"
    assert whole == f"http://{netloc}{path}"


def test_a_url_that_is_not_of_http_is_refused_when_the_transport_is_made(runtime):  # noqa: F811
    script = MAKE + "for url in json.loads(ARGS[0]):\n    print(json.dumps(make(HttpTransport, url)))"
    told = list(map(json.loads, runtime(script, json.dumps([*WRONG, 5, None]))))
    for url, said in zip([*WRONG, 5, None], told):
        assert said.startswith("TransportError: url ") and "is not http(s)://host[:port]/path in ASCII" in said, url
        assert "?" not in said and "#" not in said or url in said


def test_no_error_shows_a_password_or_a_key_of_a_url(runtime):  # noqa: F811
    """Wherever in the URL it is, for whatever it is given to."""
    script = MAKE + """
from ota import MirrorTransport, Updater, set_clock
for url in json.loads(ARGS[0]):
    print(make(HttpTransport, url), make(HttpsTransport, url, verify=False), make(HttpsTransport, url))
    print(make(MirrorTransport, url), make(Updater, url), make(set_clock, url))
"""
    told = runtime(script, json.dumps(SECRET))
    assert len(told) == 2 * len(SECRET)
    for line in told:
        assert line.count("Error: ") == 3 and "hunter2" not in line


def test_no_error_shows_the_password_or_the_query_of_a_redirect(runtime):  # noqa: F811
    """A signed URL of a bucket is a key."""
    script = 'print(outcome(HttpTransport(ARGS[0], retries=0), "x"))'
    with Wire(b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n") as bucket:
        for target in ("http://me:hunter2@h/", "https://me:hunter2@h/", f"{bucket.url}/y?key=hunter2", "ftp://me:hunter2@h:21/"):
            answer = f"HTTP/1.1 302 x\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
            with Wire(answer) as wire:
                (told,) = runtime(script, wire.url)
            assert told.startswith("TransportError: GET ") and "hunter2" not in told, told


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("http://h/", "HttpsTransport needs https://"),
        ("HTTP://h/", "HttpsTransport needs https://"),
        ("https://h/", "give ca=, the certificate of an authority, or verify=False"),
    ],
)
def test_the_error_of_the_wrong_scheme_names_the_right_one(given, hint):
    from ota import HttpsTransport

    with pytest.raises(TransportError, match=hint):
        HttpsTransport(given)


BAD_HEADS = {
    "token, line": {"token": "secret\n"},
    "token, header": {"token": "secret\r\nX-Evil: 1"},
    "token, space": {"token": "se cret"},
    "token, not ASCII": {"token": "secret\u00fc"},
    "token, NUL": {"token": "secret\0"},
    "token, number": {"token": 5},
    "user, line": {"user": "me\n", "password": "secret"},
    "user, colon": {"user": "me:you", "password": "secret"},
    "user, number": {"user": 5},
    "password, line": {"user": "me", "password": "secret\r\n"},
    "password, number": {"password": 5},
    "header, line": {"headers": {"X-Key": "secret\n"}},
    "header, header": {"headers": {"X-Key": "secret\r\nX-Evil: 1"}},
    "header, request": {"headers": {"X-Key": "secret\r\n\r\nGET /evil HTTP/1.1"}},
    "header, not ASCII": {"headers": {"X-Key": "secret\u00fc"}},
    "header, number": {"headers": {"X-Key": 5}},
    "name, line": {"headers": {"X-Key: 1\r\nX-Evil": "secret"}},
    "name, colon": {"headers": {"X-Key:": "secret"}},
    "name, space": {"headers": {"X Key": "secret"}},
    "name, empty": {"headers": {"": "secret"}},
    "name, number": {"headers": {5: "secret"}},
    "name, twice": {"headers": {"X-Key": "secret", "x-key": "secret"}},
    "ours: host": {"headers": {"Host": "secret"}},
    "ours: length": {"headers": {"Content-Length": "5"}},
    "ours: encoding": {"headers": {"transfer-encoding": "chunked"}},
    "ours: range": {"headers": {"RANGE": "bytes=1-"}},
    "ours: tag": {"headers": {"If-None-Match": '"secret"'}},
    "ours: tag of a range": {"headers": {"If-Range": '"secret"'}},
    "two credentials": {"token": "secret", "headers": {"Authorization": "secret"}},
    "no dict": {"headers": "X-Key: secret"},
}


def test_what_would_break_the_head_of_a_request_is_refused_when_the_transport_is_made(runtime):  # noqa: F811
    """Injected lines, and what the transport says itself; what is wrong is named, and never shown."""
    # JSON has no number as a key.
    fixed = {k: {"headers": {"5!": "secret"}} if k == "name, number" else v for k, v in BAD_HEADS.items()}
    script = MAKE + """
for options in json.loads(ARGS[0]):
    if "5!" in (options.get("headers") or ""):
        options["headers"] = {5: "secret"}
    print(json.dumps(make(HttpTransport, "http://h/", **options)))
"""
    told = list(map(json.loads, runtime(script, json.dumps(list(fixed.values())))))
    for (name, options), said in zip(BAD_HEADS.items(), told):
        what, _, why = said.rpartition(": ")
        assert why == "not text that HTTP allows there, such as one with a line break", name
        assert what.startswith(("TransportError: user=, password=, token= or headers=", "TransportError: header ")), name
        assert "secret" not in said and (name.startswith("name") or "Evil" not in said), name
        assert "header" not in options or "X-Key" in what or list(options["headers"])[0] in what, name


@given(
    st.fixed_dictionaries(
        {}, optional={k: st.text(max_size=12) for k in ("user", "password", "token")} | {"headers": st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3)}
    )
)
def test_whatever_is_given_the_head_has_one_line_for_each_of_it_or_none_is_made(options):
    given = {"user": None, "password": None, "token": None, "headers": None, **options}
    try:
        lines = head("User-Agent: mpota\r\n", **given)
    except TransportError:
        return
    names = [line.split(": ", 1)[0].lower() for line in lines.split("\r\n")[:-1]]
    auth = bool(given["token"] or given["user"] or given["password"])
    wanted = {n.lower() for n in given["headers"] or ()} | {"user-agent"} | ({"authorization"} if auth else set())
    assert sorted(names) == sorted(wanted) and lines.endswith("\r\n") and lines.isascii() and "\n" not in lines.replace("\r\n", "")


def test_an_etag_that_an_application_gives_cannot_add_a_header(runtime):  # noqa: F811
    script = """
t = HttpTransport(ARGS[0], retries=0)
for start in (0, 5):
    print(outcome(t, "x", start, '"a"\\r\\nX-Evil: 1'))
"""
    with Wire(LENGTH) as wire:
        told = runtime(script, wire.url)
        assert wire.heard == []
    assert all(line.startswith("TransportError: name 'x' is not relative and plain, or its etag ") for line in told)


# RFC 3986, sections 5.4.1 and 5.4.2; and what only looks like a scheme.
BASE = "http://a/b/c/d;p?q"
JOINED = {
    "g": "http://a/b/c/g", "./g": "http://a/b/c/g", "g/": "http://a/b/c/g/", "/g": "http://a/g", "//g": "http://g",
    "?y": "http://a/b/c/d;p?y", "g?y": "http://a/b/c/g?y", "#s": "http://a/b/c/d;p?q", "g#s": "http://a/b/c/g",
    "g?y#s": "http://a/b/c/g?y", ";x": "http://a/b/c/;x", "g;x": "http://a/b/c/g;x", "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/", "./": "http://a/b/c/", "..": "http://a/b/", "../": "http://a/b/", "../g": "http://a/b/g",
    "../..": "http://a/", "../../": "http://a/", "../../g": "http://a/g", "../../../g": "http://a/g", "g:h": "g:h",
    "../../../../g": "http://a/g", "/./g": "http://a/g", "/../g": "http://a/g", "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g", "g..": "http://a/b/c/g..", "..g": "http://a/b/c/..g", "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/", "g/./h": "http://a/b/c/g/h", "g/../h": "http://a/b/c/h", "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y", "g?y/./x": "http://a/b/c/g?y/./x", "g?y/../x": "http://a/b/c/g?y/../x",
    "HTTP://B/x": "HTTP://B/x", "?u=http://b/": "http://a/b/c/d;p?u=http://b/", "/x?u=http://b/": "http://a/x?u=http://b/",
    "g?u=b:c": "http://a/b/c/g?u=b:c", "./g:h": "http://a/b/c/g:h", "//b:8/x?y": "http://b:8/x?y",
}  # fmt: skip


def test_a_location_leads_where_rfc_3986_says(runtime):  # noqa: F811
    script = """
from ota.transports.url import join
print(json.dumps([join(ARGS[0], location) for location in json.loads(ARGS[1])]))
"""
    (told,) = runtime(script, BASE, json.dumps(list(JOINED)))
    assert dict(zip(JOINED, json.loads(told))) == JOINED


@given(st.text("ab/.?#:%é \\", max_size=20))
def test_a_location_of_any_form_leads_to_a_url_or_is_refused(location):
    """And the path of a URL is safe in a request."""
    try:
        origin, _, host, port, path = split(join("http://h:8/x/y", location))
    except TransportError:
        return
    assert path[0] == "/" and path.isascii() and " " not in path and "\\" not in path
    assert 0 < port < 65536 and host


@pytest.mark.parametrize("location", ["HTTP://{netloc}/y?a=1", "//{netloc}/y?a=1", "?a=1", "../y?a=1", "/b/../y?a=1"])
def test_a_redirect_is_followed_to_the_request_that_it_means(location, runtime):  # noqa: F811
    with Wire(LENGTH) as other:
        location = location.replace("{netloc}", other.url[7:])
        answer = f"HTTP/1.1 308 x\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        with Wire(answer, LENGTH) as wire:
            told = runtime('print(outcome(HttpTransport(ARGS[0] + "/a"), "x"))', wire.url)
            last = (wire.heard[1:] + other.heard)[0]
    assert told == ["10 bytes"]
    assert last.split(" ")[1] == ("/a/x?a=1" if location[0] == "?" else "/y?a=1")


def test_a_host_in_capitals_is_the_server_of_the_credentials_all_the_same():
    """So is its default port, named or not."""
    from ota.transports.url import split

    assert split("http://H.Example/x")[0] == split("HTTP://h.example:80/y")[0]
    assert HttpTransport("HTTP://H.example", token="t")._root[0] == "http://h.example:80"


LEGACY = """
import json, os, ramflash
ramflash.mount(ramflash.Flash(), "lfs2", True)
from micropython_ota import check_version
for host, project in json.loads(json.loads(os.getenv("ARGS"))[0]):
    print(check_version(host, project))
"""


def test_the_legacy_functions_take_a_project_of_any_name_and_a_scheme_in_capitals():
    """As `micropython_ota` did; what is quoted already stays."""
    body = b"HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nv2"
    with Wire(body) as wire:
        asked = [[wire.url, "b\u00fcro 1"], [wire.url.replace("http", "HTTP"), "a%20b/c"], ["HTTPS://h.example", "x"]]
        told = run_mp(LEGACY, json.dumps(asked)).stdout.splitlines()
        paths = [heard.split(" ")[1] for heard in wire.heard]
    assert told[:2] == ["(True, 'v2')"] * 2 and "put the certificate authority of the server" in told[2]
    assert paths == ["/b%C3%BCro%201/version", "/a%20b/c/version"]
