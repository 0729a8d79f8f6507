"""What must not leave the desk: files that are not what they seem, and sources that MicroPython reads differently."""

import ast
import re
import warnings
from typing import NoReturn

from . import private_keys
from .errors import HostError

_POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("Git LFS", "git lfs pull"),
    b"version https://hawser.github.com/spec/": ("Git LFS", "git lfs pull"),
    b"/annex/objects/": ("git-annex", "git annex get"),
}
_POINTER = 1024  # bytes at most
_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# What CPython says of a character that it refuses and that MicroPython takes for a part of a name.
_ODD = re.compile(r"invalid (?:non-printable )?character\b.*(U\+[0-9A-F]+)")


def check(path: str, data: bytes) -> None:
    """Refuse the content of a file that no board should get.

    Args:
        path: on the board, for messages.
        data: the content.

    Raises:
        HostError: a private key, the pointer to a file that was not fetched, or a Python source that MicroPython
            reads differently from what the editor shows.
    """
    _check_pointer(path, data)
    key = private_keys.find(data)
    if key:
        _refuse(path, key)
    if path.endswith(".py"):
        _check_source(path, data)


def _refuse(path: str, key: str) -> NoReturn:
    raise HostError(
        f"{path}: contains {key}, and a release is public; move it out of the source folder, or leave it out with "
        "`exclude`; what one board needs for itself belongs in a file on that board that is in no release"
    )


def _check_pointer(path: str, data: bytes) -> None:
    if len(data) > _POINTER:
        return
    for begin, (what, command) in _POINTERS.items():
        if data.startswith(begin):
            raise HostError(
                f"{path}: is a {what} pointer of {len(data)} bytes, not the file itself; run `{command}`, or leave it "
                "out with `exclude`"
            )


def _check_source(path: str, data: bytes) -> None:
    if data.startswith(_UTF_16):
        raise HostError(f"{path}, line 1: is UTF-16, which MicroPython cannot read; save the file as UTF-8")
    if data.startswith(_MARK):
        raise HostError(
            f"{path}, line 1: starts with a byte order mark (BOM), which MicroPython reads as part of the first name; "
            "save the file as UTF-8 without BOM"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its escapes, which are the author's business
            tree = ast.parse(data.decode())
        key = private_keys.find_in_source(tree)
        if key:
            _refuse(path, key)
    except SyntaxError as e:
        odd = _ODD.match(e.msg)
        if odd:
            raise HostError(
                f"{path}, line {e.lineno}: has the character {odd[1]} outside of a string or comment, "
                "which MicroPython reads as part of a name; delete it, or type it again"
            ) from None
    except (ValueError, RecursionError):
        pass  # not UTF-8, with NUL bytes, or nested too deep: mpy-cross judges it
