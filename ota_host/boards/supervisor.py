"""Keeps one test board under power, in a process of its own: serial line, resets, power cuts, watchdog.

It starts the program that is the board, passes its serial line on to the link that mpremote opens, and starts it again
after every reset, as a power supply and a chip would. `ota_host.boards.start` and `ota board` are the ways to use it.

Beside the flash image it writes `<flash>.log`, everything the board said, and `<flash>.ctl`, one line an event:

    BOOT power-on|hard|watchdog|deepsleep|soft   the file system is mounted, boot.py comes next
    FORMATTED                          there was no file system on the flash
    REPL                               boot.py and main.py are through (unix board)
    RESET                              machine.reset()
    WDT <ms>, WATCHDOG                 a watchdog was started; it was not fed
    DEEPSLEEP <ms>, WAKE               machine.deepsleep(); its time is over (unix board)
    CUT program|erase at <address>     the power cut that was asked for
    NOR-VIOLATION at <address>         the driver programmed what it had not erased
    NOTE <text>                        vboard.note(text) (unix board)
    OFF, EXIT <code>, CRASH <signal>   switched off by hand; the program ended by itself
"""

import argparse
import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

from .line import PATIENCE, SerialLine

if TYPE_CHECKING:
    from .pico import PicoBoard
    from .unix import UnixBoard

POWER_ON, HARD, WATCHDOG, DEEPSLEEP, SOFT = 1, 2, 3, 4, 5
CAUSES = {POWER_ON: "power-on", HARD: "hard", WATCHDOG: "watchdog", DEEPSLEEP: "deepsleep", SOFT: "soft"}
# What a board says last before it boots again, and the cause that it then finds.
_REBOOTS = {"RESET": HARD, "WATCHDOG": WATCHDOG, "WAKE": DEEPSLEEP}
TORN = ("none", "1byte", "half", "all-but-1", "all")
CUT_EXIT = 99
CTRL_C = b"\x03"
HELD = 0.002  # seconds until a Ctrl-C that has to wait is tried again


class BoardOptions(Protocol):
    """What a board is made of; see `parser`."""

    kind: str
    flash: str
    link: str | None
    size: int
    block: int
    page: int
    fs: str
    heap: str
    cut_at: int
    torn: str
    reboot: bool
    uf2: str | None
    env: dict[str, str]


