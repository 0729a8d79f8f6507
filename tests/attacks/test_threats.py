"""docs/explanation/threats.md: every attack has its row, and every test that it names exists."""

import ast
import re

import pytest
from support import ROOT

TESTS = ROOT / "tests"
PAGE = (ROOT / "docs/explanation/threats.md").read_text("utf-8")
ATTACKS = (
    "Arbitrary installation", "Endless data", "Slow retrieval", "Extraneous files", "Fast-forward",
    "Indefinite freeze", "Malicious mirror", "Mix and match", "Rollback", "Key compromise", "Wrong software", "Shadowed modules",
    "Dropped requests", "Partial bundle", "Eavesdropping", "Spoofed reports", "Path escape", "Captive portal",
    "Expired by delay", "Clock poisoning", "Half a library", "Path kind",
    "Header injection",
)  # fmt: skip
# TLS is the transport's: verifiers know nothing of it.
BELOW = "Eavesdropping"


def rows():
    """{attack: (rule, tests of the simple verifiers, tests of TUF)}; a test is `file::name` or words."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] != "attack":
            found[cells[0]] = (cells[1], *([t.strip("`") for t in cell.split("<br>")] for cell in cells[2:]))
    return found


def defined(path):
    """{name: how it is decorated} of the tests of a file; of a class `Class::name`, and the class itself."""
    found = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found[node.name] = ""
            found.update({f"{node.name}::{n.name}": "" for n in node.body if isinstance(n, ast.FunctionDef)})
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            found[node.name] = " ".join(map(ast.unparse, node.decorator_list))
    return found


def named():
    for _, simple, tuf in rows().values():
        yield from (test for test in simple + tuf if "::" in test)


def decorators(test):
    file, _, name = test.partition("::")
    tests = defined(TESTS / file)
    assert name in tests, f"{test} does not exist"
    return tests[name]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_has_its_rule_and_a_test_for_each_sort_of_verifier(attack):
    rule, simple, tuf = rows()[attack]
    assert rule.endswith(".") and simple and all("::" in test for test in simple)
    if attack == BELOW:
        assert tuf == ["the layer below"]
    elif tuf[0] == "the same":
        shared = " ".join(decorators(test) for test in simple)
        assert "KINDS" in shared or "'tuf'" in shared, "none of these runs with TUF"
    else:
        assert all("::" in test for test in tuf)


def test_the_table_has_no_other_rows():
    assert tuple(rows()) == ATTACKS


def test_every_test_that_is_named_exists_and_none_is_expected_to_fail():
    assert len(list(named())) > 50
    for test in named():
        assert "xfail" not in decorators(test), test


def test_every_test_of_an_attack_is_in_the_table():
    for path in sorted((TESTS / "attacks").glob("test_*.py")):
        if path.name != "test_threats.py":
            for name in defined(path):
                assert f"attacks/{path.name}::{name}" in set(named()), f"{path.name}::{name}"


def test_the_page_says_what_is_not_defended():
    limits = PAGE.partition("## What is not defended")[2]
    for words in ("Hands on the board", "stolen key", "publisher", "firmware", "Denial of service", "legacy layout"):
        assert re.search(rf"^- \*\*.*{words}", limits, re.M), words
