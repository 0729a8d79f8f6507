"""A board's file system, by its raw REPL on a serial port."""

import ast
import binascii
import contextlib
import io
import struct
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from ..errors import OutsideError

# What a broken connection raises; mpremote unpacks what it read without checking the length.
_BROKEN = (TransportError, OSError, struct.error)
_PATIENCE = 120  # seconds that a board may be silent: a small one may hash for a minute
# Seconds to wait for the raw prompt. Ctrl-A is lost when the program that Ctrl-C stopped ends the interpreter.
_TRIES = (5, 10)

_HELPERS = """
import sys, os, hashlib
from binascii import a2b_base64 as b64
def look(names):
    found = {}
    for name in names:
        try:
            f = open(name, "rb")
        except OSError:
            continue
        h = hashlib.sha256()
        while True:
            data = f.read(512)
            if not data:
                break
            h.update(data)
        f.close()
        found[name] = h.digest()
    return found
def sizes(names):
    found = {}
    for name in names:
        try:
            info = os.stat(name)
            found[name] = None if info[0] & 0x4000 else info[6]
        except OSError:
            pass
    return found
def below(folder):
    found = []
    for entry in os.ilistdir(folder):
        path = folder + "/" + entry[0]
        if entry[1] & 0x4000:
            found += below(path)
        else:
            found.append(path)
    return found
def listed():
    import json
    try:
        from ota.bootguard import load
        state = load("")
        slots = [state["live"], state["next"]]
    except Exception:  # no library yet
        slots = "abc"
    for slot in slots:
        try:
            f = open(".ota/" + slot)
        except OSError:
            continue
        for line in f:
            try:
                entry = json.loads(line)
                if entry.get("p") and not entry.get("o"):
                    yield entry["p"]
            except (ValueError, AttributeError):
                pass
        f.close()
def strangers(path):
    names = below(path) if os.stat(path)[0] & 0x4000 else [path]
    for name in listed():
        for end in ("", ".ota-new", ".ota-old"):
            if name + end in names:
                names.remove(name + end)
    return names
def folders(path):
    at = path.find("/")
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            pass
        at = path.find("/", at + 1)
def drop(path):
    if os.stat(path)[0] & 0x4000:
        for entry in list(os.ilistdir(path)):
            drop(path + "/" + entry[0])
        os.rmdir(path)
    else:
        os.remove(path)
def clear(path):
    os.remove(path)
    while "/" in path:
        path = path[: path.rfind("/")]
        if list(os.ilistdir(path)):
            break
        os.rmdir(path)
def folds():
    names = [entry[0] for entry in os.ilistdir()]
    for name in names:
        other = name.lower() if name.upper() == name else name.upper()
        if other not in names:
            try:
                os.stat(other)
                return True
            except OSError:
                return False
    return False
"""


class _QuietTransport(SerialTransport):  # type: ignore[misc]  # mpremote has no types
    """Prints nothing, and lets each call take its time: creating a folder may have littlefs walk through all it holds."""

    def enter_raw_repl(self, *args: object, **options: object) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            super().enter_raw_repl(*args, **options)

    def exec_raw_no_follow(self, command: str | bytes) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            super().exec_raw_no_follow(command)

    def exec_raw(
        self, command: str | bytes, timeout: float = _PATIENCE, data_consumer: Callable[[bytes], None] | None = None
    ) -> tuple[bytes, bytes]:
        done: tuple[bytes, bytes] = super().exec_raw(command, timeout, data_consumer)
        return done