class Ended(Exception):
    """The board stays off; `code` is the exit code of the supervisor."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Supervisor:
    """The board's power supply.

    Args:
        board: UnixBoard or PicoBoard.
        options: see `parser`.
        commands: file descriptor that orders come from, a line each (`off`, `on N TORN`), or None. Its end ends all.
        answer: called with one line of text for every order that is carried out.
    """

    def __init__(
        self,
        board: "UnixBoard | PicoBoard",
        options: BoardOptions,
        commands: int | None = None,
        answer: Callable[[str], object] = print,
    ) -> None:
        self.board, self.options, self.commands, self.answer = board, options, commands, answer
        self.flash = os.path.abspath(options.flash)
        self.cut_at, self.torn = options.cut_at, options.torn
        self.pid = 0  # without power
        self.terminal = self.control = -1
        self.problem = ""  # why the board did not start
        self._orders = b""
        self._ledger = self._take_ledger()
        self._log = open(self.flash + ".ctl", "ab", buffering=0)  # noqa: SIM115  (until the end of `run`)
        board.prepare()
        self.line = SerialLine(options.link or self.flash + ".tty", self.flash + ".log")

    def _take_ledger(self) -> int:
        """Open the list of flash operations, a byte each, and with it take the flash for this board alone."""
        ledger = os.open(self.flash + ".ops", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(ledger, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(ledger)
            raise OSError("another board runs on %s" % self.flash) from None
        return ledger

    def note(self, text: str) -> None:
        self._log.write(text.encode() + b"\n")

    # Power

    def power_on(self) -> None:
        os.ftruncate(self._ledger, 0)
        self._boot(POWER_ON)

    def _boot(self, cause: int) -> None:
        self.control, control = os.pipe()
        done = os.fstat(self._ledger).st_size
        self.cause, self.last, self.ready = cause, "", False
        if cause != SOFT:
            self.watchdog: tuple[float, float] | None = None  # (timeout, deadline) in seconds
            self._typed = b""
        self._lines = b""
        self._holds = False  # whether a Ctrl-C has to wait
        self.pid, self.terminal = self.board.start(cause, done, self.cut_at, self.torn, control, self._ledger)
        os.close(control)

    def power_off(self) -> None:
        """Switch off, whatever the board is doing."""
        if not self.pid:
            return
        os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> int:
        """Take what the dead board still said, and forget it; returns its wait status."""
        while True:
            while self._from_terminal():
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            # macOS lets a program go only when its output has been read.
            select.select([self.terminal], [], [], 0.005)
        self._from_control()
        while self._from_terminal():
            pass
        self.line.send(self.board.rest())
        os.close(self.terminal)
        os.close(self.control)
        self.pid, self.terminal, self.control = 0, -1, -1
        return status

    def _died(self) -> None:
        """The program that was the board has ended: decide what that was, and go on as a board would."""
        started = self.ready
        code = os.waitstatus_to_exitcode(self._reap())
        started = started or self.ready
        if self.last in _REBOOTS:
            self._boot(_REBOOTS[self.last])
            return
        if self.last.startswith(("CUT", "NOR-VIOLATION")):
            if not self.options.reboot:
                raise Ended(CUT_EXIT)
            self.cut_at = 0
            self.power_on()
            return
        if not started:
            self.note("EXIT %d" % code)
            self.problem = "the board does not start: exit code %d%s" % (code, self._last_words())
            raise Ended(1)
        if code >= 0 and self.board.soft_resets:
            self.line.send(b"MPY: soft reboot\r\n")
            self._boot(SOFT)
            return
        self.note("CRASH %d" % -code if code < 0 else "EXIT %d" % code)
        self.power_on()

    def _last_words(self) -> str:
        """What the board said last, for a message."""
        with open(self.flash + ".log", "rb") as f:
            lines = f.read()[-1000:].decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return ": " + said[-1] if said else ""

    # What comes from where

    def _from_terminal(self) -> bytes | None:
        try:
            data = os.read(self.terminal, 4096)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if data:
            self.line.send(self.board.shown(data, self._type))
        return data

    def _type(self, data: bytes) -> None:
        self._typed = data + self._typed
        self._holds = False
        with contextlib.suppress(BlockingIOError, OSError):
            while self._typed and not self._holds:
                text, _, _ = self._typed.partition(CTRL_C)
                if text:
                    self._typed = self._typed[os.write(self.terminal, text) :]
                elif self.board.interrupt(self.pid, self.terminal):
                    self._typed = self._typed[1:]
                else:
                    self._holds = True

    def _from_control(self) -> bool:
        while select.select([self.control], [], [], 0)[0]:
            data = os.read(self.control, 4096)
            if not data:
                return False
            *lines, self._lines = (self._lines + data).split(b"\n")
            for line in lines:
                self._event(line.decode(errors="replace"))
        return True

    def _event(self, line: str) -> None:
        word = line.split(" ")[0]
        if word == "BOOT":
            self.ready = True
            line = "BOOT " + CAUSES[self.cause]
        elif word == "WDT":
            timeout = int(line.split()[1]) / 1000
            self.watchdog = (timeout, time.monotonic() + timeout * 17 / 16)
        elif word == "DEEPSLEEP":
            self.watchdog = None
        elif word == "FEED" and self.watchdog:
            timeout = self.watchdog[0]
            self.watchdog = (timeout, time.monotonic() + timeout * 17 / 16)
            return
        self.last = line
        self.note(line)

    def _order(self, commands: int) -> None:
        data = os.read(commands, 4096)
        if not data:
            raise Ended(0)
        *orders, self._orders = (self._orders + data).split(b"\n")
        for order in orders:
            word, *rest = order.decode().split()
            self.power_off()
            if word == "off":
                self.note("OFF")
            else:
                self.cut_at, self.torn = int(rest[0]), rest[1]
                self.power_on()
            self.answer(word)

    @property
    def _hears(self) -> bool:
        """Whether the board takes input; a Ctrl-C before it runs would end the program instead of reaching it."""
        return self.ready and self.board.hears

    # The loop

    def run(self) -> int:
        """Serve until SIGTERM, Ctrl-C or the end of the orders; returns the exit code."""
        try:
            self.power_on()
            while True:
                self._step()
        except Ended as end:
            return end.code
        finally:
            self.power_off()
            self.line.close()
            self._log.close()
            os.close(self._ledger)

    def _step(self) -> None:
        readable, _, _ = select.select(self._sources(), self._sinks(), [], self._patience())
        if self.commands is not None and self.commands in readable:
            self._order(self.commands)
            return
        if self.pid:
            self._serve_board(readable)
        if self.line.waiting:
            self.line.flush()

    def _serve_board(self, readable: list[int]) -> None:
        gone = self.control in readable and not self._from_control()
        if self.terminal in readable and self._from_terminal() == b"":
            gone = True
        if self._hears and self.line.master in readable:
            self._typed += self.line.receive()
        if self._hears and self._typed:
            self._type(b"")
        if gone:
            self._died()
        elif self.watchdog and time.monotonic() >= self.watchdog[1]:
            self.note("WATCHDOG")
            self.power_off()
            self._boot(WATCHDOG)

    def _sources(self) -> list[int]:
        sources = [] if self.commands is None else [self.commands]
        if self.pid:
            sources.append(self.control)
            if not self.line.full:
                sources.append(self.terminal)
            if self._hears and len(self._typed) < 4096:
                sources.append(self.line.master)
        return sources

    def _sinks(self) -> list[int]:
        sinks = [self.line.master] if self.line.waiting else []
        if self.pid and self._hears and self._typed and not self._holds:
            sinks.append(self.terminal)
        return sinks

    def _patience(self) -> float | None:
        """Seconds to the next moment that no file descriptor announces, or None."""
        moments = [PATIENCE] if self.line.full else []
        moments += [HELD] if self._holds else []
        if self.pid and self.watchdog:
            moments.append(max(0, self.watchdog[1] - time.monotonic()))
        return min(moments, default=None)


def parser() -> argparse.ArgumentParser:
    """The options of a supervisor, for its command line."""
    p = argparse.ArgumentParser(prog="python -m ota_host.boards.supervisor")
    p.add_argument("kind", choices=("unix", "pico-w"))
    p.add_argument("--flash", required=True, help="image file; made when absent")
    p.add_argument("--link", help="symbolic link to the serial port; default: <flash>.tty")
    p.add_argument("--size", type=int, default=1024, help="KiB of flash (unix)")
    p.add_argument("--block", type=int, default=4096, help="bytes of an erase block (unix)")
    p.add_argument("--page", type=int, default=256, help="bytes programmed in one operation (unix)")
    p.add_argument("--fs", choices=("lfs2", "fat", "sd"), default="lfs2", help="sd: FAT on whole sectors (unix)")
    p.add_argument("--heap", default="128wK", help="heap; 34wK is fair to 48 KB on a 32-bit chip (unix)")
    p.add_argument("--cut-at", type=int, default=0, help="lose power in this flash operation since power-on")
    p.add_argument("--torn", choices=TORN, default="half", help="how much of that operation happens")
    p.add_argument("--no-reboot", dest="reboot", action="store_false", help="exit with 99 after a power cut")
    p.add_argument("--uf2", help="firmware (pico-w); default: MicroPython 1.27.0, downloaded once")
    p.add_argument("--env", action="append", default=[], metavar="KEY=VALUE", help="environment (unix)")
    return p


def build(options: BoardOptions) -> "UnixBoard | PicoBoard":
    """The board of the kind that the options name."""
    if options.kind == "unix":
        from .unix import UnixBoard

        return UnixBoard(options)
    from .pico import PicoBoard

    return PicoBoard(options)


def end(*_: object) -> NoReturn:
    """Handler of SIGTERM: leave in good order."""
    raise Ended(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a board that takes its orders from standard input; answers and the port come as lines of JSON."""
    options = parser().parse_args(argv)
    options.env = dict(pair.split("=", 1) for pair in options.env)
    signal.signal(signal.SIGTERM, end)

    def answer(word: str) -> None:
        print(json.dumps({"done": word}), flush=True)

    try:
        supervisor = Supervisor(build(options), options, commands=0, answer=answer)
        print(json.dumps({"port": supervisor.line.link}), flush=True)
        code = supervisor.run()
        if supervisor.problem:
            sys.stderr.write(supervisor.problem + "\n")
        return code
    except (Ended, KeyboardInterrupt):
        return 0
    except Exception as e:  # noqa: BLE001  (whatever it is)
        # The caller turns this line into its own exception.
        print(json.dumps({"error": "%s: %s" % (type(e).__name__, e)}), flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
