"""What is installed with pip: the command, the two packages, and the bytes that go on boards."""

import email
import itertools
import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from support import ROOT

from ota_host import extras, library


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


def closure(requirements):
    """The installed distributions that these requirements (strings) ask for, and those that they ask for in turn."""
    found, waiting = {}, [(text, "") for text in requirements]
    while waiting:
        text, extra = waiting.pop()
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        dist = metadata.distribution(wanted.name)
        for extra in {"", *wanted.extras} - found.setdefault(dist.name, set()):
            found[dist.name].add(extra)
            waiting += [(inner, extra) for inner in dist.requires or ()]
    return found


class Bare:
    """An environment with the wheel and what it asks for, and nothing of this checkout in reach."""

    def __init__(self, folder, wheel):
        self.folder, self.bin, self.project = folder, folder / "venv/bin", folder / "project"
        venv.create(folder / "venv")
        with zipfile.ZipFile(wheel) as z:
            (info,) = (n for n in z.namelist() if n.endswith(".dist-info/METADATA"))
            self.needs = closure(email.message_from_bytes(z.read(info)).get_all("Requires-Dist"))
        (site,) = (folder / "venv/lib").glob("*/site-packages")
        for name in self.needs:
            dist = metadata.distribution(name)
            for top in {file.parts[0] for file in dist.files} - {"..", "__pycache__"}:
                (site / top).symlink_to(dist.locate_file(top))
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.bin / "python"]
        subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", wheel], check=True)
        self.project.mkdir()
        (self.project / "boot.py").write_text("import ota\nota.boot()\n")
        (self.project / "main.py").write_text("print('hello')\n")

    def does(self, program, *words):
        """The output of a command that has to succeed."""
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MICROPYTHON")}
        env["PATH"] = "/usr/bin:/bin"
        done = subprocess.run([self.bin / program, *words], cwd=self.project, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """A Bare whose project was published."""
    made = Bare(tmp_path_factory.mktemp("bare"), wheel)
    made.does("ota", "init", "--yes")
    made.does("ota", "publish", "--version", "v1.0.0", "--compile")
    return made


def test_the_bare_wheel_publishes_verifies_makes_keys_and_signs(bare):
    """All that a build job does."""
    bare.does("ota", "verify")
    bare.does("ota", "keygen", "../release.key", "--no-password")
    bare.does("ota", "publish", "--version", "v1.0.1", "--draft", "../draft")
    bare.does("ota", "sign", "../draft", "--key", "../release.key")
    bare.does("ota", "publish", "--manifest", "../draft", "--signature", "../draft.sig")
    assert "v1.0.1" in bare.does("ota", "releases")


def test_the_bare_wheel_needs_no_server_no_serial_port_and_one_crypto_library(bare):
    """A build job installs little."""
    assert not {name.lower() for name in bare.needs} & {"starlette", "uvicorn", "mpremote", "pyserial", "tuf", "pycryptodome"}


def test_the_modules_of_the_wheel_are_its_own(bare):
    """The board's library, the old name of it, and what a board gets."""
    program = """
import micropython_ota as m, ota, ota_host.library as l
m.ota_update, m.check_for_ota_update, m.check_version
assert l.files(l.Form.SOURCE) and l.files(l.Form.CORE)
print(ota.__file__)
"""
    assert str(bare.folder) in bare.does("python", "-c", program)


def test_help_loads_neither_keys_nor_extras(bare):
    """So that it comes at once."""
    slow = {"cryptography", "joserfc", *itertools.chain(*extras.MODULES.values())}
    loaded = f"import sys, ota_host.cli; print(sorted({slow!r} & set(sys.modules)))"
    assert bare.does("python", "-c", loaded) == "[]\n"


# A command that needs an extra -> the extra.
NEEDY = {
    "serve": "serve",
    "deploy": "deploy",
    "tuf init": "tuf",
    "tuf publish": "tuf",
    "tuf rotate": "tuf",
    "tuf sign root": "tuf",
    "prove --from v1.0.0 --to v1.0.1": "boards",
    "board": "boards",
    "board pico-w": "boards",
    "publish --version v9 --key pkcs11:token=t;object=k?module-path=/m.so": "pkcs11",
    "pubkey pkcs11:token=t;object=k?module-path=/m.so": "pkcs11",
}
HELP = ["-h", "serve -h", "deploy -h", "tuf -h", "tuf init -h", "prove -h", "board -h"]


@pytest.fixture(scope="module")
def answers(bare):
    """words of `ota` -> (exit code, output, errors); all in one process, because most of a command's time is its start."""
    program = f"""
import contextlib, io, json, ota_host.cli as cli, ota_host.show as show
done = {{}}
for words in {[*NEEDY, *HELP]!r}:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(words.split())
        except SystemExit as e:
            done[words] = e.code, out.getvalue(), err.getvalue()
        except Exception as e:
            done[words] = repr(e), out.getvalue(), err.getvalue()
print(json.dumps(done))
"""
    return json.loads(bare.does("python", "-c", program))


@pytest.mark.parametrize("words", NEEDY)
def test_a_command_whose_extra_is_missing_names_the_command_that_installs_it(answers, words):
    """In one line, with the exit code of a program that is not there."""
    code, out, err = answers[words]
    assert (code, out, err.count("\n")) == (3, "", 1), out + err
    assert err.startswith("error: ") and f"run pip install 'mpota[{NEEDY[words]}]'" in err


@pytest.mark.parametrize("words", HELP)
def test_help_is_there_in_the_bare_install(answers, words):
    """Of commands that do not run, too."""
    code, out, err = answers[words]
    assert (code, err) == (0, "") and out.startswith("Usage: ota")
