"""HTTPS on the real MicroPython: whom it trusts, and how it says whom not. On the Pico W: test_pico_tls.py."""

import contextlib
import json
import os
import re
import ssl
import subprocess
import time

import certificates
import pytest
import trustme
from certificates import context, der
from missing import program
from servers import Wire, nginx, requests
from support import FULL, ROOT, release, run_mp
from test_docs import BLOCK, STAGE
from test_http import LENGTH, client, runtime  # noqa: F401 (a fixture)

CASES = certificates.cases()
ASK = """
t = HttpsTransport("https://%s:%s" % (ARGS[1], ARGS[0]), ca=ARGS[2], token="secret", retries=0)
print(outcome(t, "x"))
"""
TODAY = time.strftime("%Y-%m-%d", time.gmtime())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_certificate_is_taken_or_the_error_says_what_is_wrong_with_it(case, runtime, tmp_path):  # noqa: F811
    """What is refused has got no request, and no password."""
    (tmp_path / "ca.der").write_bytes(case.ca)
    with Wire(LENGTH, tls=case.tls) as wire:
        (told,) = runtime(ASK, wire.port, case.host, tmp_path / "ca.der")
        assert len(wire.heard) == (not case.says)
    if not case.says:
        assert told == "10 bytes"
        return
    clock = f"; the board's clock says {TODAY}: if it is wrong, set it with ota.set_clock" if case.clock else ""
    url = f"https://{case.host}:{wire.port}/x"
    assert told == f"TransportError: GET {url}: TLS with {case.host}: {case.says}{clock}"


def test_a_certificate_with_several_faults_is_told_all_of_them(tmp_path):
    """mbedTLS goes on after the first; the words are put together."""
    from datetime import datetime, timezone

    then = datetime.now(timezone.utc) + certificates.DAY
    bad = trustme.CA().issue_cert("example.org", not_before=then, not_after=then + certificates.DAY)
    (tmp_path / "ca.der").write_bytes(der(trustme.CA()))
    with Wire(LENGTH, tls=context(bad)) as wire:
        (told,) = client(ASK, wire.port, "localhost", tmp_path / "ca.der")
    assert "its certificate is not valid yet, is for another host, is not signed by the authority in ca=; " in told


def test_an_error_of_tls_that_is_not_of_the_certificate_is_told_as_it_is(tmp_path):
    """A server without any version of TLS that the board has."""
    ca = trustme.CA()
    (tmp_path / "ca.der").write_bytes(der(ca))
    tls = context(ca.issue_cert("localhost"))
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    with Wire(LENGTH, tls=tls) as wire:
        (told,) = client(ASK, wire.port, "localhost", tmp_path / "ca.der")
    assert "TLS with localhost: " in told and "MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE" in told


def test_a_way_to_another_https_server_is_taken_without_the_credentials_and_a_way_down_is_not(tmp_path, runtime):  # noqa: F811
    ca = trustme.CA()
    (tmp_path / "ca.der").write_bytes(der(ca))
    tls = context(ca.issue_cert("localhost"))
    script = """
t = HttpsTransport("https://localhost:" + ARGS[0], ca=ARGS[1], token="secret", retries=0)
print(outcome(t, "a"))
print(outcome(t, "b"))
"""
    with Wire(LENGTH, tls=tls) as other, Wire(LENGTH) as plain:
        ways = (f"https://localhost:{other.port}/y", f"http://localhost:{plain.port}/y")
        answers = [f"HTTP/1.1 302 x\r\nLocation: {way}\r\nContent-Length: 0\r\n\r\n".encode() for way in ways]
        with Wire(*answers, tls=tls) as wire:
            told = runtime(script, wire.port, tmp_path / "ca.der")
            assert ["Bearer secret" in request for request in wire.heard] == [True, True]
        assert len(other.heard) == 1 and "secret" not in other.heard[0]
        assert plain.heard == []
    assert told[0] == "10 bytes"
    assert told[1].endswith(f"{ways[1]}: HttpsTransport needs https://")


