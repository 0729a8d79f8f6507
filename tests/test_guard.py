"""`ota.launch`: what raises, hangs or never confirms ends in the old release, without anybody's hand."""

import functools
import gc
import http.server
import json
import sys
import threading
import types
import weakref

import littlefs
import pytest
from support import ROOT, release, run_mp

import ota
from ota import bootguard, guard
from ota_host.boards import start

BOOT = b"import ota\nota.boot()\n"
MAIN = """import ota
def updater():
    from ota import Updater, HttpTransport
    return Updater(HttpTransport("%s/www"))
ota.launch("app", updater%s)
"""
NEVER = 600  # seconds: longer than a test
# What the release does wrong, what launch() is told, and trial boots: each only has one way to end.
FAULTS = {
    "raises": ("print('app 2')\n1 / 0\n", f"confirm_s={NEVER}", 2),
    "hangs": ("print('app 2')\nwhile True: pass\n", "confirm_s=1", 1),
    "hangs and never feeds": ("print('app 2')\nwhile True: pass\n", f"confirm_s={NEVER}, watchdog=1000", 1),
    "feeds and never confirms": ("import ota\nprint('app 2')\nwhile True: ota.feed()\n", "confirm_s=2, watchdog=1000", 1),
    "ends and never confirms": ("print('app 2')\n", "confirm_s=1", 1),
}
GOOD = "import ota\nprint('app %d', ota.confirm())\n"


@pytest.fixture(scope="module")
def library():
    """A flash image that holds the library."""
    fs = littlefs.LittleFS(block_size=4096, block_count=256, disk_version=0x20000)
    for path in sorted((ROOT / "ota").rglob("*.py")):
        name = path.relative_to(ROOT)
        fs.makedirs(str(name.parent), exist_ok=True)
        with fs.open(str(name), "wb") as f:
            f.write(path.read_bytes())
    return bytes(fs.context.buffer)


@pytest.fixture
def board(library, tmp_path):
    """A board with the library, and below `url` a server whose folder www is in tmp_path."""
    (tmp_path / "flash.img").write_bytes(library)
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with start("unix", tmp_path / "flash.img") as board:
            board.url = "http://127.0.0.1:%d" % server.server_port
            yield board
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


def files(board, app, options="confirm_s=600"):
    main = MAIN % (board.url, ", " + options)
    return {"boot.py": BOOT, "main.py": main.encode(), "app.py": app.encode()}


def put(board, tree):
    for path, data in tree.items():
        board.exec(f"with open({path!r}, 'wb') as f: f.write({data!r})")


def update(board, boots=1):
    """Let the board install what is offered; it resets into it."""
    code = "from ota import Updater, HttpTransport\nUpdater(HttpTransport('%s/www'), trial_boots=%d).run()"
    board.exec(code % (board.url, boots), may_reset=True)


def status(board):
    return json.loads(board.exec("import ota, json; print(json.dumps(ota.status()))").splitlines()[-1])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_release_that_fails_ends_in_the_old_one_and_is_refused(board, tmp_path, fault):
    app, options, boots = FAULTS[fault]
    put(board, files(board, GOOD % 1))
    release(tmp_path / "www", files(board, app, options), seq=2)
    update(board, boots)
    for _ in range(boots):
        board.wait_for("app 2", timeout=30)
    board.wait_for("app 1", timeout=60)
    told = status(board)
    assert told["refused"] == 2 and told["phase"] == "idle" and told["problem"] is None
    assert ("WATCHDOG" in board.log()) == ("never feeds" in fault)


def test_a_good_release_stays(board, tmp_path):
    put(board, files(board, GOOD % 1))
    release(tmp_path / "www", files(board, GOOD % 2), seq=2)
    update(board)
    board.wait_for("app 2 True", timeout=30)
    assert status(board)["floor"] == 2
    board.power_cycle()
    board.wait_for("app 2 False", timeout=30)
    ops = board.ops()
    board.wait_for(">>> ")
    assert board.ops() == ops == 0  # a good boot writes nothing


def test_a_confirmed_release_that_keeps_failing_is_mended_from_safe_mode(board, tmp_path):
    """After three failed starts the application is left out, and the next release is installed."""
    put(board, files(board, "print('app 1')\n1 / 0\n", "pause_s=1"))
    board.power_cycle()
    for _ in range(3):
        board.wait_for("app 1", timeout=30)
    board.wait_for("safe mode, app failed 3 times in a row", timeout=30)
    board.wait_for("ota: safe mode: NotFoundError", timeout=30)  # what fails in there is tried again
    release(tmp_path / "www", files(board, GOOD % 2), seq=2)
    assert "app 1" not in board.wait_for("app 2 True", timeout=60)
    assert status(board)["fails"] == 0


def test_safe_mode_tries_the_application_again_after_its_rounds(board):
    """A cause that passes needs no hand: one more start, then safe mode at once."""
    put(board, files(board, "print('app 1')\n1 / 0\n", "pause_s=0, rounds=2"))
    board.power_cycle()
    for text in ("app 1", "app 1", "app 1", "safe mode", "app 1", "safe mode"):
        board.wait_for(text, timeout=30)


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
def test_an_interrupt_goes_through_and_counts_nothing(error, tmp_path):
    (tmp_path / "app.py").write_text(f"raise {error}")
    script = f"""
import ota
try:
    ota.launch("app")
except {error}:
    print("through", ota.status()["fails"])
"""
    assert run_mp(script, cwd=tmp_path, path=[tmp_path]).stdout == "through 0\n"


