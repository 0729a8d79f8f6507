"""Types for editors and type checkers: the stubs beside the library, as they are installed."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import ROOT
from test_docs import BLOCK

TYPED = ROOT / "tests" / "typed"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def environment(distributions, tmp_path_factory):
    """A virtual environment with the wheel in it, without what the wheel depends on."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(distributions.wheel) as wheel:
        wheel.extractall(site)
    return folder


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The programs to check, away from this checkout, whose `ota/` would be found first."""
    folder = tmp_path_factory.mktemp("programs")
    for path in TYPED.glob("*.py"):
        (folder / path.name).write_bytes(path.read_bytes())
    for name, text in {"readme": documented("README.md", "ota.boot()", "HttpTransport("),
                       "ten_lines": documented("docs/how-to/write-a-transport.md", "def _open")}.items():
        # Without annotations, which would be for nothing on a board.
        (folder / f"{name}.py").write_text("# pyright: standard\n" + text)
    return folder


def documented(page, *parts):
    """The code blocks of `page` that have one of `parts` in them."""
    texts = [text for language, text in BLOCK.findall((ROOT / page).read_text()) if language == "python"]
    found = [text for text in texts if any(part in text for part in parts)]
    assert len(found) == len(parts)
    return "\n".join(found)


def mistakes(folder):
    """(file, line) of every line that a type checker has to find fault with."""
    lines = set()
    for path in folder.glob("*.py"):
        lines |= {(path.name, i) for i, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("# wrong")}
    assert len(lines) > 15
    return lines


def test_pyright_finds_every_mistake_and_nothing_else(environment, programs):
    """In programs with annotations by its strictest rules, in those of the docs by its usual ones."""
    (programs / "pyrightconfig.json").write_text(json.dumps({"include": ["."], "typeCheckingMode": "strict"}))
    command = [BIN / "pyright", "--outputjson", "--pythonpath", environment / "bin" / "python"]
    env = dict(os.environ, PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    done = subprocess.run(command, cwd=programs, env=env, capture_output=True, text=True)
    found = json.loads(done.stdout)["generalDiagnostics"]
    assert {(Path(d["file"]).name, d["range"]["start"]["line"] + 1) for d in found} == mistakes(programs), found


def test_mypy_strict_finds_every_mistake_and_nothing_else(environment, programs):
    options = ["--strict", "--cache-dir", os.devnull, "--python-executable", environment / "bin" / "python"]
    command = [BIN / "mypy", *options, *(path.name for path in TYPED.glob("*.py"))]
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True)
    found = re.findall(r"^(\w+\.py):(\d+): error:", done.stdout, re.M)
    assert {(name, int(line)) for name, line in found} == mistakes(programs), done.stdout


def test_the_stubs_say_what_the_code_does():
    """Names, arguments, defaults: by mypy's stubtest. What is no part of the API is in tests/typed/internal.txt."""
    command = [sys.executable, "-m", "mypy.stubtest", "--concise", "--allowlist", TYPED / "internal.txt"]
    done = subprocess.run(
        [*command, "--mypy-config-file", TYPED / "stubtest.ini", "ota"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_has_a_stub_of_its_own_module():
    """Names of a module without one would be guessed from its code."""
    from ota.names import _HOMES

    for line in _HOMES.split(";"):
        path = (ROOT / "ota" / line.split()[0].replace(".", "/"))
        stub = path / "__init__.pyi" if path.is_dir() else path.with_suffix(".pyi")
        assert stub.is_file() or line == "bootguard boot", line  # `ota.boot` is a function of the package
