"""`ota deploy`: a board holds the library, the release and its state, and a second time changes nothing."""

import ast
import hashlib
import json
import os
import shutil
import threading
import tty
import zlib
from types import SimpleNamespace

import pytest
from mpremote.transport_serial import SerialTransport
from servers import nginx
from support import ROOT
from typer.testing import CliRunner

from ota_host import boards, core, deploy, imports, library
from ota_host.cli import app
from ota_host.deploy import board as serial_board
from ota_host.errors import HostError, OutsideError

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


def state_of(board):
    """The state record by its keys."""
    return ast.literal_eval(board.exec("import ota.bootguard as g; print(g.load(''))"))


@pytest.fixture(scope="module")
def with_library(tmp_path_factory):
    """The flash of a board that has the library."""
    flash = tmp_path_factory.mktemp("library") / "flash.img"
    with boards.start("unix", flash) as board:
        deploy.put_all(board.port, None, None, reset=False)
        board.exec("import os\nos.remove('boot.py')")
    return flash.read_bytes()


@pytest.fixture
def board(tmp_path, with_library):
    """One to which only the release has to be copied, which takes a tenth of the time."""
    (tmp_path / "flash.img").write_bytes(with_library)
    with boards.start("unix", tmp_path / "flash.img") as board:
        yield board


@pytest.fixture
def fresh(tmp_path):
    with boards.start("unix", tmp_path / "fresh.img") as board:
        yield board


def test_a_deployed_board_holds_the_release_and_the_library_and_knows_it(project, fresh):
    told = json.loads(ota("deploy", fresh.port, "--json").stdout)
    tree = fresh.tree()
    for path, text in FILES.items():
        assert tree[path] == text.encode()
    assert told["version"] == "v1.0.0"
    assert told["copied"] == len(library.files(library.Form.MPY)) + len(FILES)
    assert "lib/ota/updater.mpy" in tree and "lib/ota/updater.py" not in tree
    assert tree[".ota/a"] == (project / "public/sample/stable.manifest").read_bytes()
    state = state_of(fresh)
    assert (state["phase"], state["live"], state["seq"], state["floor"]) == ("idle", "a", 1, 1)
    status = fresh.exec("import ota; print(ota.status())")
    assert "'version': 'v1.0.0'" in status and "'problem': None" in status


def test_a_board_may_take_its_time_for_every_call(project, board, monkeypatch):
    """A new folder alone has littlefs look for free blocks, which took 11 s on an emulated Pico W."""
    patience = []
    follow = SerialTransport.follow
    monkeypatch.setattr(SerialTransport, "follow", lambda self, timeout, *more: patience.append(timeout) or follow(self, timeout, *more))
    ota("deploy", board.port)
    assert len(patience) > 5 and min(patience) >= 60


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
    assert state_of(board)["floor"] == 2


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
    state = state_of(board)
    sums = {"a": zlib.crc32(board.tree()[".ota/a"])}
    assert (state["live"], state["next"], state["sums"], state["refused"], state["etag"]) == ("a", "", sums, 0, "")


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


MAIN = "from ota import Updater, HttpTransport, confirm\n"


def held(board):
    return {p[len("lib/") :]: data for p, data in board.tree().items() if p.startswith("lib/ota/")}


def test_a_core_is_deployed_for_what_the_release_uses_and_updates_the_board(project, board):
    (project / "main.py").write_text(MAIN)
    ota("publish", "--version", "v1.0.1")
    told = json.loads(ota("deploy", board.port, "--as", "core", "--no-reset", "--json").stdout)
    assert told["library"] == "core"
    assert held(board) == core.make(["HttpTransport", "confirm"])
    (project / "lib/x.py").write_text("x = 2\n")
    ota("publish", "--version", "v1.0.2")
    (project.parent / "www").symlink_to(project / "public")
    with nginx(project.parent, "listen 127.0.0.1:{port};") as port:
        url = f"http://127.0.0.1:{port}/sample"
        board.exec(f"import ota\nu = ota.Updater(ota.HttpTransport({url!r}))\nu.run(reset=False)\nu.install()")
    assert board.tree()["lib/x.py"] == b"x = 2\n"


def test_another_form_of_the_library_leaves_no_file_of_the_one_before(project, board):
    (project / "lib/ota").mkdir()
    for form in ("mpy", "core", "source", "core"):
        ota("deploy", board.port, "--library-only", "--as", form, "--no-reset")
        files = library.files(library.Form(form), core.DEFAULT)
        assert held(board) == {p: d for p, d in files.items() if p.startswith("ota/")}, form


