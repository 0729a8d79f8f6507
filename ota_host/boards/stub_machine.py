# Runs inside the unix MicroPython, never in CPython: the modules that a board has and the unix port has not.
import _thread
import machine
import micropython
import os
import sys
import time

_CAUSE = int(os.getenv("BOARD_CAUSE"))
_ID = (os.getenv("BOARD_ID") or "vboard01").encode()


class Timer:
    # A virtual one, as the RP2040 has: it calls back between two instructions of the program.
    ONE_SHOT, PERIODIC = 0, 1

    def __init__(self, id=-1, **options):
        if id != -1:
            raise ValueError("Timer doesn't exist")
        self._generation = 0
        if options:
            self.init(**options)

    def init(self, *, mode=PERIODIC, period=-1, callback=None):
        self._generation += 1
        _thread.start_new_thread(self._run, (self._generation, mode, period, callback))

    def _run(self, generation, mode, period, callback):
        while True:
            time.sleep_ms(period)
            if generation != self._generation:
                return
            callback(self)
            if mode == self.ONE_SHOT:
                return

    def deinit(self):
        self._generation += 1


class RTC:
    # The clock of the PC, which time.time() follows; what is set moves only what datetime() returns.
    _shift = 0  # seconds

    def __init__(self, id=0):
        pass

    def datetime(self, *new):
        if not new:
            year, month, day, hour, minute, second, weekday = time.localtime(int(time.time()) + RTC._shift)[:7]
            return year, month, day, weekday, hour, minute, second, 0
        year, month, day, _, hour, minute, second, _ = new[0]
        RTC._shift = time.mktime((year, month, day, hour, minute, second, 0, 0, -1)) - int(time.time())

    init = datetime


class Machine:
    Timer = Timer
    RTC = RTC
    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

    def __init__(self, power):
        self._power = power

    def __getattr__(self, name):
        return getattr(machine, name)

    def reset(self):
        self._power.fail("RESET\n")

    def deepsleep(self, time_ms=-1):
        # Deaf until then; without a time only power-on helps.
        micropython.kbd_intr(-1)
        self._power.tell("DEEPSLEEP %d\n" % time_ms)
        while time_ms < 0:
            time.sleep(3600)
        time.sleep_ms(time_ms)
        self._power.fail("WAKE\n")

    def lightsleep(self, time_ms=0):
        time.sleep_ms(time_ms)

    def reset_cause(self):
        return _CAUSE

    def unique_id(self):
        return _ID

    def freq(self, *hz):
        return 133000000

    def WDT(self, id=0, timeout=5000):
        return Watchdog(self._power, timeout)


class Watchdog:
    # Once started it cannot be stopped; the supervisor counts the time.
    def __init__(self, power, timeout):
        if timeout <= 0:
            raise ValueError("timeout must be above 0 ms")
        self._tell = power.tell
        self._pause = timeout // 16  # the supervisor allows for it: so soon after the last one a feed need not be told
        self._tell("WDT %d\n" % timeout)
        self._told = time.ticks_ms()

    def feed(self):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._told) >= self._pause:
            self._told = now
            self._tell("FEED\n")


class WLAN:
    # The network of the host, always up: so a boot.py that waits for Wi-Fi runs unchanged.
    IF_STA, IF_AP = 0, 1

    def __init__(self, interface=0):
        self._active = False

    def active(self, *on):
        if on:
            self._active = bool(on[0])
        return self._active

    def connect(self, *args, **kw):
        pass

    disconnect = config = connect

    def isconnected(self):
        return True

    def status(self, *what):
        return 3

    def ifconfig(self, *new):
        return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")


def install(power, flash):
    sys.modules["machine"] = Machine(power)
    network = {"WLAN": WLAN, "STA_IF": 0, "AP_IF": 1, "hostname": lambda *name: "board"}
    sys.modules["network"] = type("network", (), network)
    board = {"flash": flash, "ops": lambda: flash.done, "note": lambda text: power.tell("NOTE %s\n" % text)}
    sys.modules["vboard"] = type("vboard", (), board)
