"""What is installed with pip: the command, the two packages, and the bytes that go on boards."""

import os
import subprocess
import sys
import zipfile

import pytest
from support import ROOT

from ota_host import library


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy of what git has, so that nothing that lies about gets in.
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, names.stdout.split("\0")):
        if (ROOT / name).is_file():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, folder / "source"], check=True)
    return next(folder.glob("mpota-*.whl"))


def test_the_library_in_the_wheel_is_byte_for_byte_what_deploy_puts_on_a_board(wheel):
    with zipfile.ZipFile(wheel) as z:
        held = {n: z.read(n) for n in z.namelist() if n.startswith("ota/") or n == "micropython_ota.py"}
    assert held == library.files(library.Form.SOURCE)


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as z:
        tops = {n.split("/")[0] for n in z.namelist()}
        stubs = [n for n in z.namelist() if n.startswith("ota_host/boards/stub")]
    assert {t for t in tops if not t.endswith(".dist-info")} == {"ota", "ota_host", "micropython_ota.py"}
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