def test_names_to_use_go_with_a_core_only(project, board):
    told = ota("deploy", board.port, "--use", "SdTransport", code=2)
    assert "--use goes with --as core" in told.output + repr(told.exception)
    ota("deploy", board.port, "--as", "core", "--use", "SdTransport", "--no-reset")
    assert held(board) == core.make(["SdTransport"])


def test_a_release_brings_the_library_in_the_form_that_the_folder_has(project, board):
    (project / "main.py").write_text(MAIN)
    told = json.loads(ota("library", "lib", "--as", "core", "--json").stdout)
    assert told["use"] == ["HttpTransport", "confirm"]
    ota("publish", "--version", "v1.0.1")
    ota("deploy", board.port, "--no-reset")
    assert held(board) == core.make(["HttpTransport", "confirm"])
    assert json.loads(ota("library", "lib", "--as", "core", "--json").stdout)["changed"] == 0
    ota("library", "lib", "--as", "source")
    assert not list((project / "lib").rglob("*.mpy"))


def test_a_line_that_goes_silent_in_the_middle_is_an_error_that_names_the_port(project, monkeypatch):
    """A board that lets a program be pasted, and then says nothing of how much of it."""
    ours, port = os.openpty()
    tty.setraw(port)

    def answer():
        for asked, answer in ((b"\x01", b"raw REPL; CTRL-B to exit\r\n>"), (b"\x05A\x01", b"R\x01")):
            said = b""
            while asked not in said:
                said += os.read(ours, 100)
            os.write(ours, answer)

    threading.Thread(target=answer, daemon=True).start()
    real = serial_board._QuietTransport
    monkeypatch.setattr(serial_board, "_QuietTransport", lambda name, timeout: real(name, timeout=0.2))
    done = ota("deploy", os.ttyname(port), code=1)
    assert isinstance(done.exception, OutsideError), repr(done.exception)
    assert str(done.exception).startswith(f"{os.ttyname(port)}: the board failed: ")


class TestRawMode:
    """How a board's prompt is reached."""

    def port(self, folder, *answers):
        """A port in `folder` whose other end gives an answer (bytes) to each Ctrl-A; returns its name."""
        ours, port = os.openpty()
        tty.setraw(port)

        def talk():
            for answer in answers:
                said = b""
                while b"\x01" not in said:
                    said += os.read(ours, 100)
                os.write(ours, answer)

        threading.Thread(target=talk, daemon=True).start()
        # By a link, because mpremote waits longer at a terminal's own name.
        (folder / "tty").symlink_to(os.ttyname(port))
        return folder / "tty"

    def test_what_a_board_prints_in_place_of_an_answer_is_an_error_that_shows_it(self, monkeypatch):
        board = object.__new__(serial_board.Board)
        board.port = "ttyX"
        monkeypatch.setattr(board, "run", lambda code: "MemoryError: heap is locked\n['x']")
        with pytest.raises(OutsideError, match="ttyX: the board printed .*MemoryError.*reset it and try again"):
            board.ask("1")

    def test_a_ctrl_a_that_is_lost_is_sent_again(self, tmp_path, monkeypatch):
        """The program that Ctrl-C stopped was the interpreter's last one."""
        monkeypatch.setattr(serial_board, "_TRIES", (0.2, 5))
        monkeypatch.setattr(serial_board.Board, "run", lambda self, code: "")
        serial_board.Board(self.port(tmp_path, b"soft reboot\r\n", b"raw REPL; CTRL-B to exit\r\n>")).close()

    def test_json_is_all_that_standard_output_gets(self, project, tmp_path, monkeypatch):
        """mpremote prints what it does not understand."""
        monkeypatch.setattr(serial_board, "_TRIES", (0.2,))
        done = ota("deploy", self.port(tmp_path, b"no prompt"), "--json", code=3)
        assert "no board answers: could not enter raw repl" in str(done.exception) and done.stdout == ""


SOMEBODYS = "class Updater:\n    pass\n"
DROP_LIB = """
import os
def drop(path):
    for entry in list(os.ilistdir(path)):
        name = path + "/" + entry[0]
        drop(name) if entry[1] & 0x4000 else os.remove(name)
    os.rmdir(path)
drop("lib")
"""


def refused(*words):
    """What `ota deploy` says when it refuses."""
    done = ota("deploy", *words, code=1)
    assert isinstance(done.exception, HostError), repr(done.exception)
    return str(done.exception)