TWO = """
def read(path):
    with open(path, "rb") as f:
        return f.read()
def ask(url, ca):
    return outcome(HttpsTransport(url, ca=ca, retries=0), "x")
d = ARGS[0]
FORMS = {
    "list of paths": [d + "/old.der", d + "/new.der"],
    "tuple of content": (read(d + "/old.der"), read(d + "/new.pem")),
    "path of DER": d + "/both.der",
    "content in DER": read(d + "/both.der"),
    "path of PEM": d + "/both.pem",
    "content in PEM": read(d + "/both.pem"),
    "one of both in a list": [d + "/both.pem"],
    "words around PEM": d + "/words.pem",
    "old alone": d + "/old.pem",
    "new alone": d + "/new.der",
}
for name, ca in FORMS.items():
    print(json.dumps([name] + [ask(url, ca)[-60:] for url in ARGS[1:]]))
"""
OTHER = "its certificate is not signed by the authority in ca="


def test_several_authorities_are_trusted_at_once_in_whatever_form_they_come(tmp_path, runtime):  # noqa: F811
    """Of each the servers' certificates are taken, also that of a third server by a redirect; no other."""
    old, new, stranger = trustme.CA(), trustme.CA(), trustme.CA()
    for name, pair in (("old", [old]), ("new", [new]), ("both", [old, new])):
        (tmp_path / f"{name}.der").write_bytes(b"".join(map(der, pair)))
        (tmp_path / f"{name}.pem").write_bytes(b"".join(ca.cert_pem.bytes() for ca in pair))
    pem = old.cert_pem.bytes().replace(b"\n", b"\r\n") + b"# the next one\r\n" + new.cert_pem.bytes().rstrip()
    (tmp_path / "words.pem").write_bytes(b"0 of: sample\r\n" + pem)
    with contextlib.ExitStack() as stack:
        urls = []
        for ca in (old, new, stranger):
            wire = stack.enter_context(Wire(LENGTH, tls=context(ca.issue_cert("localhost"))))
            urls.append(f"https://localhost:{wire.port}")
        moved = f"HTTP/1.1 302 x\r\nLocation: {urls[1]}/y\r\nContent-Length: 0\r\n\r\n".encode()
        wire = stack.enter_context(Wire(moved, tls=context(old.issue_cert("localhost"))))
        told = [json.loads(line) for line in runtime(TWO, tmp_path, *urls, f"https://localhost:{wire.port}")]
    assert len(told) == 10
    for name, by_old, by_new, by_stranger, by_redirect in told:
        assert by_old == "10 bytes" or name == "new alone" and by_old.endswith(OTHER), name
        assert by_new == "10 bytes" or name == "old alone" and by_new.endswith(OTHER), name
        assert (by_redirect == "10 bytes") == (not name.endswith("alone")), name
        assert by_stranger.endswith(OTHER), name


def test_an_authority_that_cannot_be_read_is_refused_by_its_name_when_the_transport_is_made(tmp_path, runtime):  # noqa: F811
    """Never a part of a list or of a file without a word."""
    ca = trustme.CA()
    pem = ca.cert_pem.bytes()
    contents = {
        "empty": b"", "words": b"no certificate\n", "a key": ca.private_key_pem.bytes(), "half DER": der(ca)[:-5], "no more than a tag": b"0",
        "one and a half in DER": der(ca) + der(ca)[:90], "DER and a newline": der(ca) + b"\n", "half PEM": pem[:-50],
        "one and a half in PEM": pem + pem[:-50], "PEM with a wrong line": pem.replace(b"M", b"*"), "PEM of words": pem[:28] + b"\nd29yZHM=\n" + pem[-26:],
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "right").write_bytes(pem)
    script = """
def make(ca):
    try:
        HttpsTransport("https://h", ca=ca)
    except OtaError as e:
        return "%s: %s" % (type(e).__name__, e)
for name in json.loads(ARGS[1]):
    path = ARGS[0] + "/" + name
    with open(path, "rb") as f:
        content = f.read()
    print(json.dumps([make(path), make([ARGS[0] + "/right", path]), make(content or b"0"), make((content or b"0",))]))
print(json.dumps([make(ARGS[0] + "/missing"), make([5]), make([None]), make(5), make([]), make("")]))
"""
    *told, more = map(json.loads, runtime(script, tmp_path, json.dumps(list(contents))))
    for name, said in zip(contents, told):
        by_path = f"TransportError: ca {str(tmp_path / name)!r}: is not a certificate in DER or PEM, or is cut short"
        assert said[:2] == [by_path, by_path]
        assert all(s.startswith("TransportError: ca b") and s.endswith("or is cut short") for s in said[2:]), (name, said)
    missing, *others = more
    assert missing.lower().startswith(f"transporterror: ca {str(tmp_path / 'missing')!r}: no such file".lower())
    assert all(s.startswith(("TransportError: ca ", "TransportError: https://h/: give ca=")) for s in others), others


