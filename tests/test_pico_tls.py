"""HTTPS on the unmodified firmware of the Pico W: whom it trusts, what it says, and how it gets to know the date."""

import contextlib
import datetime
import email.utils
import json
import warnings

import certificates
import pytest
import trustme
from certificates import DAY, KEYS, context, der
from missing import no_firmware
from on_pico import pico_with_library
from servers import Wire

from ota_host.boards import WIFI_BOOT, FirmwareUnavailable, firmware

pytestmark = [pytest.mark.pico_w, pytest.mark.slow, pytest.mark.timeout(1200)]

GATEWAY = "10.0.0.1"  # leads to this machine, as every address but the board's own does
PROGRAM = """
import json, machine, time
from ota import HttpsTransport, OtaError, set_clock
def make(port, ca, host="localhost"):
    return HttpsTransport("https://%s:%d/s" % (host, port), ca=ca, token="secret", timeout=20, retries=0)
def ask(name, *args):
    t = make(*args)
    try:
        s = t.open("x")
        got = "%d bytes" % s.readinto(bytearray(64))
        s.close()
    except OtaError as e:
        got = str(e)
    t.close()
    print(json.dumps([name, got]))
def clock(name, *args):
    try:
        got = set_clock(make(*args))
    except OtaError as e:
        got = str(e)
    print(json.dumps([name, got]))
    print(json.dumps([name + ": date", "%d-%02d-%02d" % time.gmtime()[:3]]))
"""


@pytest.fixture(scope="module")
def uf2():
    try:
        return firmware.pico_w_firmware()
    except FirmwareUnavailable as e:
        warnings.warn("the tests of TLS on the real firmware did NOT run: %s" % e, stacklevel=1)
        no_firmware(e)


def answer(date=None, location=None):
    """A whole HTTP response of 2 bytes, with the date of now."""
    date = date or email.utils.formatdate(usegmt=True)
    head = f"HTTP/1.1 {302 if location else 200} x\r\nDate: {date}\r\nContent-Length: 2\r\n"
    return (head + (f"Location: {location}\r\n" if location else "") + "\r\nok").encode()


def test_the_real_firmware_trusts_the_right_server_only_and_learns_the_date_from_it(tmp_path, uf2):
    """In one boot, since each handshake takes ten seconds here: a board that does not know the date is told so; a
    forged date is put back; the right one is set, by one request without the password and one with it; then every
    certificate that is right or wrong, and two redirects."""
    today = datetime.datetime.now(datetime.timezone.utc)
    authority = trustme.CA(key_type=KEYS["rsa"])
    mine = context(authority.issue_cert("localhost", key_type=KEYS["rsa"], not_before=today - DAY, not_after=today + 9 * DAY))
    forged = email.utils.format_datetime(today + 99 * DAY, usegmt=True)
    cases = certificates.cases(GATEWAY)
    del cases["between"]
    files = {"ca.der": der(authority)}
    with contextlib.ExitStack() as stack:

        def wire(*answers, tls=mine):
            return stack.enter_context(Wire(*answers, tls=tls))

        honest, liar, plain, other = wire(answer()), wire(answer(forged)), wire(answer(), tls=None), wire(answer())
        away, down = (f"https://localhost:{other.port}/y", f"http://localhost:{plain.port}/y")
        moved = wire(answer(location=away), answer(location=down))
        calls = [
            f"ask('no date', {honest.port}, 'ca.der')",
            f"clock('forged', {liar.port}, 'ca.der')",
            f"clock('right', {honest.port}, 'ca.der')",
        ]
        wires = {}
        for name, case in cases.items():
            files[name + ".der"] = case.ca
            wires[name] = wire(answer(), tls=case.tls)
            calls.append(f"ask({name!r}, {wires[name].port}, '{name}.der', {case.host!r})")
        calls += [f"ask({name!r}, {moved.port}, 'ca.der')" for name in ("away", "down")]
        with pico_with_library(tmp_path / "flash.img", files, uf2) as board:
            said = board.exec(WIFI_BOOT + PROGRAM + "\n".join(calls), timeout=1000)
    told = dict(map(json.loads, said.splitlines()))
    advice = "; the board's clock says %s: if it is wrong, set it with ota.set_clock"
    assert told.pop("no date").endswith("TLS with localhost: its certificate is not valid yet" + advice % "2021-01-01")
    assert "TLS with localhost: its certificate has expired" in told.pop("forged")
    assert told.pop("forged: date") == "2021-01-01"
    assert abs(told.pop("right") - today.timestamp()) < 1200
    assert told.pop("right: date") == f"{today:%Y-%m-%d}"
    assert ["secret" in request for request in liar.heard] == [False]
    assert ["secret" in request for request in honest.heard] == [False, True]
    for name, case in cases.items():
        got = told.pop(name)
        if case.says:
            assert got.endswith(case.says + (advice % f"{today:%Y-%m-%d}" if case.clock else "")), (name, got)
        else:
            assert got == "2 bytes", (name, got)
        assert len(wires[name].heard) == (not case.says), name
    assert told.pop("away") == "2 bytes"
    assert len(other.heard) == 1 and "secret" not in other.heard[0]
    assert told.pop("down").endswith(f"{down}: HttpsTransport needs https://")
    assert plain.heard == [] and not told
