"""`ota deploy`: a board holds the library, the release and its state, and a second time changes nothing."""

import hashlib
import json

import pytest
from support import ROOT
from typer.testing import CliRunner

from ota_host import boards, deploy
from ota_host.cli import app

FILES = {"boot.py": "import ota\nota.boot()\n", "main.py": "print('app')\n", "lib/x.py": "x = 1\n"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "sample"
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    monkeypatch.chdir(folder)
    ota("init", "--yes")
    ota("publish", "--version", "v1.0.0")
    return folder


def ota(*words, code=0):
    done = CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=True)
    assert (done.exit_code == 0) == (code == 0), done.output + repr(done.exception)
    return done


@pytest.fixture
def board(tmp_path):
    with boards.start("unix", tmp_path / "flash.img") as board:
        yield board


def test_a_deployed_board_holds_the_release_and_the_library_and_knows_it(project, board):
    told = json.loads(ota("deploy", board.port, "--json").stdout)
    tree = board.tree()
    for path, text in FILES.items():
        assert tree[path] == text.encode()
    assert told["version"] == "v1.0.0"
    assert told["copied"] == len(deploy.library(False)) + len(FILES)
    assert "lib/ota/updater.mpy" in tree and "lib/ota/updater.py" not in tree
    assert tree[".ota/a"] == (project / "public/sample/stable.manifest").read_bytes()
    state = json.loads(tree[".ota/state"])
    assert (state["phase"], state["live"], state["seq"], state["floor"]) == ("idle", "a", 1, 1)
    status = board.exec("import ota; print(ota.status())")
    assert "'version': 'v1.0.0'" in status and "'problem': None" in status


def test_deploying_again_copies_nothing_and_writes_no_state(project, board):
    ota("deploy", board.port, "--no-reset")
    before = board.tree()
    told = json.loads(ota("deploy", board.port, "--no-reset", "--json").stdout)
    assert told["copied"] == told["bytes"] == 0
    assert board.tree() == before


def test_deploying_the_next_release_copies_what_changed(project, board):
    ota("deploy", board.port, "--no-reset")
    (project / "main.py").write_text("print('app 2')\n")
    ota("publish", "--version", "v1.0.1")
    told = json.loads(ota("deploy", board.port, "--no-reset", "--json").stdout)
    assert told["copied"] == 1
    assert json.loads(board.tree()[".ota/state"])["floor"] == 2


def test_deploying_after_updates_over_the_air_leaves_nothing_of_their_state(project, board):
    """The new manifest stands in a slot whose sum the state still has from an install."""
    ota("deploy", board.port, "--no-reset")
    board.exec(
        "import ota.bootguard as g\ns = g.load('')\n"
        "s.update({'live': 'b', 'next': 'a', 'sums': {'a': 1, 'b': 2}, 'refused': 9, 'etag': 'x'})\n"
        "g.save('', s)"
    )
    (project / "main.py").write_text("print('app 2')\n")
    ota("publish", "--version", "v1.0.1")
    ota("deploy", board.port, "--no-reset")
    state = json.loads(board.tree()[".ota/state"])
    assert (state["live"], state["next"], state["sums"], state["refused"], state["etag"]) == ("a", "", {}, 0, "")


def test_the_library_as_source_is_byte_for_byte_the_packages(project, board):
    """And the compiled one, which would hide it, goes."""
    ota("deploy", board.port, "--no-reset")
    ota("deploy", board.port, "--no-reset", "--source")
    tree = board.tree()
    ours = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in (ROOT / "ota").rglob("*.py")}
    held = {p[len("lib/") :]: data for p, data in tree.items() if p.startswith("lib/ota/")}
    assert held == ours
    assert tree["lib/micropython_ota.py"] == (ROOT / "micropython_ota.py").read_bytes()


def test_a_boot_py_without_the_call_is_not_lost(project, board):
    """A release without boot.py: the board's own stays if it calls ota.boot(), else it is refused."""
    (project / "boot.py").unlink()
    (project / "public").rename(project.parent / "public1")
    ota("publish", "--version", "v1.0.0")
    board.exec("with open('boot.py', 'w') as f:\n    f.write('import machine\\n')")
    told = ota("deploy", board.port, code=1)
    assert "does not call ota.boot()" in told.output + repr(told.exception)
    assert board.tree()["boot.py"] == b"import machine\n"
    ota("deploy", board.port, "--no-reset", "--force")
    assert board.tree()["boot.py"] == deploy.BOOT


def test_a_port_without_a_board_is_an_error_that_names_it(project, tmp_path):
    told = ota("deploy", tmp_path / "nothing", code=3)
    assert "nothing" in told.output + repr(told.exception)


def test_a_board_without_room_is_refused_before_the_first_file(project, tmp_path):
    with boards.start("unix", tmp_path / "small.img", size_kib=64) as small:
        told = ota("deploy", small.port, code=3)
        assert "bytes are needed" in told.output + repr(told.exception)
        assert not [p for p in small.tree() if p.startswith("lib/")]


def test_content_that_is_damaged_on_the_server_is_not_deployed(project, board):
    digest = hashlib.sha256(FILES["main.py"].encode()).hexdigest()
    (project / f"public/sample/blobs/{digest[:2]}/{digest}").write_bytes(b"x")
    told = ota("deploy", board.port, code=1)
    assert "main.py is damaged" in told.output + repr(told.exception)
