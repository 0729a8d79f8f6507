"""`ota.watch` on the real MicroPython against real servers: what a poll costs, and when the next one is."""

import contextlib
import datetime
import email.utils
import json
import signal
import socket
import subprocess
import sys
import threading

import pytest
from servers import Wire, free_port, nginx, requests
from support import release, run_mp

from ota.transports.retry import retry_s

FILES = {"main.py": b"main 1" * 500, "lib/a.py": b"a"}
# A clock that only moves by sleeping, and a draw in the middle; the watch ends after `rounds` sleeps.
BOARD = """
from world import *
import gc, sys
from ota.poll import watch, watch_async
from ota.storage import suitable
from ota.transports.http import HttpTransport
from ota.updater import Updater
poll = sys.modules["ota.poll"]
class Done(Exception):
    pass
clock, waits, rounds = [0], [], [3]
def nap(seconds):
    waits.append(seconds)
    clock[0] += round(seconds * 1000)
    if len(waits) == rounds[0]:
        raise Done
poll.sleep = nap
poll.ticks_ms = lambda: clock[0]
poll.getrandbits = lambda n: 0x8000
def over_http(url, **options):
    del EVENTS[:]
    tell = lambda *event: EVENTS.append(event)
    return Updater(HttpTransport(url, retries=0), storage=suitable("/flash/"), on_event=tell, **options)
def until_done(u, *args, **options):
    try:
        return watch(u, *args, **options)
    except Done:
        return "done"
def errors():
    return [str(what) for event, what in EVENTS if event == "error"]
"""


def board(script, *args, **options):
    """Run `script` on a board; gives what it told (dict)."""
    done = run_mp(BOARD + script, *args, **options)
    facts = {}
    for line in done.stdout.splitlines():
        if line.startswith("FACTS "):
            facts.update(json.loads(line[6:]))
    assert facts, done.stdout + done.stderr
    return facts


def answer(status, body=b"", **headers):
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{''.join(lines)}\r\n"
    return head.encode() + body


@contextlib.contextmanager
def relay(port):
    """A port that leads to `port`, and the list of bytes both ways, a number a connection."""
    counts = []
    server = socket.create_server(("127.0.0.1", 0))

    def pump(source, sink, i):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                counts[i] += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def run():
        with contextlib.suppress(OSError):
            while True:
                near, far = server.accept()[0], socket.create_connection(("127.0.0.1", port))
                counts.append(0)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=(*pair, len(counts) - 1), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    with server:
        yield server.getsockname()[1], counts


@contextlib.contextmanager
def desk_server(folder, server=None):
    """`ota serve` on a free port."""
    command = [sys.executable, "-m", "ota_host.cli", "serve", str(folder / "www"), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["port"]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)


HOURLY = "listen 127.0.0.1:{port}; location / { add_header Cache-Control 'max-age=3600, s-maxage=0'; }"


@pytest.mark.parametrize("serve", [nginx, desk_server], ids=["nginx", "ota-serve"])
def test_nothing_new_costs_one_request_of_400_bytes_both_ways_and_no_flash_operation(tmp_path, serve):
    """From the second poll on: with the first the board learns that it has the newest."""
    release(tmp_path / "www" / "sample", FILES)
    with serve(tmp_path, HOURLY) as port, relay(port) as (port, counts):
        facts = board(
            """
flash = power_up()
u = over_http(ARGS[0])
u.run(reset=False)
boot(2)
confirm()
rounds[0] = 2
until_done(u, jitter=0)
before = [flash.ops, flash.programmed, flash.erased]
del EVENTS[:], waits[:]
rounds[0] = 4
until_done(u, jitter=0)
tell(before=before, after=[flash.ops, flash.programmed, flash.erased], events=EVENTS)
""",
            f"http://127.0.0.1:{port}/sample",
        )
    assert facts["before"] == facts["after"]
    assert facts["events"] == [["current", None]] * 3
    assert len(counts) == 1 + 1 + 3
    assert all(100 < count <= 400 for count in counts[-3:]), counts


@pytest.fixture
def installed(tmp_path):
    """The manifest of a release, and a script that brings a board up with it, confirmed."""
    manifest = release(tmp_path / "tree", FILES)
    return manifest, f"power_up()\ninstall({str(tmp_path / 'tree')!r})\n"


def test_the_first_check_is_at_a_part_of_the_interval_and_the_next_ones_an_interval_and_jitter_later(installed):
    manifest, up = installed
    with Wire(answer(200, manifest)) as wire:
        facts = board(up + "until_done(over_http(ARGS[0]), 1000, jitter=0.1)\ntell(waits=waits)", wire.url)
        assert len(wire.heard) == 2
    assert facts["waits"] == pytest.approx([500, 1050, 1050])