def write(board, path, text=""):
    """Give the board a file, and its folders."""
    folders = [path[:i] for i, c in enumerate(path) if c == "/"]
    make = "".join(f"try:\n    os.mkdir({f!r})\nexcept OSError:\n    pass\n" for f in folders)
    board.exec(f"import os\n{make}with open({path!r}, 'w') as f:\n    f.write({text!r})")


class TestAnotherOta:
    """A board, or a release, with a module called ota that is not the library."""

    @pytest.mark.parametrize(
        ("path", "named"),
        [
            ("ota.py", "a file ota.py, which comes before the library"),
            ("ota.mpy", "a file ota.mpy, which comes before the library"),
            ("ota/__init__.py", "a folder ota, which comes before the library"),
            ("ota/notes.txt", "a folder ota, which comes before the library"),
            ("lib/ota/__init__.py", "a folder lib/ota, which is another package"),
        ],
    )
    def test_one_on_the_board_is_named_before_anything_is_copied(self, project, board, path, named):
        """It would be imported in place of the library; with --force it goes."""
        if path.startswith("lib/"):
            board.exec(DROP_LIB)
        write(board, path, SOMEBODYS)
        before = board.tree()
        assert f"{board.port}: the board has {named}" in refused(board.port)
        assert board.tree() == before
        ota("deploy", board.port, "--force", "--no-reset")
        tree = board.tree()
        assert path not in tree and "lib/ota/updater.mpy" in tree
        assert "'version': 'v1.0.0'" in board.exec("import ota; print(ota.status())")

    def test_one_that_the_board_has_loaded_already_is_forgotten(self, project, board):
        """The program that ran before the deploy may have imported it."""
        write(board, "ota.py", SOMEBODYS)
        board.exec("import ota")
        ota("deploy", board.port, "--force", "--no-reset")
        assert state_of(board)["seq"] == 1

    def test_a_copy_of_the_library_that_was_broken_off_is_gone_on_with(self, project, fresh, monkeypatch):
        """After its first file: it is not taken for somebody's package."""
        real, written = serial_board.Board.write, []

        def write(board, path, *more):
            if written:
                raise OutsideError("the cable came off")
            written.append(path)
            real(board, path, *more)

        monkeypatch.setattr(serial_board.Board, "write", write)
        ota("deploy", fresh.port, code=1)
        assert [path for path in fresh.tree() if path.startswith("lib/ota/")] == written
        monkeypatch.undo()
        monkeypatch.chdir(project)
        ota("deploy", fresh.port, "--no-reset")
        assert held(fresh) == {p: d for p, d in library.files(library.Form.MPY).items() if p.startswith("ota/")}

    def test_an_empty_lib_ota_is_no_other_package(self, project, fresh):
        """There is nothing to lose."""
        fresh.exec("import os\nos.mkdir('lib')\nos.mkdir('lib/ota')")
        ota("deploy", fresh.port, "--no-reset")

    def test_one_in_a_published_release_is_refused_before_the_board_is_asked(self, project, tmp_path, monkeypatch):
        """A release of an older publisher."""
        (project / "ota.py").write_text(SOMEBODYS)
        monkeypatch.setattr(imports, "check_library", lambda *a: None)
        ota("publish", "--version", "v1.0.1")
        monkeypatch.undo()
        monkeypatch.chdir(project)
        assert refused(tmp_path / "no-board").startswith("ota.py: boards would take it for the update library")

    def test_a_release_with_the_library_in_the_root_folder_is_deployed_there(self, project, board):
        """Where a folder comes before anything else."""
        ota("library", ".", "--as", "mpy")
        ota("publish", "--version", "v1.0.1")
        write(board, "ota.py", SOMEBODYS)
        ota("deploy", board.port, "--no-reset")
        assert "lib/ota/updater.mpy" not in board.tree()
        assert "'version': 'v1.0.1'" in board.exec("import ota; print(ota.status())")


