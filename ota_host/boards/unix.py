"""The unix port of MicroPython as a board: how it is started, and what its serial line shows."""

import contextlib
import importlib.util
import os
import pty
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .supervisor import BoardOptions

from ..extras import install

STUB = str(Path(__file__).with_name("stub.py"))

_READY = b"\0READY\0"  # the stub says it before the prompt, when the board comes back to the raw prompt
_RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
_BANNER = b'Type "help()" for more information.\r\n'
# The launcher of the wheel spends most of its time in Python's site module; this one leaves it out.
_LAUNCH = """\
import sys
sys.path.insert(0, %r)
import micropython_run
sys.exit(micropython_run.run_main(["micropython"] + sys.argv[1:]))
"""


def command() -> list[str]:
    """The command line of the unix port: $MICROPYTHON, else the package in this environment, else the one on the path.

    Raises:
        FileNotFoundError: when there is none.
    """
    named = os.environ.get("MICROPYTHON")
    if named:
        return [named]
    spec = importlib.util.find_spec("micropython_run")
    if spec is not None and spec.origin:
        return [sys.executable, "-I", "-S", "-c", _LAUNCH % os.path.dirname(spec.origin)]
    found = shutil.which("micropython")
    if found is None:
        raise FileNotFoundError(f"no unix port of MicroPython: run {install('boards')}, or set MICROPYTHON")
    return [found]


def start_in_terminal(
    argv: list[str], env: Mapping[str, str], pass_fds: Iterable[int] = (), interrupts: bool = True
) -> tuple[int, int]:
    """Start a program with a new pty as its terminal and its three standard files.

    Args:
        argv, env: what to start.
        pass_fds: file descriptors that it inherits.
        interrupts: whether Ctrl-C is a signal to it.

    Returns:
        (process id, master end of the pty, not blocking)
    """
    for fd in pass_fds:
        os.set_inheritable(fd, True)
    pid, master = pty.fork()
    if pid == 0:
        try:
            tty.setraw(0)
            if interrupts:
                _let_ctrl_c_interrupt()
            os.execvpe(argv[0], argv, env)
        finally:
            os._exit(127)
    os.set_blocking(master, False)
    return pid, master


def _let_ctrl_c_interrupt() -> None:
    """While code runs Ctrl-C is a signal; at its prompt the port switches that off and takes it as a byte."""
    mode = termios.tcgetattr(0)
    mode[3] |= termios.ISIG
    mode[6][termios.VINTR] = b"\x03"
    mode[6][termios.VQUIT] = mode[6][termios.VSUSP] = b"\0"
    termios.tcsetattr(0, termios.TCSANOW, mode)


class UnixBoard:
    """What the supervisor needs to know of the unix port.

    Args:
        options: the supervisor's options (flash, size, block, page, fs, heap, env).
    """

    soft_resets = True  # the program ends at a soft reset, and a new one carries on

    def __init__(self, options: "BoardOptions") -> None:
        self.options = options
        self._command = command()
        self._raw = False
        self._phase = "run"
        self._held = b""
        self._tail = b""

    @property
    def hears(self) -> bool:
        """Whether the serial line may be listened to: not during the detour that `shown` hides."""
        return self._phase in ("run", "boot")

    def prepare(self) -> None:
        """Make the flash, all erased, when there is none."""
        flash = Path(self.options.flash)
        if not flash.exists():
            flash.write_bytes(b"\xff" * (self.options.size * 1024))

    def start(self, cause: int, done: int, cut_at: int, torn: str, control: int, ledger: int) -> tuple[int, int]:
        """Power for the port: returns process id and terminal."""
        soft = cause == 5
        self._raw = self._raw and soft
        self._phase = "boot" if self._raw else "run"
        self._held = self._tail = b""
        o = self.options
        env = {k: v for k, v in os.environ.items() if k not in ("HOME", "MICROPYPATH")}  # HOME: no history file
        env.update(BOARD_FLASH=os.path.abspath(o.flash), BOARD_FS=o.fs)
        env.update(BOARD_BLOCK=str(o.block), BOARD_PAGE=str(o.page))
        env.update(BOARD_CONTROL=str(control), BOARD_OPS=str(ledger), BOARD_DONE=str(done), BOARD_CUT_AT=str(cut_at))
        env.update(BOARD_TORN=torn, BOARD_CAUSE=str(cause), BOARD_RAW=str(int(self._raw)), MICROPYINSPECT="1")
        env.update(o.env)
        argv = [*self._command, "-X", "heapsize=" + o.heap, STUB]
        return start_in_terminal(argv, env, (control, ledger))

    def interrupt(self, pid: int, terminal: int) -> bool:
        """Press Ctrl-C, unless that would end the port; returns whether it was pressed.

        Between a program and a prompt the terminal still makes a signal of Ctrl-C, while the port no longer handles it.
        The port is stopped meanwhile, so that it cannot get there between the look and the key.
        """
        os.kill(pid, signal.SIGSTOP)
        try:
            while _status(pid, "State", "T")[:1] not in "TZX":
                time.sleep(0.0001)
            is_key = not termios.tcgetattr(terminal)[3] & termios.ISIG
            if is_key or int(_status(pid, "SigCgt", "2"), 16) >> signal.SIGINT - 1 & 1:
                return os.write(terminal, b"\x03") == 1
            return False
        except termios.error:  # the port has ended
            return True
        finally:
            os.kill(pid, signal.SIGCONT)

    def shown(self, data: bytes, reply: Callable[[bytes], None]) -> bytes:
        """What of the port's output the serial line shows.

        A board that is soft-reset from the raw prompt comes back at the raw prompt; the port starts at the friendly
        one, so that detour is hidden. `reply` takes what has to be typed for it.
        """
        if self._phase == "boot":
            data = self._held + data
            at = data.find(_READY)
            if at < 0:
                keep = _overlap(data, _READY)
                self._held = data[len(data) - keep :]
                return data[: len(data) - keep]
            before, self._held, data = data[:at], b"", data[at + len(_READY) :]
            self._phase = "friendly"
            return before + self.shown(data, reply)
        if self._phase == "friendly":
            self._held += data
            if not self._held.endswith(b">>> "):
                return b""
            reply(b"\x01")
            self._phase, self._held = "raw", b""
            return b""
        if self._phase == "raw":
            self._held += data
            at = self._held.find(_RAW_PROMPT)
            if at < 0:
                return b""
            data, self._held, self._phase = self._held[at:], b"", "run"
        self._follow(data)
        return data

    def _follow(self, data: bytes) -> None:
        """Keep in mind which of the two prompts the board is at."""
        tail = self._tail + data
        raw, friendly = tail.rfind(_RAW_PROMPT), tail.rfind(_BANNER)
        if raw != friendly:
            self._raw = raw > friendly
        self._tail = tail[-64:]

    def rest(self) -> bytes:
        """Output still held back when the port has ended."""
        held = self._held if self._phase == "boot" else b""
        self._held = b""
        return held


def _status(pid: int, key: str, otherwise: str) -> str:
    """A line of /proc/<pid>/status; `otherwise` on a system that has no such file."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as f:
        return next((line.split()[1] for line in f if line.startswith(key + ":")), otherwise)
    return otherwise


def _overlap(data: bytes, mark: bytes) -> int:
    """Length of the longest beginning of `mark` that `data` ends with."""
    return next((n for n in range(len(mark) - 1, 0, -1) if data.endswith(mark[:n])), 0)