def test_a_bite_of_the_watchdog_counts_as_a_failed_start(board):
    app = "print('app 1')\nwhile True: pass\n"
    put(board, {**files(board, app), "main.py": b"import ota\nota.launch('app', watchdog=1000, failures=1)\n"})
    board.power_cycle()
    board.wait_for("app 1", timeout=30)
    board.wait_for("safe mode, app failed 1 times in a row", timeout=30)
    assert "WATCHDOG" in board.log()


def test_safe_mode_without_an_updater_gives_the_prompt_to_ctrl_c(board):
    main = b"import ota\nota.launch('app', failures=1, pause_s=600)\n"
    put(board, {"boot.py": BOOT, "main.py": main, "app.py": b"1 / 0\n"})
    board.power_cycle()
    board.wait_for("safe mode", timeout=30)
    with open(board.port, "r+b", buffering=0) as line:
        line.write(b"\x03")
    board.wait_for("KeyboardInterrupt", timeout=30)
    board.wait_for(">>> ", timeout=30)


class Reset(BaseException):
    """machine.reset(), which nothing catches."""


class Timer:
    """A timer of rp2: one that is collected is cancelled. `asked` keeps what was wanted of the last one."""

    ONE_SHOT, known, asked = 0, {"mode", "period", "callback", "hard"}, None

    def __init__(self, number):
        if number not in self.numbers:
            raise ValueError("Timer doesn't exist")
        self.number = number

    def init(self, **options):
        if not set(options) <= self.known:
            raise TypeError("extra keyword arguments given")
        type(self).asked = dict(options, number=self.number, alive=weakref.ref(self))


@pytest.fixture
def chip(tmp_path, monkeypatch):
    """A module `machine` whose parts a test exchanges, and a state in tmp_path."""

    def reset():
        raise Reset

    machine = types.SimpleNamespace(reset=reset, reset_cause=lambda: 1, WDT_RESET=3)
    machine.Timer = type("Timer", (Timer,), {"numbers": (-1,)})
    monkeypatch.setitem(sys.modules, "machine", machine)
    monkeypatch.setattr(bootguard, "_home", str(tmp_path))
    monkeypatch.setattr(guard, "_dog", [])
    monkeypatch.setattr(guard, "_clock", [])
    monkeypatch.setattr(guard, "_since", [0, 0, 0])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "app_of_test", raising=False)

    def app(text="", **state):
        (tmp_path / "app_of_test.py").write_text(text)
        record = dict(bootguard.load(), **state)
        bootguard.save(None, dict(record, phase="committing" if state.get("phase") == "trial" else "idle"), record["phase"])

    machine.app = app
    yield machine
    sys.modules.pop("app_of_test", None)


def fails():
    return bootguard.load()["fails"]


def test_the_deadline_of_a_trial_outlives_the_application_and_comes_without_interrupts(chip):
    """Event-driven applications return; and a port may call back from an interrupt unless told not to."""
    chip.app(phase="trial")
    ota.launch("app_of_test", confirm_s=7)
    gc.collect()
    asked = chip.Timer.asked
    assert asked["alive"]() and asked["hard"] is False and asked["period"] == 7000
    with pytest.raises(Reset):
        asked["callback"](None)


@pytest.mark.parametrize(("numbers", "known"), [((-1,), 3), ((0, 1, 2, 3), 3), ((0, 1), 3), ((0,), 4)])
def test_the_deadline_takes_the_timer_that_there_is(chip, numbers, known):
    """Virtual or one of the chip's, with or without the keyword `hard`."""
    chip.Timer.numbers = numbers
    chip.Timer.known = set(["mode", "period", "callback", "hard"][:known])
    chip.app(phase="trial")
    ota.launch("app_of_test")
    assert chip.Timer.asked["number"] == (-1 if -1 in numbers else 3 if 3 in numbers else 0)


def test_the_deadline_leaves_a_confirmed_release_alone_and_resets_when_it_cannot_tell(chip, monkeypatch):
    chip.app(phase="trial")
    ota.launch("app_of_test")
    callback = chip.Timer.asked["callback"]

    def full(root=None):
        raise MemoryError

    with monkeypatch.context() as m:
        m.setattr(guard, "load", full)
        with pytest.raises(Reset):
            callback(None)
    ota.confirm()
    callback(None)


def test_a_board_without_timer_or_watchdog_goes_without(chip):
    del chip.Timer
    chip.app("import ota\nota.feed()", phase="trial")
    ota.launch("app_of_test", watchdog=1000)
    assert "app_of_test" in sys.modules