class TestKinds:
    """A file of the board where the release has a folder, or the other way round."""

    @pytest.mark.parametrize(("old", "new"), [("data/x.csv", "data"), ("data", "data/x.csv"), ("a/b/c", "a")])
    def test_what_a_release_has_brought_is_replaced(self, project, board, old, new):
        """As over the air."""
        for i, path in enumerate([old, new]):
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text("1")
            ota("publish", "--version", f"v1.1.{i}")
            ota("deploy", board.port, "--no-reset")
            top = project / path.split("/")[0]
            shutil.rmtree(top) if top.is_dir() else top.unlink()
        tree = board.tree()
        assert new in tree and old not in tree

    @pytest.mark.parametrize(
        ("mine", "new", "named"),
        [
            ("data/mine", "data", "a folder data, where there is to be a file, and no release has brought data/mine"),
            ("data", "data/x", "a file data, where there is to be a folder, and no release has brought data"),
            ("lib", "lib/x.py", "a file lib, where there is to be a folder, and no release has brought lib"),
        ],
    )
    def test_what_no_release_has_brought_is_named_before_anything_is_copied(self, project, board, mine, new, named):
        """It may be all that there is of it; with --force it goes."""
        (project / new).parent.mkdir(parents=True, exist_ok=True)
        (project / new).write_text("")
        ota("publish", "--version", "v1.0.1")
        if mine == "lib":
            board.exec(DROP_LIB)
        write(board, mine)
        before = board.tree()
        assert named in refused(board.port)
        assert board.tree() == before
        ota("deploy", board.port, "--force", "--no-reset")
        tree = board.tree()
        assert new in tree and mine not in tree

    def test_the_leftovers_of_an_update_are_a_releases(self, project, board):
        """A folder that holds only what an update has put beside its files."""
        (project / "data").mkdir()
        (project / "data/x").write_text("1")
        ota("publish", "--version", "v1.0.1")
        ota("deploy", board.port, "--no-reset")
        write(board, "data/x.ota-old")
        shutil.rmtree(project / "data")
        (project / "data").write_text("2")
        ota("publish", "--version", "v1.0.2")
        ota("deploy", board.port, "--no-reset")
        assert board.tree()["data"] == b"2"


