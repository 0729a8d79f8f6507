"""Test boards: MicroPython on a flash image, behind a serial port that mpremote opens, with power that fails on demand.

    from ota_host.boards import start

    with start("unix", "flash.img") as board:
        board.mpremote("fs", "cp", "main.py", ":main.py")
        for operation in board.every_cut():       # the power fails in each flash operation of main.py, and comes back
            assert board.tree()["settings"] in (OLD, NEW)

Two kinds: `unix`, the unix port with littlefs or FAT (starts in hundredths of a second), and `pico-w`, the unmodified
firmware of the Raspberry Pi Pico W in an emulator (machine code, flash, Wi-Fi; about a sixteenth of real time).
"""

import contextlib
import itertools
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from .firmware import FirmwareUnavailable, pico_w_firmware
from .images import read_tree

__all__ = ["WIFI_BOOT", "Board", "BoardError", "BoardReset", "FirmwareUnavailable", "read_tree", "start"]

# Brings the emulated Pico W online; any name and password do. Takes about 20 s.
WIFI_BOOT = """\
import network, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("any", "any")
while not wlan.isconnected():
    time.sleep_ms(50)
"""


_Found = TypeVar("_Found", bytes, list[str])


class BoardError(Exception):
    """A board did not do what was asked of it; `output` is what it said."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class BoardReset(BoardError):
    """The board was reset, or lost power, while it was to run something."""


@dataclass(frozen=True)
class Options:
    """How a board is made; see `start`."""

    size_kib: int = 1024
    block: int = 4096
    page: int = 256
    fs: str = "lfs2"
    heap: str = "128wK"
    cut_at: int = 0
    torn: str = "half"
    reboot: bool = True
    uf2: str | None = None

    def arguments(self) -> list[str]:
        """The same as arguments of the supervisor."""
        given = {"size": self.size_kib, "block": self.block, "page": self.page, "fs": self.fs, "heap": self.heap}
        given.update({"cut-at": self.cut_at, "torn": self.torn})
        words = [word for name, value in given.items() for word in ("--" + name, str(value))]
        words += [] if self.reboot else ["--no-reboot"]
        return words + (["--uf2", str(self.uf2)] if self.uf2 else [])


def start(
    kind: str, flash: str | Path, *, link: str | Path | None = None, env: Mapping[str, str] | None = None, **options: Any
) -> "Board":
    """Switch a board on.

    Args:
        kind: "unix" or "pico-w".
        flash: path of the flash image; made, erased, when absent. Logs are written beside it.
        link: path of the serial port (a symbolic link); default: the flash's name with `.tty`.
        env: more environment variables for the unix port, a dict.
        size_kib, block, page: flash size in KiB, bytes of an erase block and of a program operation (unix only).
        fs: "lfs2", "fat" (on raw flash), or "sd" (FAT whose sectors are written whole) (unix only).
        heap: heap of the unix port, of which the board itself takes 14 KB; "34wK" is fair to 48 KB on a 32-bit chip.
        cut_at: number of the flash operation since power-on in which the power fails; 0 for never.
        torn: how much of that operation happens: none, 1byte, half, all-but-1 or all.
        uf2: firmware for pico-w; default: MicroPython 1.27.0, which is downloaded once and cached.
        reboot: whether the power comes back after a cut; else the board stays off with `returncode` 99.

    Returns:
        A `Board`, best used as a context manager.

    Raises:
        BoardError: when it cannot be started, or an option is not one of these.
        FirmwareUnavailable: when the firmware of the Pico W cannot be had.
    """
    try:
        made = Options(**options)
    except TypeError as e:
        raise BoardError("unknown option of a board: %s" % e) from None
    if kind == "pico-w" and made.uf2 is None:
        made = replace(made, uf2=str(pico_w_firmware()))
    return Board(kind, flash, link, made, env or {})


class Board:
    """A board under power. `port` is the path that mpremote opens, `flash` its image. Made by `start`."""

    def __init__(self, kind: str, flash: str | Path, link: str | Path | None, options: Options, env: Mapping[str, str]) -> None:
        self.kind, self.flash, self.options = kind, Path(flash).absolute(), options
        self._logs = {name: Path("%s.%s" % (self.flash, name)) for name in ("log", "ctl", "ops")}
        self._from = {name: _size(path) for name, path in self._logs.items()}
        self._seen = self._from["log"]
        argv = [sys.executable, "-m", "ota_host.boards.supervisor", kind, "--flash", str(self.flash)]
        argv += options.arguments() + [word for k, v in env.items() for word in ("--env", "%s=%s" % (k, v))]
        argv += ["--link", str(Path(link).absolute())] if link else []
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self._orders, self._answers = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        self._unread = b""
        self.port = self._answer(60)["port"]

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # What is said

    def log(self) -> list[str]:
        """The control lines since the board was started, in order: see `ota_host.boards.supervisor`."""
        return self._since("ctl", self._from["ctl"]).decode(errors="replace").splitlines()

    def output(self) -> str:
        """Everything the board said on its serial line since it was started, whoever read it; line ends are "\\n"."""
        return _text(self._since("log", self._from["log"]))

    def ops(self) -> int:
        """Number of flash operations since power-on."""
        return _size(self._logs["ops"])

    def wait_for(self, text: str, timeout: float = 10.0) -> str:
        """Wait until the serial line says `text`: since the last `power_on`, and after what the last `wait_for` found.

        Returns:
            What was said up to and including it.

        Raises:
            BoardError: after `timeout` seconds, or when the board is off for good.
        """
        # Boards end lines with "\r\n", the unix port with "\n".
        wanted = re.compile(re.escape(text.encode()).replace(b"\\\n", b"\r?\n"))
        said = self._wait(lambda: self._since("log", self._seen), wanted.search, timeout, "say %r" % text)
        end = next(wanted.finditer(said)).end()
        self._seen += end
        return _text(said[:end])

    def wait_for_log(self, text: str, timeout: float = 10.0, count: int = 1) -> str:
        """Wait until `count` control lines begin with `text`; returns the last of them."""

        def enough(lines: list[str]) -> bool:
            return sum(line.startswith(text) for line in lines) >= count

        lines = self._wait(self.log, enough, timeout, "log %r %d times" % (text, count))
        return [line for line in lines if line.startswith(text)][count - 1]

    def _wait(self, look: Callable[[], _Found], enough: Callable[[_Found], object], timeout: float, what: str) -> _Found:
        end = time.monotonic() + timeout
        while True:
            off = self.returncode is not None
            found = look()
            if enough(found):
                return found
            if off:
                message = "the board is off (exit code %s) and did not %s" % (self.returncode, what)
                raise BoardError(message, self.output())
            if time.monotonic() > end:
                raise BoardError("the board did not %s within %g s" % (what, timeout), self.output())
            time.sleep(0.01)

    def _since(self, name: str, place: int) -> bytes:
        with contextlib.suppress(FileNotFoundError), self._logs[name].open("rb") as f:
            f.seek(place)
            return f.read()
        return b""

    # What is done

    def mpremote(self, *args: object, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run mpremote on the board, as a process of its own.

        Args:
            args: its arguments after `connect PORT`.
            timeout: seconds after which it is killed.

        Returns:
            A `subprocess.CompletedProcess` with text, whatever the exit code.

        Raises:
            BoardReset: when the board was reset and mpremote still waited for an answer half a second later.
            BoardError: after `timeout` seconds.
        """
        argv = [sys.executable, "-m", "mpremote", "connect", self.port, *map(str, args)]
        resets = self._resets()
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as p:
            end, reset_seen = time.monotonic() + timeout, None
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    out, err = p.communicate(timeout=0.1)
                    return subprocess.CompletedProcess(argv, p.returncode, out, err)
                now = time.monotonic()
                if reset_seen is None and self._resets() > resets:
                    reset_seen = now
                if now < end and (reset_seen is None or now < reset_seen + 0.5):
                    continue
                p.kill()
                out, err = p.communicate()
                call = "mpremote " + " ".join(argv[5:])
                if reset_seen is not None:
                    raise BoardReset("the board was reset during: %s" % call, out + err)
                raise BoardError("not done within %g s: %s" % (timeout, call), out + err)

    def exec(self, code: str, timeout: float = 60.0, *, resume: bool = False, may_reset: bool = False) -> str:
        """Run Python code on the board.

        Args:
            code: the source.
            timeout: seconds.
            resume: leave out the soft reset that mpremote makes first. That reset runs boot.py, and not main.py.
            may_reset: whether the code may end in a reset of the board.

        Returns:
            What it printed (until the reset, when there was one).

        Raises:
            BoardReset: when the board was reset and `may_reset` is false.
            BoardError: when the code raised, or took too long.
        """
        resets = self._resets()
        try:
            done = self.mpremote(*(["resume"] if resume else []), "exec", code, timeout=timeout)
            if done.returncode and self._resets() > resets:  # without power the port is gone, and mpremote fails
                raise BoardReset("the board was reset while it ran: %s" % code, done.stdout)
        except BoardReset as e:
            if may_reset:
                return e.output
            raise
        if done.returncode:
            raise BoardError(done.stderr.strip() or done.stdout.strip() or "mpremote failed", done.stdout)
        return done.stdout

    def _resets(self) -> int:
        return sum(line.startswith(("RESET", "WAKE", "CUT", "WATCHDOG", "CRASH", "NOR-VIOLATION")) for line in self.log())

    def tree(self) -> dict[str, bytes]:
        """The files in its flash, read from outside: see `read_tree`."""
        return read_tree(self.flash, self.kind, fs=self.options.fs, block=self.options.block)

    # Power

    @property
    def returncode(self) -> int | None:
        """None while there is power to come; 99 after a power cut without `reboot`."""
        return self._process.poll()

    def power_off(self) -> None:
        """Take the power away, whatever the board is doing."""
        self._order("off")

    def power_on(self, cut_at: int = 0, torn: str | None = None) -> None:
        """Give it power; with `cut_at` it fails in that flash operation, of which `torn` happens."""
        self._seen = _size(self._logs["log"])
        self._order("on %d %s" % (cut_at, torn or self.options.torn))

    def power_cycle(self, cut_at: int = 0, torn: str | None = None) -> None:
        """Off and on again."""
        self.power_off()
        self.power_on(cut_at, torn)

    def every_cut(self, until: str = ">>> ", *, torn: str | None = None, timeout: float = 30.0) -> Iterator[int]:
        """Let the power fail in every flash operation of what the board does after power-on, one after the other.

        Each round begins with the flash as it is now. The power comes back after the cut; when the board has then said
        `until`, the number of the operation is yielded, and what the board and its flash are like can be checked.
        It ends with the first round in which the board says `until` without a cut.

        Args:
            until: what the board says when it has done its work; the prompt, when nothing else is given.
            torn: how much of the operation happens; default: as the board was started.
            timeout: seconds for a round.

        Raises:
            BoardError: when the board does not come back after a cut.
        """
        self.power_off()
        image = self.flash.read_bytes()
        for number in itertools.count(1):
            self.power_off()
            self.flash.write_bytes(image)
            cuts = self._cuts()
            self.power_on(number, torn)
            self.wait_for(until, timeout)
            if self._cuts() == cuts:
                return
            yield number

    def _cuts(self) -> int:
        return sum(line.startswith("CUT") for line in self.log())

    def wait_off(self, timeout: float = 60.0) -> int:
        """Wait until the board is off for good; returns the exit code (99: a power cut)."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise BoardError("the board still has power after %g s" % timeout, self.output()) from None

    def stop(self) -> None:
        """Switch off and forget; the flash image and its logs stay."""
        with contextlib.suppress(OSError):
            self._orders.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _order(self, line: str) -> None:
        try:
            self._orders.write(line.encode() + b"\n")
            self._orders.flush()
        except OSError:
            raise BoardError("the board is off for good (exit code %s)" % self.returncode) from None
        self._answer(30)

    def _answer(self, timeout: float) -> dict[str, str]:
        """The supervisor's next line."""
        end = time.monotonic() + timeout
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0, end - time.monotonic()))
            data = os.read(self._answers.fileno(), 4096) if ready else b""
            if not data:
                self.stop()
                raise BoardError("the %s board gave no answer (exit code %s)" % (self.kind, self.returncode))
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        answer: dict[str, str] = json.loads(line)
        if "error" in answer:
            self.stop()
            raise BoardError("cannot start the %s board: %s" % (self.kind, answer["error"]))
        return answer


def _text(data: bytes) -> str:
    return data.decode(errors="replace").replace("\r\n", "\n")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