class Board:
    """A board's file system; its running program is interrupted, not restarted.

    Args:
        port (str): its serial port.

    Raises:
        OutsideError: the port does not open, or the board does not answer.
    """

    def __init__(self, port: str | Path) -> None:
        self.port = str(port)
        try:
            self._serial = _QuietTransport(self.port, timeout=10)
        except _BROKEN as e:
            raise OutsideError(f"{port}: cannot open the port: {e}") from None
        try:
            self._enter()
            self.run(_HELPERS)
        except BaseException:
            self.close()
            raise

    def _enter(self) -> None:
        for seconds in _TRIES:
            try:
                # Without a soft reset, which would run boot.py and use up a trial boot.
                return self._serial.enter_raw_repl(soft_reset=False, timeout_overall=seconds)
            except _BROKEN as e:
                error = e
        raise OutsideError(f"{self.port}: no board answers: {error}")

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except TransportExecError as e:
            reason = str(e.error_output).strip().splitlines() or ["no reason given"]
            raise OutsideError(f"{self.port}: {what}: {reason[-1]}") from None
        except _BROKEN as e:
            raise OutsideError(f"{self.port}: {what}: {e}") from None

    def run(self, code: str) -> str:
        """Run `code`; returns what it printed."""
        with self._errors("the board failed"):
            out, error = self._serial.exec_raw(code)
            if error:
                raise TransportExecError(out, error.decode())
            return out.decode()

    def ask(self, expression: str) -> Any:
        """The value of an expression on the board; raises OutsideError when it prints something else."""
        said = self.run(f"print(repr({expression}))").strip()
        try:
            return ast.literal_eval(said)
        except (SyntaxError, ValueError):
            shown = said if len(said) <= 200 else said[:200] + "..."
            raise OutsideError(
                f"{self.port}: the board printed {shown!r} in place of an answer; reset it and try again"
            ) from None

    def _ask_each(self, function: str, paths: Collection[str], batch: int = 50) -> dict[str, Any]:
        found: dict[str, Any] = {}
        listed = list(paths)
        for i in range(0, len(listed), batch):
            found.update(self.ask(f"{function}({listed[i : i + batch]!r})"))
        return found

    def sizes(self, paths: Collection[str]) -> dict[str, int | None]:
        """Those of `paths` that exist: path -> size in bytes, None for a folder."""
        return self._ask_each("sizes", paths)

    def hashes(self, paths: Collection[str]) -> dict[str, bytes]:
        """Those of `paths` that are files: path -> SHA-256."""
        return self._ask_each("look", paths, 20)

    def free(self) -> int:
        """Bytes that are free."""
        found: int = self.ask("(lambda s: s[0] * s[3])(os.statvfs(''))")
        return found

    def write(self, path: str, data: bytes, report: Callable[[int], object]) -> None:
        """Write a file; calls `report(bytes so far)` on the way."""
        # Not by mpremote's fs_writefile: compiled code as a literal has more than twice its length.
        with self._errors(f"writing {path}"):
            # Few calls, because each waits for the board: the first chunk opens the file, the last one closes it.
            before = f"folders({path!r})\nf = open({path!r}, 'wb')\nw = f.write\n"
            for at in range(0, len(data) or 1, 1024):
                chunk = data[at : at + 1024]
                plain, packed = f"w({chunk!r})", f"w(b64({binascii.b2a_base64(chunk, newline=False)!r}))"
                after = "\nf.close()" if at + 1024 >= len(data) else ""
                self._serial.exec(before + min(plain, packed, key=len) + after)
                before = ""
                report(at + len(chunk))

    def remove(self, paths: Collection[str]) -> list[str]:
        """Remove those of `paths` that are files, and the folders that this leaves empty; returns what it removed."""
        there = [path for path, size in self.sizes(paths).items() if size is not None]
        for path in there:
            self.run(f"clear({path!r})")
        return there

    def drop(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        self.run(f"drop({path!r})")

    def reset(self) -> None:
        """Reset the board: its boot.py and main.py run."""
        with contextlib.suppress(TransportError, OSError):
            self._serial.exec_raw_no_follow("import machine; machine.reset()")
        self.close()

    def close(self) -> None:
        with contextlib.suppress(TransportError, OSError):
            self._serial.close()