class TestExactly:
    """What is on the board afterwards is the release, what it protects, and what no release ever named."""

    def deploy(self, project, board, files, version, *words):
        """Publish exactly `files` (dict) beside boot.py and deploy them; returns what was said."""
        for path in ("main.py", "lib", "data", "app.py", "app.mpy"):
            place = project / path
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        for path, text in files.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text)
        ota("publish", "--version", version, *words)
        return json.loads(ota("deploy", board.port, "--no-reset", "--json").stdout)

    def own(self, board):
        """The board's files without the library and the state (dict)."""
        return {p: d.decode(errors="replace") for p, d in board.tree().items() if not p.startswith((".ota/", "lib/ota/", "lib/micropython_ota"))}

    def test_what_a_release_drops_goes_and_so_do_the_folders_that_it_leaves_empty(self, project, board):
        """What somebody else has put there stays."""
        self.deploy(project, board, {"main.py": "1", "data/a/b.txt": "1", "data/c.txt": "1", "lib/x/y.py": "1"}, "v1.1.0")
        write(board, "data/mine.txt", "mine")
        told = self.deploy(project, board, {"main.py": "2"}, "v1.2.0")
        assert (told["copied"], told["removed"]) == (1, 3)
        assert self.own(board) == {"boot.py": FILES["boot.py"], "main.py": "2", "data/mine.txt": "mine"}
        assert "a" not in board.exec("import os; print(os.listdir('data'))").replace("data", "").replace("mine", "")
        assert "'x'" not in board.exec("import os; print(os.listdir('lib'))")

    def test_a_module_runs_in_the_form_that_the_release_has(self, project, board):
        """MicroPython takes app.py before app.mpy, whoever has put it there."""
        files = {"main.py": "import app", "app.py": "print('one')", "lib/net.py": "1"}
        self.deploy(project, board, files, "v1.1.0")
        write(board, "lib/hand.py", "print('by hand')")
        self.deploy(project, board, {**files, "app.py": "print('two')", "lib/hand.py": "print('hand two')"}, "v1.2.0", "--compile")
        assert {"app.mpy", "lib/net.mpy", "lib/hand.mpy"} <= set(self.own(board)) and len(self.own(board)) == 5
        assert board.exec("import app, hand", resume=True) == "two\nhand two\n"
        self.deploy(project, board, files, "v1.3.0")
        assert self.own(board) == {"boot.py": FILES["boot.py"], **files}

    def test_what_is_kept_is_kept_by_a_deploy_of_the_library_alone_too(self, project, board):
        with (project / "ota.toml").open("a") as f:
            f.write('keep = ["boot.py"]\n')
        self.deploy(project, board, {"main.py": "1"}, "v1.1.0")
        write(board, "boot.py", "mine()")
        ota("deploy", board.port, "--no-reset", "--library-only", "--force", code=None)
        assert self.own(board)["boot.py"] == "mine()"

    def test_a_kept_folder_that_hides_the_library_is_refused_also_with_force(self, project, board):
        with (project / "ota.toml").open("a") as f:
            f.write('keep = ["ota"]\n')
        ota("publish", "--version", "v1.1.0")
        board.exec("import os; os.mkdir('ota')")
        write(board, "ota/data.json", "mine")
        said = ota("deploy", board.port, "--no-reset", "--force", code=1).exception
        assert "`keep` protects ota/data.json: move it" in str(said)
        assert self.own(board)["ota/data.json"] == "mine"

    def test_a_manifest_that_is_not_of_the_state_says_nothing(self, project, board):
        """Such as that of a release that was dropped."""
        self.deploy(project, board, {"main.py": "1"}, "v1.1.0")
        write(board, ".ota/b", '{"ota":1}\n{"p":"data","s":4,"h":"00"}\n')
        write(board, "data", "mine")
        (project / "data").mkdir()
        (project / "data/x").write_text("1")
        ota("publish", "--version", "v1.2.0")
        assert "no release has brought data" in str(ota("deploy", board.port, "--no-reset", code=1).exception)
        assert self.own(board)["data"] == "mine"

    def test_after_updates_over_the_air_the_live_manifest_counts(self, project, board):
        """Not those of before; and of a release in its trial nothing is left."""
        ota("deploy", board.port, "--no-reset")
        (project / "data").mkdir()
        (project / "data/new.txt").write_text("1")
        ota("publish", "--version", "v1.1.0")
        (project.parent / "www").symlink_to(project / "public")
        with nginx(project.parent, "listen 127.0.0.1:{port};") as port:
            board.exec(f"import ota\nu = ota.Updater(ota.HttpTransport('http://127.0.0.1:{port}/sample'))\nu.run(reset=False)\nu.install()")
        assert "data/new.txt" in board.tree()
        self.deploy(project, board, {"main.py": "2"}, "v1.2.0")
        assert self.own(board) == {"boot.py": FILES["boot.py"], "main.py": "2"}
        assert state_of(board)["phase"] == "idle"

    def test_a_live_manifest_that_is_damaged_is_not_believed(self, project, board):
        """It may name anything."""
        ota("deploy", board.port, "--no-reset")
        write(board, "mine.txt", "mine")
        board.exec("with open('.ota/a', 'a') as f: f.write('{\"p\":\"mine.txt\"}\\n')")
        self.deploy(project, board, {"main.py": "2"}, "v1.1.0")
        assert self.own(board)["mine.txt"] == "mine"

    def test_what_the_release_keeps_is_neither_replaced_nor_removed(self, project, board):
        """With --force, too; a protected file that is not there yet is copied."""
        with open(project / "ota.toml", "a") as f:
            f.write('\nkeep = ["settings.json", "data/"]\n')
        self.deploy(project, board, {"main.py": "1", "settings.json": "{}", "data/gone": "1"}, "v1.1.0")
        for path in ("settings.json", "data/x.py"):
            write(board, path, "mine")
        (project / "settings.json").write_text("{2}")
        told = self.deploy(project, board, {"main.py": "1", "data/x.mpy": "M\x06\x00\x1f", "data/x.py": "1", "data/new": "1"}, "v1.2.0")
        assert (told["copied"], told["removed"]) == (2, 0)
        expected = {"main.py": "1", "settings.json": "mine", "data/x.py": "mine", "data/gone": "1", "data/new": "1"}
        assert {p: d for p, d in self.own(board).items() if p not in ("boot.py", "data/x.mpy")} == expected

    def test_a_protected_file_is_not_removed_to_make_way(self, project, board):
        """Not even with --force."""
        write(board, "data", "mine")
        with open(project / "ota.toml", "a") as f:
            f.write('\nkeep = ["data"]\n')
        (project / "data").mkdir()
        (project / "data/x").write_text("1")
        ota("publish", "--version", "v1.1.0")
        assert "`keep` in ota.toml protects data: move it" in refused(board.port, "--force")
        assert board.tree()["data"] == b"mine"

    def test_on_fat_the_case_of_a_name_does_not_make_two_files(self, project, tmp_path):
        """The file of the release is not removed with the one that it replaces, and what is kept is kept in any case."""
        with open(project / "ota.toml", "a") as f:
            f.write('\nkeep = ["SETTINGS.json"]\n')
        with boards.start("unix", tmp_path / "fat.img", fs="fat", block=512) as board:
            self.deploy(project, board, {"main.py": "1", "lib/Sensor.py": "1", "settings.json": "{}"}, "v1.1.0")
            write(board, "settings.json", "mine")
            self.deploy(project, board, {"main.py": "1", "lib/sensor.py": "1", "settings.json": "{2}"}, "v1.2.0")
            own = {p: d.decode(errors="replace") for p, d in board.tree().items() if not p.startswith((".ota/", "lib/ota/", "lib/micropython_ota"))}
        assert own == {"boot.py": FILES["boot.py"], "main.py": "1", "lib/sensor.py": "1", "settings.json": "mine"}

    def test_the_state_has_the_sum_of_the_manifest(self, project, board):
        """By it the board notices a manifest that was damaged since."""
        ota("deploy", board.port, "--no-reset")
        assert state_of(board)["sums"] == {"a": zlib.crc32(board.tree()[".ota/a"])}


