"""What setup.cfg asks for, what its extras bring, and the versions that CI has."""

import ast
import configparser
import re
from importlib import metadata

import missing
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import ROOT

from ota_host import extras

SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")
EXTRAS = SETTINGS["options.extras_require"]


def requirements(text):
    return [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("extra", extras.MODULES)
def test_an_extra_brings_the_modules_that_its_commands_look_for(extra):
    """The table of ota_host/extras.py, and what setup.cfg asks for."""
    wanted = {canonicalize_name(r.name) for r in requirements(EXTRAS[extra])} - {"mpota"}
    found = metadata.packages_distributions()
    assert {canonicalize_name(found[module][0]) for module in extras.MODULES[extra]} == wanted


def test_all_and_test_bring_every_extra_for_users():
    """And so does CI."""
    assert set(map(str, requirements(EXTRAS["all"]))) == {f"mpota[{extra}]" for extra in extras.MODULES}
    assert "mpota[all]" in EXTRAS["test"].splitlines()


# Commands -> the extra that they need.
NEEDED = {"board": "boards", "deploy": "deploy", "prove": "boards", "serve": "serve", "tuf": "tuf"}


@pytest.mark.parametrize("page", [*(ROOT / "docs/tutorial").glob("*.md"), *(ROOT / "docs/how-to").glob("*.md")], ids=lambda p: p.stem)
def test_a_page_with_a_command_of_an_extra_says_what_to_install(page):
    text = page.read_text()
    named = set(re.findall(r"\w+", " ".join(re.findall(r"mpota\[(.*?)\]", text))))
    assert {NEEDED[name] for name in re.findall(r"^(?:\$ )?ota (\w+)", text, re.M) if name in NEEDED} <= named


def test_the_reference_has_a_row_for_every_extra():
    text = (ROOT / "docs/reference/cli.md").read_text()
    assert set(re.findall(r"^\| `pip install 'mpota\[(\w+)\]'` \|", text, re.M)) == {*extras.MODULES, "all"}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_constraints_pin_everything_that_is_asked_for(python):
    """Once for each Python, at a version that setup.cfg allows; `make constraints` renews them."""
    machine = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux", "extra": ""}
    pins = {}
    for line in requirements((ROOT / "constraints.txt").read_text()):
        if not line.marker or line.marker.evaluate(machine):
            assert canonicalize_name(line.name) not in pins, f"{line.name} is pinned twice"
            pins[canonicalize_name(line.name)] = str(line.specifier).removeprefix("==")
    for text in (SETTINGS["options"]["install_requires"], *EXTRAS.values()):
        for wanted in requirements(text):
            if wanted.name == "mpota" or (wanted.marker and not wanted.marker.evaluate(machine)):
                continue
            assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), wanted


def skips():
    """Every call in the tests that may skip one: its place, and the source of its arguments."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if "skip" not in (text := path.read_text()):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("skip", "skipif", "importorskip"):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.get_source_segment(text, node)


def test_a_skipped_test_says_what_to_install():
    """`make test` ends with the reasons. Nothing can be installed for another kernel, or for IPv6."""
    found = dict(skips())
    assert len(found) > 8
    hopeless = ("no IPv6", "kernel of Linux")
    assert not [place for place, call in found.items() if not any(w in call for w in (" is missing: ", "reason(", *hopeless))]


def test_a_program_that_is_missing_skips_a_test_by_its_package(monkeypatch):
    monkeypatch.setattr(missing, "PATH", "/nowhere")
    with pytest.raises(pytest.skip.Exception, match="^nginx is missing: apt-get install nginx-light$"):
        missing.program("nginx")
    assert missing.reason("npm", "node") == "npm is missing: apt-get install npm; node is missing: apt-get install nodejs"