def test_a_watchdog_that_the_chip_refuses_leaves_the_deadline_running(chip):
    """A release that asks for more than its chip can do ends in the old one, too."""

    def wdt(timeout):
        raise ValueError("timeout exceeds 8388")

    chip.WDT = wdt
    chip.app(phase="trial")
    with pytest.raises(ValueError, match="8388"):
        ota.launch("app_of_test", watchdog=9000)
    assert chip.Timer.asked


@pytest.mark.parametrize(
    ("platform", "name", "reason", "counted"),
    [
        ("esp32", "ESP32", {}, 1),
        ("rp2", "Raspberry Pi Pico W with RP2040", {0x40058008: 1}, 1),
        ("rp2", "Raspberry Pi Pico W with RP2040", {0x40058008: 2}, 0),
        ("rp2", "Raspberry Pi Pico 2 with RP2350", {0x400D8008: 1}, 1),
        ("rp2", "Raspberry Pi Pico 2 with RP2350", {0x400D8008: 2}, 0),
    ],
)
def test_only_the_timer_of_the_watchdog_counts_as_a_bite(chip, monkeypatch, platform, name, reason, counted):
    """RP2040 and RP2350 datasheets, WATCHDOG REASON: bit 0 the timer, bit 1 by force, as machine.reset()."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys, "implementation", types.SimpleNamespace(**vars(sys.implementation), _machine=name))
    chip.reset_cause, chip.mem32 = lambda: chip.WDT_RESET, reason
    chip.app()
    ota.launch("app_of_test", watchdog=1000)
    assert fails() == counted


@pytest.mark.parametrize(("options", "state"), [({}, {}), ({"watchdog": 1000}, {"phase": "trial"})])
def test_a_bite_without_a_watchdog_of_launch_or_in_a_trial_counts_nothing(chip, options, state):
    chip.reset_cause = lambda: chip.WDT_RESET
    chip.app(**state)
    ota.launch("app_of_test", **options)
    assert fails() == 0


def test_bites_in_safe_mode_are_rounds_and_come_to_an_end(chip):
    """An updater that takes longer than the watchdog must not keep the application out for ever."""
    chip.reset_cause = lambda: chip.WDT_RESET
    chip.app("1 / 0", fails=3 + 5)
    with pytest.raises(Reset):
        ota.launch("app_of_test", watchdog=1000, rounds=5)
    assert fails() == 3  # it was started, with one failure left, and failed


@pytest.mark.parametrize(("ran_ms", "before", "after"), [(6999, 1, 2), (7000, 1, 1), (-1, 1, 1), (0, 0, 1)])
def test_a_failure_after_a_steady_run_is_the_first_again(chip, monkeypatch, capsys, ran_ms, before, after):
    """Ticks wrap: a difference below zero is a long run."""
    monkeypatch.setattr(guard, "ticks_diff", lambda a, b: ran_ms)
    chip.app("1 / 0", fails=before)
    with pytest.raises(Reset):
        ota.launch("app_of_test", confirm_s=7)
    assert fails() == after
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_feed_forgets_the_failures_once_the_run_is_steady(chip, monkeypatch):
    fed = []
    chip.WDT = lambda timeout: types.SimpleNamespace(feed=lambda: fed.append(timeout))
    chip.app(fails=2)
    ota.launch("app_of_test", watchdog=1000)
    ota.feed()
    assert fails() == 2
    monkeypatch.setattr(guard, "_steady", lambda: True)
    ota.feed()
    written = bootguard.load()["n"]
    ota.feed()
    assert fails() == 0 and fed == [1000] * 3 and bootguard.load()["n"] == written


def test_failures_0_turns_safe_mode_off(chip):
    chip.app(fails=9)
    ota.launch("app_of_test", failures=0)
    assert "app_of_test" in sys.modules


def test_a_release_that_fails_in_its_trial_writes_nothing(chip):
    """The boot has been counted before it started."""
    chip.app("1 / 0", phase="trial")
    written = bootguard.load()["n"]
    with pytest.raises(Reset):
        ota.launch("app_of_test")
    assert bootguard.load()["n"] == written


@pytest.mark.parametrize("name", ["load", "save"])
def test_a_flash_that_fails_keeps_neither_the_start_nor_the_reset_from_coming(chip, monkeypatch, capsys, name):
    def broken(*args):
        raise OSError(5, "EIO")

    chip.app("print('started')\n1 / 0")
    monkeypatch.setattr(guard, name, broken)
    with pytest.raises(Reset):
        ota.launch("app_of_test")
    assert "started" in capsys.readouterr().out


def test_a_flash_that_cannot_be_written_lets_feed_and_safe_mode_end_well(chip, monkeypatch):
    def broken(*args):
        raise OSError(28, "ENOSPC")

    chip.app(fails=2)
    monkeypatch.setattr(guard, "save", broken)
    ota.launch("app_of_test")
    monkeypatch.setattr(guard, "_steady", lambda: True)
    ota.feed()
    with pytest.raises(Reset):
        ota.launch("app_of_test", failures=2, pause_s=0)


def test_a_full_heap_does_not_keep_the_reset_from_coming(chip, monkeypatch):
    def full(fails):
        raise MemoryError

    chip.app("1 / 0")
    monkeypatch.setattr(guard, "_count", full)
    with pytest.raises(Reset):
        ota.launch("app_of_test")