def test_a_firmware_that_shows_no_certificates_still_tells_a_wrong_authority(tmp_path):
    """Before `verify_callback`: a self-signed certificate is then just one of another authority."""
    (tmp_path / "ca.der").write_bytes(CASES["self-signed"].ca)
    old = """
import sys, ssl
class Context:
    def __init__(self, protocol):
        self.real = ssl.SSLContext(protocol)
        self.load_verify_locations = self.real.load_verify_locations
    def wrap_socket(self, sock, server_hostname):
        self.real.verify_mode = self.verify_mode
        return self.real.wrap_socket(sock, server_hostname=server_hostname)
class Ssl:
    PROTOCOL_TLS_CLIENT = ssl.PROTOCOL_TLS_CLIENT
    CERT_REQUIRED = ssl.CERT_REQUIRED
    SSLContext = Context
sys.modules["ssl"] = Ssl
"""
    with Wire(LENGTH, tls=CASES["self-signed"].tls) as wire:
        (told,) = client(old + ASK, wire.port, "localhost", tmp_path / "ca.der")
    assert told.endswith("TLS with localhost: its certificate is not signed by the authority in ca=")


def test_a_firmware_that_gives_no_reason_still_gets_the_date_of_the_board(tmp_path):
    """Older ones say only that it failed, as an OSError."""
    script = """
import sys
class Context:
    def __init__(self, protocol): pass
    def load_verify_locations(self, cadata): pass
    def wrap_socket(self, sock, server_hostname):
        raise OSError(-9984, "MBEDTLS_ERR_X509_CERT_VERIFY_FAILED")
class Ssl:
    PROTOCOL_TLS_CLIENT = CERT_REQUIRED = 0
    SSLContext = Context
sys.modules["ssl"] = Ssl
"""
    (tmp_path / "ca.der").write_bytes(CASES["rsa"].ca)
    with Wire(LENGTH) as wire:
        (told,) = client(script + ASK, wire.port, "localhost", tmp_path / "ca.der")
    assert f"MBEDTLS_ERR_X509_CERT_VERIFY_FAILED; the board's clock says {TODAY}" in told


def test_a_doubted_authority_on_a_full_heap_is_told_with_what_is_free(tmp_path):
    """On a Pico W, mbedTLS says the same of a good certificate when its RAM runs out."""
    (tmp_path / "ca.der").write_bytes(CASES["other-ca"].ca)
    with Wire(LENGTH, tls=CASES["other-ca"].tls) as wire:
        (told,) = client("ROOM = 40000" + FULL + ASK, wire.port, "localhost", tmp_path / "ca.der", heap="300k")
    free = re.search(r"authority in ca=; or RAM ran out: (\d+) bytes are free, TLS takes up to 35000$", told)
    assert 20000 < int(free[1]) < 60000


