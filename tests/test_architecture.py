"""The pages about the project itself name files, functions and make targets that exist."""

import ast
import re

import pytest
from support import ROOT

PAGE = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
PATH = re.compile(r"`((?:ota|ota_host)/[\w/]+\.py)(?:::([\w.]+))?`")


def names(path):
    """Every function, class, method and variable that a module defines, as `Class.method`."""
    found = set()

    def walk(nodes, prefix):
        for node in nodes:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                walk(node.body, prefix + node.name + ".")
            if isinstance(node, ast.Assign):
                found.update(prefix + target.id for target in node.targets if isinstance(target, ast.Name))

    walk(ast.parse((ROOT / path).read_text("utf-8")).body, "")
    return found


CITED = sorted(set(PATH.findall(PAGE)))


@pytest.mark.parametrize(("path", "name"), CITED, ids=["::".join(filter(None, pair)) for pair in CITED])
def test_what_the_walks_name_is_there(path, name):
    assert (ROOT / path).is_file()
    assert not name or name in names(path)


def test_the_walks_name_every_module_of_the_table_and_many_functions():
    assert len([name for _, name in CITED if name]) > 30
    library = {p.relative_to(ROOT).as_posix() for p in (ROOT / "ota").glob("*.py")}
    # What is too small for a line of its own.
    rest = {"ota/builtin.py", "ota/names.py", "ota/attempts.py"}
    assert library - {path for path, _ in CITED} == rest


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md"])
def test_every_make_target_of_a_page_exists(page):
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z][a-z-]+)", (ROOT / page).read_text("utf-8"), re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_a_decision_has_a_status_a_date_and_its_alternatives(path):
    text = path.read_text("utf-8")
    head = text.split("\n\n")[1].splitlines()
    assert re.fullmatch(r"- Status: (accepted|superseded by \[\d{4}\]\([\w.-]+\))", head[0]), head
    assert re.fullmatch(r"- Date: \d{4}-\d\d-\d\d", head[1]), head
    assert "\n## Alternatives\n" in text


def test_the_decisions_are_numbered_in_a_row():
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
