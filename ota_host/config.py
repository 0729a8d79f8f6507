"""ota.toml: what a project publishes, from where, to where. Read and checked as a whole."""

import difflib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from . import delta, keep
from .errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "ota.toml"
LEGACY = ("none", "prefix", "subdir")
LIBRARY = ("files", "frozen")

# A project and a channel become part of a URL and of a path.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Config:
    """The settings of a project; `folder` is where its ota.toml lies, and paths are relative to it."""

    folder: Path
    project: str
    source: str = "src"
    include: list[str] = field(default_factory=lambda: ["*"])
    exclude: list[str] = field(default_factory=list)
    destination: str = "public"
    channel: str = "stable"
    legacy: str = "none"
    compile: bool = False
    compile_exclude: list[str] = field(default_factory=list)
    version: str = ""
    platform: list[str] = field(default_factory=list)
    expires: int = 0
    key: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    threshold: int = 1
    deltas: int = delta.KEPT
    compress: bool = True
    library: str = "files"
    keep: list[str] = field(default_factory=list)

    @property
    def source_folder(self) -> Path:
        return (self.folder / self.source).absolute()

    @property
    def root(self) -> Path:
        """The folder that a web server serves."""
        return (self.folder / self.destination).absolute()

    @property
    def tree(self) -> Path:
        """The folder of this project on the server."""
        return self.root / self.project


def is_plain(value: object) -> TypeGuard[str]:
    """Whether `value` may name a project or a channel."""
    return isinstance(value, str) and bool(_PLAIN.fullmatch(value))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_days(value: object) -> bool:
    return type(value) is int and 0 <= value <= 36500


def _is_count(value: object) -> bool:
    return type(value) is int and 1 <= value <= 8


def _is_flag(value: object) -> bool:
    return type(value) is bool


def _is_kept(value: object) -> bool:
    return type(value) is int and 0 <= value <= delta.MOST


PLAIN = "must be 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin with a letter, a digit or _"
_TEXTS = "must be a list of texts, none empty"

# Each key: whether a value is right, and what to say when it is not.
KEYS: dict[str, tuple[Callable[[object], bool], str]] = {
    "project": (is_plain, PLAIN),
    "source": (_is_text, "must be a folder, as text"),
    "include": (_is_texts, _TEXTS),
    "exclude": (_is_texts, _TEXTS),
    "destination": (_is_text, "must be a folder, as text"),
    "channel": (is_plain, PLAIN),
    "legacy": (LEGACY.__contains__, 'must be "none", "prefix" or "subdir"'),
    "compile": (_is_flag, "must be true or false"),
    "compile_exclude": (_is_texts, _TEXTS),
    "version": (_is_text, "must be a version such as v1.0.0, as text"),
    "platform": (_is_texts, _TEXTS),
    "expires": (_is_days, "must be a whole number of days from 0 (never) to 36500"),
    "key": (_is_texts, _TEXTS),
    "keys": (_is_texts, _TEXTS),
    "threshold": (_is_count, "must be a whole number from 1 to 8"),
    "deltas": (_is_kept, f"must be a whole number of releases from 0 (none) to {delta.MOST}"),
    "compress": (_is_flag, "must be true or false"),
    "library": (LIBRARY.__contains__, 'must be "files" or "frozen"'),
    "keep": (keep.is_right, keep.ALLOWED),
}
# Whose values stand in no message: somebody may have put a private key there.
_SECRET = ("key", "keys")


def read(path: str | Path = NAME) -> Config:
    """Read the settings of a project.

    Args:
        path (str or Path): its ota.toml.

    Returns:
        Config.

    Raises:
        ConfigError: no such file, not TOML, an unknown key, or a value that is not allowed;
            the message names the file, the key, the value and what is allowed.
    """
    path = Path(path)
    try:
        given = tomllib.loads(_text(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `ota init` writes one") from None
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from None
    except (ValueError, RecursionError) as e:
        raise ConfigError(f"{path}: is not TOML: {e}") from None
    for key, value in given.items():
        if key not in KEYS:
            raise ConfigError(f"{path}: {key} = {_shown(value)}: unknown key{_guess(key)}")
        right, allowed = KEYS[key]
        if not right(value):
            shown = f"a value of type {type(value).__name__}" if key in _SECRET else _shown(value)
            raise ConfigError(f"{path}: {key} = {shown}: {allowed}")
    if "project" not in given:
        raise ConfigError(f"{path}: project: is missing; {PLAIN}")
    return Config(folder=path.absolute().parent, **given)


def _text(path: Path) -> str:
    # Editors on Windows put a byte order mark in front.
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{path}: is UTF-16; save the file as UTF-8")
    return data.decode("utf-8-sig")


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # TOML writes in hex what Python will not write in decimal
        return "a number of thousands of digits"


def _guess(key: str) -> str:
    close = difflib.get_close_matches(key, KEYS, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"; {meant}Allowed: {', '.join(KEYS)}"