def test_the_page_about_https_works_from_its_first_command_to_the_update(tmp_path):
    """Its commands make the certificates, its nginx shows them, and its programs set the clock and update a board."""
    program("openssl")
    page = (ROOT / "docs/how-to/https.md").read_text().replace("ota.example.org", "localhost")
    blocks = {language: [t for name, t in BLOCK.findall(page) if name == language] for language in ("sh", "nginx", "python")}
    for commands in blocks["sh"][:1]:
        done = subprocess.run(["sh", "-ec", commands], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    release(tmp_path / "www" / "sample", {"main.py": b"x = 1\n"})
    inside = re.sub(r"\b(server\.(?:pem|key))", rf"{tmp_path}/\1", blocks["nginx"][0])
    update, by_ntp = blocks["python"]
    before = f"""
class Ntptime:
    def settime(self): print("set")
sys.modules["ntptime"] = Ntptime()
ramflash.write("ca.der", {(tmp_path / "ca.der").read_bytes()!r})
"""
    with nginx(tmp_path, inside.replace("listen 443", "listen 127.0.0.1:{port}")) as port:
        told = run_mp(STAGE + before + by_ntp + update.replace("localhost", f"localhost:{port}")).stdout
    assert told == "set\nreset\n"
    assert [path for _, _, path, *_ in requests(tmp_path)[:3]] == ["/sample/", "/sample/", "/sample/stable.manifest"]


CHANGE = """
import json, os, ramflash
ramflash.mount(ramflash.Flash(128), "lfs2", True)  # before the library looks where it is
import ota
from ota import HttpsTransport, OtaError, Updater
folder, servers = json.loads(os.getenv("ARGS"))
with open(folder + "/old.der", "rb") as f:
    ramflash.write("ca.der", f.read())
for port in servers.split():
    try:
        ready = Updater(HttpsTransport("https://localhost:" + port + "/sample", ca="ca.der", retries=0)).run(reset=False)
        ota.boot()
        ota.boot()
        ota.confirm()
        print(ready, ota.status()["version"])
    except OtaError as e:
        print(e)
"""


def test_a_fleet_changes_its_authority_by_the_page_and_loses_no_board(tmp_path):
    """Its commands, in its order: a board that takes part, one that was off meanwhile, and one without the steps."""
    program("openssl")
    page = (ROOT / "docs/how-to/https.md").read_text().replace("ota.example.org", "localhost")
    for commands in [text for name, text in BLOCK.findall(page) if name == "sh"]:
        done = subprocess.run(["sh", "-ec", commands], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (tmp_path / "old.der").write_bytes((tmp_path / "ca.der").read_bytes())
    assert (tmp_path / "both.der").read_bytes() == b"".join((tmp_path / f"{n}.der").read_bytes() for n in ("old", "next"))
    releases = {seq: {"ca.der": (tmp_path / f"{name}.der").read_bytes()} for seq, name in enumerate(("old", "both", "next"), 1)}

    def shows(seq, cert, key):
        home = tmp_path / f"{seq}-{cert}"
        release(home / "www" / "sample", releases[seq], seq=seq, version=f"v{seq}")
        os.utime(home / "www" / "sample" / "stable.manifest", (seq, seq))  # what nginx makes its tags of
        inside = f"listen 127.0.0.1:{{port}} ssl; ssl_certificate {tmp_path}/{cert}.pem; ssl_certificate_key {tmp_path}/{key}.key;"
        return nginx(home, inside + " ssl_protocols TLSv1.2;")

    with contextlib.ExitStack() as stack:
        one, two, alone, crossed = (
            str(stack.enter_context(shows(*server)))
            for server in ((1, "server", "server"), (2, "server", "server"), (3, "server2", "server2"), (3, "chain", "server2"))
        )
        took_part, was_off, lost = (
            [line for line in run_mp(CHANGE, tmp_path, " ".join(ports)).stdout.splitlines() if line[:5] != "ota: "]
            for ports in ((one, two, alone, alone), (one, crossed, crossed, alone), (one, alone))
        )
    assert took_part == ["True v1", "True v2", "True v3", "False v3"]
    assert was_off == ["True v1", "True v3", "False v3", "False v3"]
    assert lost[0] == "True v1" and lost[1].endswith(OTHER), "so that the test would see a board that is lost"
