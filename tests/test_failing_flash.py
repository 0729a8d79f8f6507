"""When the file system fails, in each phase and with each error, the page on installs says what a board runs then."""

import re

import pytest
from support import ROOT, release, told_by

ONE = {
    "boot.py": b"boot 1", "conf": b"a file", "gone.txt": b"gone", "lib/a.py": b"a 1 " * 300, "main.py": b"main 1",
    "same.txt": b"same",
}  # fmt: skip
TWO = {
    "boot.py": b"boot 2", "conf/x.json": b"x", "lib/a.py": b"a 2 " * 310, "main.py": b"main 2", "new/deep/n.txt": b"new",
    "same.txt": b"same",
}  # fmt: skip
THREE = {**TWO, "main.py": b"main 3", "conf/x.json": b"next"}
HOW = {"once": "passes", "on one path": "path", "at every write": "writes"}
ORDER = ["old", "new", "mix"]


def documented():
    """{phase: {how: {error: set of ends}}} of the page's table."""
    page = (ROOT / "docs/explanation/install.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = next((row for row in rows if row[0] == "phase" and len(row) == 11), [])
    found = {}
    for row in rows:
        if len(row) == 11 and row[1] in HOW:
            ends = {error: set(cell.split(", ")) for error, cell in zip(head[2:], row[2:])}
            found.setdefault(row[0].replace("`", ""), {})[HOW[row[1]]] = ends
    return found


def tried(folder, step, start, *phases):
    for seq, files in enumerate((ONE, TWO, THREE), 1):
        release(folder / str(seq), files, version=f"v1.{seq}.0", seq=seq)
    script = (ROOT / "tests/on_board/what_fails.py").read_text()
    return told_by(script, *(folder / str(seq) for seq in (1, 2, 3)), step, start, *phases, heap="24M", timeout=3000)


def test_a_failing_flash_leaves_what_the_page_says_and_the_next_release_installs(tmp_path):
    """One of 97 faults."""
    page = documented()
    found = tried(tmp_path, 97, 0)
    assert set(found) == set(page)
    for phase, ways in found.items():
        for how, errors in ways.items():
            for error, ends in errors.items():
                assert set(ends) <= page[phase][how][error], (phase, how, error)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("phase", documented())
def test_the_table_of_the_page_is_what_every_fault_leaves(tmp_path, phase):
    found = tried(tmp_path, 1, 0, phase)[phase]
    for how, errors in documented()[phase].items():
        assert {error: set(ends) for error, ends in found[how].items()} == errors


def table(found):
    """The page's table of `found`."""
    errors = "ENOENT EISDIR ENOTDIR EEXIST ENOTEMPTY EACCES ENOSPC ENAMETOOLONG EIO".split()
    yield "| phase | fails | " + " | ".join(errors) + " |"
    yield "|---" * 11 + "|"
    for phase, ways in found.items():
        phase = re.sub(r"^\w+", r"`\g<0>`", phase)
        for words, how in HOW.items():
            cells = [", ".join(end for end in ORDER if end in ways[how].get(error, ())) for error in errors]
            yield f"| {phase} | {words} | " + " | ".join(cells) + " |"
