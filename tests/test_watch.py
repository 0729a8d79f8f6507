"""`ota.Watch` on the real MicroPython against real servers: what a poll costs, and when the next one is."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading

import pytest
from servers import Wire, free_port, nginx, requests
from support import ROOT, release, run_mp, told_by
from test_docs import BLOCK, STAGE
from test_guard import board as board_on_flash  # noqa: F401
from test_guard import files, library, put  # noqa: F401

from ota.transports.retry import retry_s

FILES = {"main.py": b"main 1" * 500, "lib/a.py": b"a"}
# A clock that only moves by sleeping, and a draw in the middle; the watch ends after `rounds` sleeps.
BOARD = """
from world import *
import gc, sys
from ota.watch import Watch
from ota.storage import suitable
from ota.transports.http import HttpTransport
from ota.updater import Updater
module = sys.modules["ota.watch"]
class Done(Exception):
    pass
clock, waits, rounds = [0], [], [3]
def nap(seconds):
    waits.append(seconds)
    clock[0] += round(seconds * 1000)
    if len(waits) == rounds[0]:
        raise Done
module.sleep = nap
module.ticks_ms = lambda: clock[0]
module.getrandbits = lambda n: 0x8000
def over_http(url, **options):
    del EVENTS[:]
    tell = lambda *event: EVENTS.append(event)
    return Updater(HttpTransport(url, retries=0), storage=suitable("/flash/"), on_event=tell, **options)
def until_done(u, *args, **options):
    try:
        return Watch(u, *args, **options).run()
    except Done:
        return "done"
def errors():
    return [str(what) for event, what in EVENTS if event == "error"]
"""


def board(script, *args, **options):
    """Run `script` on a board; gives what it told (dict)."""
    return told_by(BOARD + script, *args, **options)


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


def test_a_wait_that_nobody_is_fed_in_is_one_sleep_of_an_hour_at_most():
    facts = board(
        """
power_up()
until_done(over_http("http://127.0.0.1:1"), 15000)
tell(waits=waits)
"""
    )
    assert facts["waits"] == [3600, 3600, 300]


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
    "negative": ("max-age=-5", 3600, 3600),
    "no-number": ("max-age=soon", 3600, 3600),
    "no-value": ("max-age", 3600, 3600),
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
module._SLICE = 9999999
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


def test_a_short_interval_does_not_make_a_board_hammer_a_server_that_is_gone():
    facts = board(
        """