class TestOtherBoards:
    """A release that says what it is for; refused before anything is copied."""

    @pytest.mark.parametrize(
        ("requires", "said"),
        [
            ({"platform": ["rp2", "esp32"]}, "this board is 'linux'; v1.0.0 is for 'rp2', 'esp32'"),
            ({"mpy": 5}, "this board runs .mpy files of version 6; those of v1.0.0 have version 5: compile them for"),
            ({"arch": [4, 99]}, "this board runs x64; v1.0.0 has native code for armv6m, architecture 99"),
        ],
    )
    def test_what_the_release_requires_is_compared_with_the_board(self, project, board, requires, said):
        before = board.tree()
        for name in ("releases/v1.0.0", "stable"):
            path = project / f"public/sample/{name}.manifest"
            path.write_text(path.read_text().replace('"files"', f'"requires":{json.dumps(requires)},"files"', 1))
        assert f"{board.port}: {said}" in refused(board.port)
        assert board.tree() == before


class TestPort:
    """Without a port the only board is taken."""

    def find(self, monkeypatch, *names):
        ports = [SimpleNamespace(device=n, vid=0x2E8A, description="Board in FS mode") for n in names]
        built_in = SimpleNamespace(device="/dev/ttyS0", vid=None, description="n/a")
        monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [built_in, *ports])

    def test_the_only_board_is_found(self, project, board, monkeypatch):
        self.find(monkeypatch, board.port)
        assert ota("deploy", "--no-reset").stdout.startswith(f"{board.port}: v1.0.0 and the library (mpy): 3 files copied")

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            ([], "no board found: no USB serial port; plug one in, or name its port"),
            (["B", "A"], "2 boards found: A (Board in FS mode), B (Board in FS mode); name one: ota deploy A"),
        ],
    )
    def test_none_or_several_are_an_error_that_lists_them(self, project, monkeypatch, names, said):
        self.find(monkeypatch, *names)
        assert said in str(ota("deploy", code=3).exception)


class TestFrozen:
    @pytest.fixture
    def frozen(self, project):
        (project / "ota.toml").write_text((project / "ota.toml").read_text() + '\nlibrary = "frozen"\n')
        return project

    def test_a_board_without_the_library_in_its_firmware_is_refused(self, frozen, fresh):
        """Before anything is copied."""
        before = fresh.tree()
        assert "the firmware of this board does not have the library" in refused(fresh.port)
        assert fresh.tree() == before

    def test_a_board_with_files_of_the_library_and_not_in_its_firmware_is_refused(self, frozen, board):
        """Those in lib/ are not the firmware's."""
        ota("deploy", board.port, "--library-only", "--no-reset")
        assert "the firmware of this board does not have the library" in refused(board.port)

    def test_what_hides_the_library_of_the_firmware_is_named(self, frozen, board):
        """As where it is in files."""
        write(board, "ota.py", SOMEBODYS)
        assert "the board has a file ota.py, which comes before the library" in refused(board.port)

    def test_a_board_with_the_library_in_its_firmware_gets_only_the_release(self, frozen, board):
        """Here it is loaded from files that are gone then, under the path that the firmware's has."""
        ota("deploy", board.port, "--library-only", "--no-reset")
        board.exec("import ota.bootguard\nota.__path__ = '.frozen/ota'\n" + DROP_LIB)
        told = json.loads(ota("deploy", board.port, "--no-reset", "--json").stdout)
        assert (told["library"], told["copied"]) == ("frozen", len(FILES))
        tree = board.tree()
        assert not [path for path in tree if path.startswith(("lib/ota", "ota/"))]
        assert json.loads(tree[".ota/state"])[:7] == ["idle", 3, 1, "a", "", 1, 1]
