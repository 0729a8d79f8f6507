"""Where passwords of keys come from: a file, the environment, a terminal. Never the command line."""

import os
import sys
from pathlib import Path

from ..errors import ConfigError

VARIABLE = "OTA_KEY_PASSWORD"
_MOST = 1023  # bytes that a PEM takes


class Password:
    """Gives the password of a key: that of a file, else of OTA_KEY_PASSWORD, else asked at a terminal.

    Args:
        path (Path): a file whose first line it is, or None.
        confirm (bool): ask twice, for a new key.
    """

    def __init__(self, path: str | Path | None = None, confirm: bool = False) -> None:
        self._path, self._confirm = path, confirm

    def __call__(self, what: str) -> bytes:
        """The password (bytes) for `what` (str), its name in a message.

        Raises:
            ConfigError: there is none, or it is empty or too long.
        """
        where, text = self._find(what)
        data = text.encode("utf-8", "surrogateescape")
        if not 1 <= len(data) <= _MOST:
            raise ConfigError(f"{where}: a password of {len(data)} bytes, must be 1 to {_MOST}")
        return data

    def _find(self, what: str) -> tuple[str, str]:
        if self._path:
            try:
                lines = Path(self._path).read_bytes().decode("utf-8", "surrogateescape").splitlines()
            except OSError as e:
                raise ConfigError(f"--password-file {self._path}: cannot be read: {e.strerror}") from None
            return str(self._path), lines[0] if lines else ""
        if VARIABLE in os.environ:
            return VARIABLE, os.environ[VARIABLE]
        if not sys.stdin.isatty():
            raise ConfigError(f"{what}: needs a password: use --password-file, set {VARIABLE}, or run it in a terminal")
        import typer

        return what, typer.prompt(f"Password of {what}", hide_input=True, confirmation_prompt=self._confirm, err=True)
