"""The guarded start of an application: what raises, hangs or never confirms is not there for ever."""

import sys
import time

from .bootguard import load, reset, save

_dog = []  # the machine.WDT, once started
_since = [0, 0, 0]  # ticks when the application started, its steady time in ms, failures on record


def _machine(name):
    try:
        return getattr(__import__("machine"), name)
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
    return not 0 <= time.ticks_diff(time.ticks_ms(), _since[0]) < _since[1]


def _count(fails):
    # The reset that follows must come, whatever the flash says.
    _since[2] = fails
    state = load()
    state["fails"] = fails
    try:
        save(None, state)
    except OSError as e:
        print("ota: cannot count a failed start:", e)


def _bitten():
    # Whether the watchdog brought this boot. On rp2 machine.reset() gives the same cause, so the
    # chip is asked: bit 0 of its register WATCHDOG REASON is the timer.
    cause = _machine("reset_cause")
    if not cause or cause() != _machine("WDT_RESET"):
        return False
    if sys.platform == "rp2":
        rp2350 = "RP2350" in sys.implementation._machine
        return bool(_machine("mem32")[0x400D8008 if rp2350 else 0x40058008] & 1)
    return True


def _trial_over(timer):
    if load()["phase"] == "trial":
        print("ota: not confirmed in time")
        reset()


def _deadline(seconds):
    # Resets a trial that runs or hangs without a confirm; where the board has such a timer.
    timer = _machine("Timer")
    for number in (-1, 3, 0):
        try:
            clock = timer(number)
            clock.init(mode=timer.ONE_SHOT, period=seconds * 1000, callback=_trial_over)
            return clock
        except (TypeError, ValueError, AttributeError):
            pass


def _safe_mode(name, updater, pause_s, rounds):
    print("ota: safe mode, %s failed %d times in a row" % (name, _since[2]))
    _since[2] = 0  # time in here is no steady run
    for _ in range(rounds):
        try:
            u = updater and updater()
            if u:
                for _ in u.steps():
                    feed()
                u.transport.close()
                if u.ready:
                    reset()
        except Exception as e:
            print("ota: safe mode:", repr(e))
        for _ in range(pause_s):
            feed()
            time.sleep(1)


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
    """
    state = load()
    trial = state["phase"] == "trial"
    bite = not trial and watchdog and _bitten()
    _since[:] = [time.ticks_ms(), confirm_s * 1000, state["fails"]]
    if bite:
        _count(state["fails"] + 1)
    if watchdog:
        _dog[:] = [_machine("WDT")(timeout=watchdog)]
    if failures and not trial and _since[2] >= failures:
        _safe_mode(name, updater, pause_s, rounds)
        _count(failures - 1)
        return reset()
    clock = _deadline(confirm_s) if trial else None
    try:
        __import__(name)
    except Exception as e:
        print("ota: %s failed:" % name)
        getattr(sys, "print_exception", print)(e)
        if load()["phase"] != "trial":  # there the boot has been counted before
            _count(1 if _steady() else _since[2] + 1)
        reset()
    return clock