power_up()
rounds[0] = 5
until_done(over_http("http://127.0.0.1:%s" % ARGS[0]), 0)
tell(waits=waits)
""",
        free_port(),
    )
    assert facts["waits"] == [15] * 5


def test_a_success_ends_the_backoff_and_a_server_that_asked_for_longer_keeps_its_limit(installed):
    manifest, up = installed
    good = answer(200, manifest, Cache_Control="max-age=80")
    bad = answer(500)
    with Wire(bad, bad, good, bad, bad, bad) as wire:
        facts = board(up + "rounds[0] = 7\nuntil_done(over_http(ARGS[0]), 40, jitter=0)\ntell(waits=waits)", wire.url)
    assert facts["waits"] == pytest.approx([20, 15, 20, 80, 15, 30, 40])


def test_a_server_that_asks_to_be_left_alone_is_left_alone_for_that_long_and_a_draw(installed):
    """By Retry-After, also as a date, with any status that says no: 403 is that of a limit of GitHub's."""
    manifest, up = installed
    date = {"Date": "Wed, 25 Nov 2026 10:00:00 GMT", "Retry_After": "Wed, 25 Nov 2026 10:10:00 GMT"}
    answers = [
        answer(503, Retry_After=20),
        answer(429, **date),
        answer(500),  # tried again by the transport
        answer(500, Retry_After=120),
        answer(403, Retry_After=120),
        answer(404, Retry_After=120),
        answer(503, Retry_After=99999999),
        answer(200, manifest),
    ]
    with Wire(*answers) as wire:
        facts = board(
            up
            + """
rounds[0] = 8
module._SLICE = 9999999
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
        assert len(wire.heard) == 8
    assert facts["waits"] == pytest.approx([50, 20 + 15, 600 + 30, *[120 + 50] * 3, DAY + 50, 100])


def test_a_release_is_staged_in_steps_that_are_fed_and_the_board_resets_into_it(tmp_path):
    """Fed between two chunks, and ten times a second of the wait before."""
    release(tmp_path / "www" / "sample", {"main.py": bytes(9000)})
    with nginx(tmp_path, "listen 127.0.0.1:{port};") as port:
        facts = board(
            """
power_up()
class Machine:
    @staticmethod
    def reset():
        order.append("reset")
sys.modules["machine"] = Machine
order, rounds[0] = [], 0
u = over_http(ARGS[0])
told = Watch(u, 2, feed=lambda: order.append("fed")).run()
tell(told=told, order=order, waits=waits, phase=status()["phase"], events=EVENTS, kept=u.transport._link)
""",
            f"http://127.0.0.1:{port}/sample",
        )
    assert facts["waits"] == [0.1] * 10
    assert facts["order"][-1] == "reset" and facts["order"].count("fed") > 10 + 9000 // 1024
    assert facts["told"] is True and facts["phase"] == "ready" and facts["kept"] is None
    assert [event for event, _ in facts["events"]] == ["found", "fetch", "ready"]


def test_nothing_is_asked_while_a_release_is_on_trial(tmp_path):
    release(tmp_path / "tree", FILES)
    facts = board(
        """
power_up()
updater(ARGS[0]).run(reset=False)
boot()
until_done(over_http("http://127.0.0.1:%s" % ARGS[1]), 60, jitter=0)
tell(waits=waits, events=EVENTS)
""",
        tmp_path / "tree",
        free_port(),
    )
    assert facts == {"waits": [30, 60, 60], "events": [["trial", None]] * 2}


def test_without_reset_the_release_waits_and_the_watch_ends(tmp_path):
    release(tmp_path / "www" / "sample", FILES)
    with nginx(tmp_path, "listen 127.0.0.1:{port};") as port:
        facts = board(
            """
power_up()
class Machine:
    @staticmethod
    def reset():
        tell(reset=1)
sys.modules["machine"] = Machine
tell(told=Watch(over_http(ARGS[0]), 2).run(reset=False), phase=status()["phase"])
""",
            f"http://127.0.0.1:{port}/sample",
        )
    assert facts == {"told": True, "phase": "ready"}


def test_the_watchdog_of_launch_is_fed_without_a_word(installed):
    manifest, up = installed
    with Wire(answer(200, manifest)) as wire:
        facts = board(
            up
            + """
import ota.guard
fed = [0]
def feed():
    fed[0] += 1
sys.modules["ota.guard"].feed = feed
rounds[0] = 25
until_done(over_http(ARGS[0]), 2, jitter=0)
tell(fed=fed, waits=waits)
""",
            wire.url,
        )
    assert facts["fed"][0] >= 25 and facts["waits"] == [0.1] * 25


ENDED = """
power_up()
gc.collect()
gc.disable()    # nothing is closed because it was collected
u = over_http(ARGS[0])
count = [0]
def stop():
    count[0] += 1
    if count[0] == 5:
        raise Done
"""


@pytest.mark.parametrize(
    "run",
    [
        "module.sleep = lambda s: None\ntold = until_done(u, 0, feed=stop)",
        """
import asyncio
async def main():
    task = asyncio.create_task(Watch(u, 0).run_async())
    while not EVENTS:
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "done"
told = asyncio.run(main())
""",
    ],
    ids=["sync", "async"],
)
def test_a_watch_that_is_ended_in_a_download_leaves_no_file_and_no_connection_open(tmp_path, run):
    """`feed` raises, or the task is cancelled; the next update takes it from there."""
    release(tmp_path / "www" / "sample", {"main.py": bytes(90000)})
    with nginx(tmp_path, "listen 127.0.0.1:{port};") as port:
        facts = board(
            ENDED
            + run
            + """
tell(told=told, staged=os.stat("main.py.ota-new")[6], link=u.transport._link)
gc.enable()
tell(ready=u.run(reset=False))
""",
            f"http://127.0.0.1:{port}/sample",
        )
    assert facts["told"] == "done" and 0 < facts["staged"] < 90000 and facts["link"] is None
    assert facts["ready"] is True


def test_under_asyncio_others_have_their_turn_after_every_chunk_and_no_sleep_is_over_an_hour(tmp_path):
    """Timers of 32-bit boards end after six days."""
    release(tmp_path / "www" / "sample", {"main.py": bytes(9000)})
    with nginx(tmp_path, "listen 127.0.0.1:{port};") as port:
        facts = board(
            """
power_up()
import asyncio
real, turns, long = asyncio.sleep, [0], []
def quick(seconds):
    if seconds:
        long.append(seconds)
    return real(0)
asyncio.sleep = quick
async def other():
    while True:
        turns[0] += 1
        await real(0)
async def main():
    task = asyncio.create_task(other())
    told = await Watch(over_http(ARGS[0]), 864000).run_async(reset=False)
    task.cancel()
    return told
told = asyncio.run(main())
tell(told=told, turns=turns, longest=max(long), total=sum(long))
""",
            f"http://127.0.0.1:{port}/sample",
        )
    assert facts["told"] is True and facts["turns"][0] > 9000 // 1024
    assert facts["longest"] == 3600 and facts["total"] == pytest.approx(432000)


POLLS = """
def polls(u, count, **options):
    # What is in use of the heap after each of so many polls.
    u._on_event = None
    heap = [0] * count
    n = [0]
    def nap(seconds):
        clock[0] += round(seconds * 1000)
        del ramflash._files[:]  # which the flash of the test keeps for a power cut
        gc.collect()
        heap[n[0]] = gc.mem_alloc()
        n[0] += 1
        if n[0] == count:
            raise Done
    module.sleep = nap
    until_done(u, 2, **options)
    return heap
"""


def test_the_memory_is_the_same_after_50_and_after_1000_polls(tmp_path):
    release(tmp_path / "www" / "sample", FILES)
    with nginx(tmp_path, HOURLY.replace("3600", "1")) as port:
        facts = board(
            """
power_up()
u = over_http(ARGS[0])
u.run(reset=False)
boot(2)
confirm()
"""
            + POLLS
            + """
heap = polls(u, 1002, jitter=0)
tell(grown=heap[1001] - heap[51], most=max(heap[51:]) - heap[51])
""",
            f"http://127.0.0.1:{port}/sample",
            heap="2M",
        )
        asked = len(requests(tmp_path))
    assert asked > 1000
    assert facts["grown"] < 100 and facts["most"] < 500, facts


def test_errors_leave_no_memory_behind_either():
    facts = board(
        """
power_up()
u = over_http("http://127.0.0.1:%s" % ARGS[0])
"""
        + POLLS
        + """
heap = polls(u, 302)
tell(grown=heap[301] - heap[51])
""",
        free_port(),
    )
    assert facts["grown"] < 100, facts


def test_the_watch_goes_on_when_the_heap_or_the_flash_fails_for_once(installed):
    """What may pass is told like an error of ours."""
    manifest, up = installed
    with Wire(answer(200, manifest)) as wire:
        facts = board(
            up
            + """
u, fail = over_http(ARGS[0]), [MemoryError("no room"), OSError(5)]
real = u._steps
def steps():
    if fail:
        raise fail.pop(0)
    yield from real()
u._steps = steps
rounds[0] = 4
until_done(u, 100, jitter=0)
tell(waits=waits, errors=errors(), last=EVENTS[-1][0])
""",
            wire.url,
        )
    assert facts["waits"] == [50, 15, 30, 100] and facts["last"] == "current"
    full, broken = facts["errors"]
    assert full.startswith("out of memory, ") and full.endswith(" bytes of heap are free")
    assert broken == "flash: OSError: [Errno 5] EIO"


# What the transport itself does with Retry-After, for those who call run().
OPEN = """
from world import *
import sys
from ota.errors import TransportError
from ota.transports.http import HttpTransport
class Time:
    def __init__(self):
        self.slept = []
    def sleep(self, seconds):
        self.slept.append(seconds)
time = sys.modules["ota.transports"].time = Time()
t = HttpTransport(ARGS[0])
t.backoff_ms = 0
try:
    t.open("x")
    said = None
except TransportError as e:
    said = [e.status, e.retry_s]
tell(slept=time.slept, said=said)
"""


@pytest.mark.parametrize(
    ("asked", "slept", "said"),
    [
        pytest.param((10, 20), [10, 20], None, id="waits-as-long-as-it-is-asked-to"),
        pytest.param((31,), [], [503, 31], id="goes-up-at-once-when-it-is-too-long"),
        pytest.param((20, 11), [20], [503, 11], id="counts-the-waits-of-one-call-together"),
        pytest.param((1, 1, 1, 7), [1, 1, 1], [503, 7], id="goes-up-after-the-last-try"),
    ],
)
def test_the_transport_waits_for_30_seconds_in_all_as_the_server_asks_and_else_says_how_long(asked, slept, said):
    with Wire(*[answer(503, Retry_After=s) for s in asked], answer(200, b"x")) as wire:
        facts = {}
        for line in run_mp(OPEN, wire.url).stdout.splitlines():
            facts.update(json.loads(line[6:]))
        assert len(wire.heard) == len(slept) + 1
    assert facts == {"slept": slept, "said": said}


NOW = "Wed, 25 Nov 2026 10:00:00 GMT"
RETRY = {
    "seconds": ("120", NOW, 120),
    "none": ("0", NOW, 0),
    "a-week": ("604800", NOW, DAY),
    "without-end": ("9" * 500, NOW, DAY),
    "a-date": ("Wed, 25 Nov 2026 10:10:05 GMT", NOW, 605),
    "a-date-next-year": ("Fri, 01 Jan 2027 00:00:00 GMT", NOW, DAY),
    "over-the-end-of-february": ("Fri, 01 Mar 2024 00:00:10 GMT", "Thu, 29 Feb 2024 23:59:50 GMT", 20),
    "over-the-end-of-a-year": ("Fri, 01 Jan 2027 00:00:10 GMT", "Thu, 31 Dec 2026 23:59:50 GMT", 20),
    "a-date-that-is-over": ("Wed, 25 Nov 2026 09:00:00 GMT", NOW, 0),
    "a-date-of-an-answer-without-sense": (NOW, "now", 0),
    "negative": ("-5", NOW, 0),
    "a-fraction": ("1.5", NOW, 0),
    "a-digit-that-is-no-number": ("²", NOW, 0),
    "empty": ("", NOW, 0),
    "words": ("in a minute", NOW, 0),
    "another-form-of-date": ("Wednesday, 25-Nov-26 10:10:05 GMT", NOW, 0),
    "no-month": ("Wed, 25 Foo 2026 10:10:05 GMT", NOW, 0),
}


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_retry_after_is_understood_in_seconds_and_as_a_date_and_bounded_by_a_day(runtime):
    cases = [{"retry-after": told, "date": date} for told, date, _ in RETRY.values()]
    if runtime == "cpython":
        got = [retry_s(case) for case in cases]
    else:
        script = "from world import *\nfrom ota.transports.retry import retry_s\n"
        script += "tell(got=[retry_s(c) for c in json.loads(ARGS[0])])"
        got = json.loads(run_mp(script, json.dumps(cases)).stdout[6:])["got"]
    assert dict(zip(RETRY, got, strict=True)) == {name: want for name, (_, _, want) in RETRY.items()}


def test_a_date_without_the_servers_own_counts_from_the_boards_clock_when_that_is_set(monkeypatch):
    import ota.policy

    told = {"retry-after": "Wed, 25 Nov 2026 10:10:00 GMT"}
    for clock, want in ((1795600800, 600), (0, 0)):
        monkeypatch.setattr(ota.policy, "now", lambda clock=clock: clock)
        assert retry_s(told) == want


PAGE = (ROOT / "docs/how-to/watch-for-updates.md").read_text()
# Without a first wait; what waits at the end is the release.
AT_ONCE = """
from ota.watch import Watch
sys.modules["ota.watch"].crc32 = sys.modules["ota.watch"].getrandbits = lambda x: 0
"""


@pytest.mark.parametrize(
    ("number", "after", "ends"),
    [(0, "asyncio.run(main())", "reset"), (1, "", "reset"), (2, "print('break')", "break")],
    ids=["asyncio", "loop-of-the-application", "own-loop"],
)
def test_the_programs_of_the_how_to_come_to_the_next_release(server_of_sample, number, after, ends):
    program = [text for language, text in BLOCK.findall(PAGE) if language == "python"][number]
    script = STAGE + AT_ONCE + program.replace("http://192.168.2.100", server_of_sample) + "\n" + after
    told = run_mp(script + "\nprint(__import__('ota').status()['phase'])").stdout.splitlines()
    assert told[-2:] == [ends, "ready"]


def test_the_nginx_of_the_how_to_sets_the_interval_and_holds_a_fleet_off(tmp_path):
    interval, off = [text for language, text in BLOCK.findall(PAGE) if language == "nginx"]
    waits = []
    for i, block in enumerate((interval, off)):
        folder = tmp_path / str(i)
        folder.mkdir()
        release(folder / "www" / "sample", FILES)
        with nginx(folder, "listen 127.0.0.1:{port};" + block) as port:
            script = f"""
power_up()
install({str(folder / "www" / "sample")!r})
until_done(over_http(ARGS[0]), 60, jitter=0)
tell(waits=waits)
"""
            waits += board(script, f"http://127.0.0.1:{port}/sample")["waits"]
    assert waits == [30, 3600, 3600] + [30, 600 + 15, 600 + 30]


WATCHING = """import ota
print("app %d", ota.confirm())
from ota import HttpTransport, Updater, Watch
def told(name, what):
    print(name)
Watch(Updater(HttpTransport("%s/www", timeout=2, retries=0), on_event=told), every=1).run()
"""


def test_a_board_that_watches_under_a_watchdog_goes_from_release_to_release_by_itself(board_on_flash, tmp_path):
    """A whole virtual board: launch, watch, reset, install, trial, confirm, twice."""
    board = board_on_flash
    put(board, files(board, WATCHING % (1, board.url), "watchdog=8000"))
    for seq in (2, 3):
        release(tmp_path / "www", files(board, WATCHING % (seq, board.url), "watchdog=8000"), seq=seq)
        if seq == 2:
            board.power_cycle()
        board.wait_for(f"app {seq} True", timeout=90)
        board.wait_for("current", timeout=60)
    assert "WATCHDOG" not in board.log()


@pytest.mark.parametrize("way", ["run", "run_async"])
def test_a_pc_watches_with_the_same_code(tmp_path, monkeypatch, way):
    import asyncio

    import ota.watch
    from ota import LittlefsStorage, SdTransport, Updater

    monkeypatch.setattr(ota.watch, "getrandbits", lambda n: 0)
    release(tmp_path / "tree", FILES)
    (tmp_path / "board").mkdir()
    updater = Updater(SdTransport(tmp_path / "tree"), storage=LittlefsStorage(str(tmp_path / "board")), device_id="pc")
    watch = ota.Watch(updater, every=0)
    told = watch.run(reset=False) if way == "run" else asyncio.run(watch.run_async(reset=False))
    assert told is True and (tmp_path / "board/main.py.ota-new").read_bytes() == FILES["main.py"]


def test_a_content_that_the_server_holds_back_is_asked_for_once(tmp_path):
    manifest = release(tmp_path / "tree", FILES)
    with Wire(answer(200, manifest), answer(503, Retry_After=600)) as wire:
        script = """
power_up()
rounds[0] = 2
u = over_http(ARGS[0])
u.transport.retries = 3
until_done(u, 100, jitter=0)
tell(waits=waits)
"""
        board(script, wire.url)
        assert len(wire.heard) == 2
