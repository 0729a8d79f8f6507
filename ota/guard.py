"""The guarded start of an application: what raises, hangs or never confirms is not there for ever."""

import sys

from .builtin import own
from .bootguard import load, reset, save

time = own("time")

try:
    ticks_diff = own("time").ticks_diff
    ticks_ms = own("time").ticks_ms
except AttributeError:  # CPython
    from .transports import ticks_diff, ticks_ms

_dog = []  # the machine.WDT, once started
_clock = []  # the machine.Timer of a trial: one that is collected never calls back
_since = [0, 0, 0]  # ticks when the application started, its steady time in ms, failures on record


def _machine(name):
    try:
        return getattr(own("machine"), name)
    except (ImportError, AttributeError):
        return None


def feed():
    """Feed the watchdog that `launch` started; does nothing when it did not."""
    if _dog:
        _dog[0].feed()
    if _since[2] and _steady():
        _count(0)


def _steady():
    # Ticks wrap after days: a difference below zero is a long time.
    return not 0 <= ticks_diff(ticks_ms(), _since[0]) < _since[1]


def _count(fails):
    _since[2] = fails
    try:
        state = load()
        if state["phase"] != "trial":  # there the boot has been counted before
            state["fails"] = fails
            save(None, state)
    except OSError as e:
        print("ota: cannot count a failed start:", e)


def _bitten():
    # On rp2 machine.reset() gives the same cause: bit 0 of the register REASON is the timer.
    cause = _machine("reset_cause")
    if not cause or cause() != _machine("WDT_RESET"):
        return False
    if sys.platform == "rp2":
        rp2350 = "RP2350" in getattr(sys.implementation, "_machine", "")
        return bool(_machine("mem32")[0x400D8008 if rp2350 else 0x40058008] & 1)
    return True


def _trial_over(timer):
    try:
        if load()["phase"] != "trial":
            return
        print("ota: not confirmed in time")
    except (OSError, MemoryError):
        pass  # no room, or no flash, to look at the state: that is no confirm
    reset()


def _deadline(seconds):
    # Some ports call back from an interrupt, where nothing can be loaded, unless told not to.
    timer = _machine("Timer")
    for number, soft in ((-1, {"hard": False}), (-1, {}), (3, {}), (0, {})):
        try:
            clock = timer(number)
            clock.init(mode=timer.ONE_SHOT, period=seconds * 1000, callback=_trial_over, **soft)
            _clock[:] = [clock]
            return
        except (TypeError, ValueError, AttributeError, OSError):
            pass


def _run(u):
    steps = u.steps()
    try:
        for _ in steps:
            feed()
    finally:
        steps.close()
    if u.ready:
        reset()


def _safe_mode(name, updater, pause_s, rounds):
    print("ota: safe mode, %s failed %d times in a row" % (name, _since[2]))
    _since[2] = 0  # time in here is no steady run
    for _ in range(rounds):
        try:
            u = updater() if updater else None
            if u:
                _run(u)
        except Exception as e:
            print("ota: safe mode:", repr(e))
        for _ in range(pause_s * 10):
            feed()
            time.sleep(0.1)  # shorter than any watchdog


def _failed(name, e):
    try:  # a full heap, for one, must not keep the reset from coming
        print("ota: %s failed:" % name)
        show = getattr(sys, "print_exception", None)
        show(e) if show else sys.excepthook(type(e), e, e.__traceback__)  # CPython
        _count(1 if _steady() else _since[2] + 1)
    finally:
        reset()


def launch(name, updater=None, *, watchdog=0, confirm_s=600, failures=3, pause_s=60, rounds=60):
    """Run the application; start it again, go back or stay in safe mode when it fails.

    Args:
        name (str): the module to import, and so to run.
        updater: function without arguments that connects the network and gives an
            Updater: what safe mode tries.
        watchdog (int): milliseconds within which the application calls `ota.feed()`; 0: none.
        confirm_s (int): seconds that a trial may take until `ota.confirm()`, and after
            which a confirmed release counts as steady.
        failures (int): failed starts in a row that lead to safe mode; 0: no safe mode.
        pause_s, rounds (int): seconds between two tries in safe mode, and how many there
            are before the application is started once more.
    Raises:
        ValueError: the board has no watchdog of that many milliseconds.
    """
    try:
        state = load()
    except OSError as e:
        print("ota: started without looking at the state:", e)
        state = {"phase": None, "fails": 0}
    trial = state["phase"] == "trial"
    _since[:] = [ticks_ms(), confirm_s * 1000, state["fails"]]
    if watchdog and not trial and _bitten():
        # A bite in safe mode is a round: these end, too.
        _count(_since[2] + 1 if _since[2] < failures + rounds else max(failures - 1, 0))
    if trial:
        _deadline(confirm_s)
    if watchdog and _machine("WDT"):
        _dog[:] = [_machine("WDT")(timeout=watchdog)]
    if failures and not trial and _since[2] >= failures:
        _safe_mode(name, updater, pause_s, rounds)
        _count(failures - 1)
        return reset()
    try:
        __import__(name)
    except Exception as e:
        _failed(name, e)
