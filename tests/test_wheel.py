"""What is installed with pip: the command, the two packages, and the bytes that go on boards."""

import os
import subprocess
import sys
import tarfile
import zipfile

import pytest
from support import ROOT

from ota_host import library


@pytest.fixture(scope="module")
def wheel(distributions):
    return distributions.wheel


def test_the_library_in_the_wheel_is_byte_for_byte_what_deploy_puts_on_a_board(wheel):
    with zipfile.ZipFile(wheel) as z:
        held = {n: z.read(n) for n in z.namelist() if n.startswith("ota/") or n == "micropython_ota.py"}
    typed = {n for n in held if n.endswith((".pyi", "py.typed"))}
    assert {n: data for n, data in held.items() if n not in typed} == library.files(library.Form.SOURCE)


def stubs():
    folders = [ROOT / "ota", ROOT / "ota_host", ROOT / "micropython_ota-stubs"]
    typed = {p.relative_to(ROOT).as_posix() for f in folders for p in [*f.rglob("*.pyi"), *f.rglob("py.typed")]}
    assert {"ota/py.typed", "ota_host/py.typed", "ota/__init__.pyi", "micropython_ota-stubs/__init__.pyi"} <= typed
    return typed


def test_the_wheel_and_the_source_distribution_hold_every_stub(distributions):
    with zipfile.ZipFile(distributions.wheel) as z:
        assert stubs() <= set(z.namelist())
    with tarfile.open(distributions.sdist) as t:
        assert stubs() <= {name.split("/", 1)[-1] for name in t.getnames()}


def test_no_board_gets_a_stub():
    """Neither by `ota deploy` and `ota library`, which use `library.files`, nor by mip or a firmware of one's own."""
    for form in library.Form:
        assert not [path for path in library.files(form) if path.endswith((".pyi", ".typed"))], form
    assert not [path for path in library.every_path() if path.endswith((".pyi", ".typed"))]
    assert ".pyi" not in (ROOT / "package.json").read_text()


def test_the_index_would_take_what_is_built(distributions):
    """The metadata is complete and the README can be rendered there."""
    command = [sys.executable, "-m", "twine", "check", "--strict", distributions.wheel, distributions.sdist]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("PASSED") == 2, done.stdout


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as z:
        tops = {n.split("/")[0] for n in z.namelist()}
        stubs = [n for n in z.namelist() if n.startswith("ota_host/boards/stub")]
    assert {t for t in tops if not t.endswith(".dist-info")} == {
        "ota", "ota_host", "micropython_ota.py", "micropython_ota-stubs"
    }
    assert stubs, "the part of the unix board that runs on MicroPython"


def test_in_a_clean_environment_the_wheel_gives_the_command_and_the_modules(wheel, tmp_path):
    """Installed with what it asks for, and nothing of this checkout in reach."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    bin = tmp_path / "venv" / "bin"
    subprocess.run([bin / "python", "-m", "pip", "--disable-pip-version-check", "-q", "install", wheel], check=True)
    project = tmp_path / "project"
    project.mkdir()
    (project / "boot.py").write_text("import ota\nota.boot()\n")
    (project / "main.py").write_text("print('hello')\n")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(*command):
        done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "publish" in run(bin / "ota", "--help")
    run(bin / "ota", "init", "--yes")
    run(bin / "ota", "publish", "--version", "v1.0.0", "--compile")
    run(bin / "ota", "verify")
    told = run(bin / "python", "-c", "import ota, ota_host, micropython_ota; print(ota.__file__)")
    assert str(tmp_path) in told
    run(bin / "python", "-c", "import micropython_ota as m; m.ota_update, m.check_for_ota_update, m.check_version")
    run(bin / "python", "-c", "import ota_host.library as l; assert all(l.files(form) for form in l.Form)")
