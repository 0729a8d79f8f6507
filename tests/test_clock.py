"""`set_clock` on the real MicroPython, against real servers. With the chip's own clock: test_pico_tls.py."""

import email.utils
import time

import pytest
import trustme
from certificates import context, der
from hypothesis import given
from hypothesis import strategies as st
from servers import Wire, nginx, requests
from support import release, run_mp
from test_http import tls_server

from ota.clock import stamp

DATE, SECONDS = "Wed, 25 Nov 2026 15:44:53 GMT", 1795621493
FIELDS = (2026, 11, 25, 2, 15, 44, 53, 0)  # of machine.RTC: Monday is 0

BOARD = """
import json, os, sys
import ramflash
ramflash.mount(ramflash.Flash(), "lfs2", True)
ARGS = json.loads(os.getenv("ARGS"))
told = []
class Machine:
    class RTC:
        def datetime(self, fields=None):
            if fields is None:
                return "as before"
            told.append(fields)
    @staticmethod
    def unique_id(): return b"1"
sys.modules["machine"] = Machine
from ota import HttpTransport, HttpsTransport, OtaError, Updater, set_clock
def outcome(transport):
    try:
        return set_clock(transport)
    except OtaError as e:
        return "%s: %s" % (type(e).__name__, e)
"""


def board(script, *args):
    return run_mp(BOARD + script, *args).stdout.splitlines()


def answer(date=DATE, status=200):
    return f"HTTP/1.1 {status} x\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()


@given(st.integers(946684800, 4102444799))
def test_every_second_of_the_century_is_read_as_the_standard_library_writes_it(seconds):
    assert stamp(email.utils.formatdate(seconds, usegmt=True)) == seconds


@given(st.text() | st.text("0123456789 :,ADFGJMNOSTWabcdeghilnoprtuvy", min_size=29, max_size=29))
def test_any_text_gives_a_number_or_a_value_error(text):
    try:
        assert 946684800 <= stamp(text) < 4102531200
    except ValueError:
        pass


BAD = [
    "", DATE[:-1], DATE + " ", DATE.replace("GMT", "UTC"), DATE.replace("Nov", "nov"), DATE.replace("Nov", "ovD"),
    DATE.replace("25", "00"), DATE.replace("25", "32"), DATE.replace("15:", "24:"), DATE.replace("44", "60"),
    DATE.replace("53", "61"), DATE.replace("2026", "1999"), DATE.replace("2026", "2100"), DATE.replace("25", "+5"),
    "Wednesday, 25-Nov-26 15:44:53 GMT", "Wed Nov 25 15:44:53 2026",
]  # fmt: skip


def test_what_is_no_date_is_refused_on_a_board():
    script = """
from ota.clock import stamp
for text in ARGS:
    try:
        print(stamp(text))
    except ValueError as e:
        print(e)
"""
    told = board(script, DATE, *BAD)
    assert told == [str(SECONDS)] + [f"Date is {text[:32]!r}" for text in BAD]


@pytest.mark.parametrize("status", [200, 301, 401, 404, 503])
def test_the_date_of_any_answer_sets_the_clock(status):
    with Wire(answer(status=status)) as wire:
        told = board("print(outcome(HttpTransport(ARGS[0])), told)", wire.url)
        assert [request.split()[1] for request in wire.heard] == ["/"]
    assert told == [f"{SECONDS} [{FIELDS}]"]


HTTPS = """
t = HttpsTransport("https://localhost:" + ARGS[0], ca=open(ARGS[1], "rb").read(), token="secret")
print(outcome(t), told)
"""


def test_over_https_the_first_date_comes_without_credentials_and_the_second_one_stays(tmp_path):
    """The first answer is anybody's, so it gets no password and its date does not last."""
    ca = trustme.CA()
    (tmp_path / "ca.der").write_bytes(der(ca))
    first = answer(DATE.replace("2026", "2027"))
    with Wire(first, answer(), tls=context(ca.issue_cert("localhost"))) as wire:
        (told,) = board(HTTPS, wire.port, tmp_path / "ca.der")
        assert ["secret" in request for request in wire.heard] == [False, True]
    assert told == f"{SECONDS} [{(2027, 11, 25, 3, *FIELDS[4:])}, {FIELDS}]"


def test_a_server_that_is_not_the_right_one_leaves_the_clock_as_it_was(tmp_path):
    (tmp_path / "ca.der").write_bytes(der(trustme.CA()))
    with Wire(answer(), tls=context(trustme.CA().issue_cert("localhost"))) as wire:
        (told,) = board(HTTPS, wire.port, tmp_path / "ca.der")
        assert len(wire.heard) == 1
    assert told.startswith(f"TransportError: clock by https://localhost:{wire.port}/: TLS with localhost: ")
    assert told.endswith(f"not signed by the authority in ca= [{FIELDS}, 'as before']")


def test_no_date_before_the_newest_signed_release_is_taken():
    """The state remembers the `time` of that release; one second before it is refused, that second is not."""
    script = """
from ota.bootguard import load, save
for time in 1795621494, 1795621493:
    save(None, dict(load(), time=time))
    print(outcome(HttpTransport(ARGS[0])), told)
"""
    with Wire(answer()) as wire:
        told = board(script, wire.url)
    assert told == [
        f"TransportError: clock by {wire.url}/: 1795621493 is before 1795621494, the newest known ['as before']",
        f"{SECONDS} ['as before', {FIELDS}]",
    ]


