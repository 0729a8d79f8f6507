"""The loop that asks a server for releases, from power-on to the reset into the next one."""

import sys

from .builtin import own
from .bootguard import crc32
from .bootguard import reset as restart
from .errors import OtaError, ours

getrandbits = own("random").getrandbits
sleep = own("time").sleep

try:
    ticks_diff = own("time").ticks_diff
    ticks_ms = own("time").ticks_ms
except AttributeError:  # CPython
    from .transports import ticks_diff, ticks_ms

_FIRST = 30  # seconds: the longest wait after the first error; it doubles with each
_DAY = 86400  # seconds that a server's word counts at most: it may be anybody's
_SLICE = 3600  # seconds: timers of 32-bit boards end after six days


class Watch:
    """Checks and stages for ever, and resets into the release that comes.

    The first check is at a random part of `every`, so that boards that got their power
    back together do not ask together. Errors go to `on_event` of the updater, as `error`.

    Args:
        updater (Updater): what to check with; its transport leaves the waiting to the watch.
        every (int): seconds between two checks; the server may ask for more.
        jitter (float): the share of it that is added at random at most.
        feed: for `run()`: called between two steps and ten times a second of every wait;
            what it raises ends the watch. Default: `ota.feed`, when `ota.launch` started
            the application.
    """

    def __init__(self, updater, every=3600, *, jitter=0.1, feed=None):
        with ours:
            # Some ports begin with the same random numbers at every boot, on every board.
            self._device = crc32(updater.device_id().encode()) >> 16
            # Whoever waits here can be fed, which a sleeping transport cannot.
            updater.transport.patience_s = 0
        self.every = every
        self._jitter = jitter
        self._feed = feed or getattr(sys.modules.get("ota.guard"), "feed", None)
        self._u = updater

    def run(self, reset=True):
        """Watch until a release is staged, and reset into it.

        Args:
            reset (bool): False leaves the reset, after which the release is live, to the caller.
        Returns:
            bool: True, a release waits for the reset; only where there is none, or not `reset`.
        """
        steps = self.steps()
        try:
            for seconds in steps:
                self._wait(seconds)
        finally:
            steps.close()
        return _end(reset)

    async def run_async(self, reset=True):
        """As `run()`, giving other tasks their turn; cancel the task to end it."""
        with ours:
            sleep = own("asyncio", "asyncio.core", "select", "time").sleep
        steps = self.steps()
        try:
            for seconds in steps:
                while seconds > _SLICE:
                    await sleep(_SLICE)
                    seconds -= _SLICE
                await sleep(seconds)
        finally:
            steps.close()
        return _end(reset)

    def steps(self):
        """The watch, a step at a time: a generator of the seconds to wait before the next.

        It ends when a release waits for the reset; `close()` it when you stop before.
        """
        with ours:
            return self._steps()

    def _steps(self):
        u = self._u
        with ours:
            gap = self.every
            wait = self._draw(gap)
        errors = 0
        while True:
            yield wait
            try:
                steps = u.steps()
                try:
                    for _ in steps:
                        yield 0
                finally:
                    steps.close()  # MicroPython does not, when the watch is ended between two steps
                if u.ready:
                    return
                errors = 0
                with ours:
                    gap = max(self.every, min(_max_age(u.transport.cache_control), _DAY))
                    wait = gap + self._draw(gap * self._jitter)
            except OtaError as e:
                try:
                    # Full jitter, on top of what the server asks for: nobody comes back together.
                    wait = getattr(e, "retry_s", 0) + self._draw(min(max(gap, _FIRST), _FIRST << errors))
                except MemoryError:
                    pass  # as long as before
                errors = min(errors + 1, 15)
                if u._on_event:
                    u._on_event("error", e)

    def _draw(self, most):
        return most * ((getrandbits(16) + self._device) & 0xFFFF) / 65536

    def _wait(self, seconds):
        # Without anybody to feed it is one long sleep, in which a chip may save power.
        with ours:
            left = int(seconds * 1000)
        last = ticks_ms()
        while True:
            if self._feed:
                self._feed()
            now = ticks_ms()
            left -= ticks_diff(now, last)
            last = now
            if left <= 0:
                return
            with ours:
                seconds = min(left, 100 if self._feed else _SLICE * 1000) / 1000
            sleep(seconds)


def _end(reset):
    if reset:
        restart()
    return True


def _max_age(told):
    # How long the answer is good, RFC 9111: asking sooner is of no use.
    for part in told.lower().split(","):
        if part.strip()[:8] == "max-age=":
            try:
                return int(part.strip()[8:17])
            except ValueError:
                break
    return 0
