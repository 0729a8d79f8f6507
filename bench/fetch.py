"""Other people's code, fetched when the benchmark runs and kept in the cache, never in this repository."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from old_board import original
from support import ROOT

CACHE = ROOT / ".cache"
PROJECTS = json.loads((ROOT / "bench" / "projects.json").read_text())
SENKO = ("micropython-senko", "2.0.4", "a81338be")


class Unavailable(Exception):
    """A source archive that cannot be had, or that is not the one that it was."""


def archive(name, version, digest=""):
    """The source archive of a release on PyPI (Path); `digest` is how its SHA-256 begins.

    Raises:
        Unavailable: it cannot be had, or is another.
    """
    CACHE.mkdir(exist_ok=True)
    path = CACHE / f"{name}-{version}.sdist"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
            unearth = Path(sys.executable).parent / "unearth"
            argv = [unearth, f"{name}=={version}", "--no-binary", "--download", fresh]
            for pause in (1, 5, 0):  # a whole run would lack it for one failure that passes
                done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
                if not done.returncode:
                    break
                time.sleep(pause)
            found = [p for p in Path(fresh).iterdir() if p.name.endswith(".tar.gz")]
            if done.returncode or not found:
                raise Unavailable(f"{name} {version}: {done.stderr.strip()[-200:]}")
            os.replace(found[0], path)
    got = hashlib.sha256(path.read_bytes()).hexdigest()
    if not got.startswith(digest):
        raise Unavailable(f"{name} {version}: its SHA-256 is {got}, not {digest}…")
    return path


def python_files(path):
    """The modules in a source archive, {path: bytes}: without what only builds, tests or documents it."""
    out = {}
    with tarfile.open(path) as tar:
        for member in tar:
            parts = member.name.split("/")[1:]
            if parts and parts[0] == "src":
                parts = parts[1:]
            folders = {"tests", "test", "docs", "doc", "examples", "example", "tools", "scripts", "simulation"}
            if not member.isfile() or not parts or not parts[-1].endswith(".py") or folders & set(parts):
                continue
            if parts[0] in ("setup.py", "sdist_upip.py", "conftest.py") or any(p.startswith(".") for p in parts):
                continue
            out["/".join(parts)] = tar.extractfile(member).read()
    return out


def peers():
    """Folders and files to compile for the boards, [(place, Path)]; what cannot be had is left out, and said."""
    found = []
    try:
        found.append(("", original("2.1.0") / "micropython_ota.py"))
    except BaseException as e:  # pytest's way to skip
        print("LEFT OUT micropython_ota:", e)
    try:
        code = python_files(archive(*SENKO))["senko/senko.py"]
        path = CACHE / "senko" / "senko.py"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(code)
        found.append(("", path))
    except Unavailable as e:
        print("LEFT OUT senko:", e)
    return found


def releases():
    """Consecutive releases of real projects: (name, old version, new version, old files, new files) a pair."""
    for name, versions in PROJECTS.items():
        before = None
        for version, digest in versions.items():
            files = python_files(archive(name, version, digest))
            if before and files != before[1]:
                yield name, before[0], version, before[1], files
            before = version, files