def test_no_date_before_the_library_was_written_is_taken():
    with Wire(answer(DATE.replace("2026", "2024"))) as wire:
        (told,) = board("print(outcome(HttpTransport(ARGS[0])))", wire.url)
    assert told.endswith("1732549493 is before 1759276800, the newest known")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", "Date is ''"),
        (answer("today"), "Date is 'today'"),
        (b"", "closed without an answer"),
        (b"SSH-2.0-x\r\n\r\n", "is not HTTP"),
    ],
    ids=["no-date", "odd-date", "nothing", "not-http"],
)
def test_a_server_that_tells_no_date_is_an_error_that_names_it(raw, says):
    with Wire(raw) as wire:
        (told,) = board("print(outcome(HttpTransport(ARGS[0])), told)", wire.url)
    assert told.startswith(f"TransportError: clock by {wire.url}/: ") and says in told
    assert told.endswith("['as before']")


def test_a_board_without_a_clock_says_so():
    (told,) = board('del Machine.RTC\nprint(outcome(HttpTransport("http://127.0.0.1")))')
    assert told == "OtaError: no clock to set: there is no machine.RTC"


MIRRORS = """
from ota import MirrorTransport, SdTransport
t = MirrorTransport(SdTransport("/sd"), HttpTransport(ARGS[0]), HttpTransport(ARGS[1]))
print(outcome(t), told)
"""


def test_of_mirrors_the_first_that_tells_a_date_sets_the_clock():
    """One of them is a card, and the next tells none."""
    with Wire(b"HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n") as without, Wire(answer()) as wire:
        assert board(MIRRORS, without.url, wire.url) == [f"{SECONDS} ['as before', {FIELDS}]"]
        assert [len(w.heard) for w in (without, wire)] == [1, 1]


def test_when_no_mirror_tells_a_date_the_error_is_that_of_the_last():
    with Wire(answer("today")) as wire:
        (told,) = board(MIRRORS, wire.url, wire.url)
    assert told == f"TransportError: clock by {wire.url}/: Date is 'today' ['as before', 'as before']"


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ("SdTransport('/sd')", "SdTransport"),
        ("MirrorTransport(SdTransport('/sd'))", "SdTransport"),
        ("Own()", "Own"),
        ("'http://me:hunter2@h/'", "str"),
        ("None", "NoneType"),
    ],
)
def test_a_transport_without_a_server_is_an_error_that_names_it(made, kind):
    script = f"""
from ota import MirrorTransport, SdTransport, Transport
class Own(Transport): pass
print(outcome({made}), told)
"""
    assert board(script) == [f"OtaError: no date comes from a {kind}: use an HttpTransport []"]


def test_the_update_that_follows_uses_the_connection_that_told_the_date(tmp_path):
    """A handshake is what TLS costs most: two of them in all."""
    ca = trustme.CA()
    release(tmp_path / "www", {"main.py": b"x = 1\n"})
    (tmp_path / "ca.der").write_bytes(der(ca))
    with nginx(tmp_path, tls_server(tmp_path, ca.issue_cert("localhost"))) as port:
        (told,) = board(HTTPS + "print(Updater(t).run(reset=False))", port, tmp_path / "ca.der")[1:]
    assert told == "True"
    asked = requests(tmp_path)
    assert [connection == asked[1][0] for connection, *_ in asked] == [False, True, True, True]
    assert [path for _, _, path, *_ in asked[:3]] == ["/", "/", "/stable.manifest"]


LATE = """
import time as real
class Time:
    # The clock that machine.RTC sets.
    offset = 0
    def time(self): return real.time() + self.offset
    def __getattr__(self, name): return getattr(real, name)
clock = Time()
class RTC:
    def datetime(self, fields=None):
        if fields is None:
            return real.gmtime(clock.time())
        y, m, d, _, h, mi, s = fields[:7]
        clock.offset = real.mktime((y, m, d, h, mi, s, 0, 0, 0)) - real.time()
Machine.RTC = RTC
sys.modules["time"] = clock
"""


def test_a_forged_late_date_holds_a_release_back_until_the_clock_is_set_again(tmp_path):
    """What the docstring says of plain HTTP: nothing of the forged date is kept on flash."""
    soon = int(time.time()) + 9 * 86400
    release(tmp_path / "www", {"main.py": b"x = 1\n"}, expires=soon)
    forged = email.utils.formatdate(soon + 86400, usegmt=True)
    script = """
def run():
    try:
        print(Updater(HttpTransport(ARGS[0])).run(reset=False))
    except OtaError as e:
        print(e)
    print([name for name, *_ in os.ilistdir()])
set_clock(HttpTransport(ARGS[1]))
run()
set_clock(HttpTransport(ARGS[0]))
run()
"""
    with nginx(tmp_path, "listen 127.0.0.1:{port};") as port, Wire(answer(forged)) as liar:
        told = board(LATE + script, f"http://127.0.0.1:{port}", liar.url)
    assert f"expired at {soon}, now is {soon + 86400}" in told[0]
    assert told[1] == "[]"
    assert told[2] == "True"