def test_boards_without_random_numbers_of_their_own_are_spread_by_their_ids():
    """Some ports give every board the same ones after every boot."""
    facts = board(
        """
power_up()
told = []
rounds[0] = 1
for i in range(200):
    until_done(over_http("http://127.0.0.1:1", device_id="e6614c%06x" % i), 1000)
    told.append(waits.pop())
tell(told=told)
"""
    )
    tenths = [int(wait // 100) for wait in facts["told"]]
    assert all(10 <= tenths.count(i) <= 30 for i in range(10)), tenths


DAY = 86400
SAID = {
    "more": ("max-age=7200, s-maxage=0", 3600, 7200),
    "more-without-blanks-in-capitals": ("s-maxage=0,MAX-AGE=7200", 3600, 7200),
    "less": ("max-age=60", 3600, 3600),
    "nothing": ("no-cache", 3600, 3600),
    "a-year": ("max-age=31536000", 3600, DAY),
    "a-number-without-end": ("max-age=" + "9" * 200, 3600, DAY),
    "a-day-where-the-board-has-a-week": ("max-age=86400", 7 * DAY, 7 * DAY),
    "no-number": ("max-age=-5", 3600, 3600),
    "for-caches-on-the-way": ("s-maxage=7200", 3600, 3600),
}


def test_the_server_makes_the_interval_longer_up_to_a_day_and_never_shorter(installed):
    """One board after the other hears each of these with its manifest."""
    manifest, up = installed
    with Wire(*[answer(200, manifest, Cache_Control=said) for said, _, _ in SAID.values()]) as wire:
        facts = board(
            up
            + """
rounds[0], told = 2, []
poll._SLICE = 9999999
for every in ARGS[1:]:
    until_done(over_http(ARGS[0]), int(every), jitter=0)
    told.append(waits[1])
    del waits[:]
tell(told=told)
""",
            wire.url,
            *[every for _, every, _ in SAID.values()],
        )
    assert dict(zip(SAID, facts["told"], strict=True)) == {name: want for name, (_, _, want) in SAID.items()}


def test_a_cache_on_the_way_passes_every_check_on_and_the_interval_back(tmp_path):
    """nginx as the origin and as a cache before it: `s-maxage=0` is for the cache, `max-age` for the board."""
    origin, cache = tmp_path / "origin", tmp_path / "cache"
    cache.mkdir()
    release(origin / "www" / "sample", FILES)
    with nginx(origin, HOURLY) as behind:
        # `nginx` puts this into the server block; the zone belongs beside it.
        front = f"""listen 127.0.0.1:{{port}};
            location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_cache z; proxy_cache_revalidate on; }} }}
            proxy_cache_path {cache}/z keys_zone=z:1m; server {{ listen 127.0.0.1:{free_port()};"""
        with nginx(cache, front) as port:
            facts = board(
                """
power_up()
u = over_http(ARGS[0])
u.run(reset=False)
boot(2)
confirm()
until_done(u, 60, jitter=0)
tell(waits=waits, last=EVENTS[-1][0])
""",
                f"http://127.0.0.1:{port}/sample",
            )
    assert facts == {"waits": [30, 3600, 3600], "last": "current"}
    assert len([1 for _, _, path, *_ in requests(origin) if "manifest" in path]) == 3


def test_after_errors_the_waits_are_drawn_below_a_limit_that_doubles_up_to_the_interval():
    """Full jitter, here always the middle; the errors are told."""
    facts = board(
        """
power_up()
rounds[0] = 9
until_done(over_http("http://127.0.0.1:%s" % ARGS[0]), 1000, jitter=0)
tell(waits=waits, errors=errors())
""",
        free_port(),
    )
    assert facts["waits"] == pytest.approx([500, 15, 30, 60, 120, 240, 480, 500, 500])
    assert len(facts["errors"]) == 8 and "GET http://127.0.0.1" in facts["errors"][0]


def test_a_success_ends_the_backoff_and_a_server_that_asked_for_longer_keeps_its_limit(installed):
    manifest, up = installed
    good = answer(200, manifest, Cache_Control="max-age=80")
    bad = answer(500)
    with Wire(bad, bad, good, bad, bad, bad) as wire:
        facts = board(up + "rounds[0] = 7\nuntil_done(over_http(ARGS[0]), 40, jitter=0)\ntell(waits=waits)", wire.url)
    assert facts["waits"] == pytest.approx([20, 15, 20, 80, 15, 30, 40])


def test_a_server_that_asks_to_be_left_alone_is_left_alone_for_that_long_and_a_draw(installed):
    """429 and 503 with Retry-After, also as a date; of other answers it means nothing."""
    manifest, up = installed
    date = {"Date": "Wed, 25 Nov 2026 10:00:00 GMT", "Retry_After": "Wed, 25 Nov 2026 10:10:00 GMT"}
    answers = [
        answer(503, Retry_After=120),
        answer(429, **date),
        answer(500, Retry_After=120),  # tried again by the transport
        answer(404, Retry_After=120),
        answer(503, Retry_After=99999999),
        answer(200, manifest),
    ]
    with Wire(*answers) as wire:
        facts = board(
            up
            + """
rounds[0] = 6
poll._SLICE = 9999999
u = over_http(ARGS[0])
u.transport.retries = 3     # it would wait by itself, unfed
u.transport.backoff_ms = 0
import ota.transports
class NoTime:
    def sleep(self, seconds):
        assert not seconds
sys.modules["ota.transports"].time = NoTime()
until_done(u, 100, jitter=0)
tell(waits=waits, errors=errors())
""",
            wire.url,
        )
        assert len(wire.heard) == 6
    assert facts["waits"] == pytest.approx([50, 120 + 15, 600 + 30, 50, DAY + 50, 100])


