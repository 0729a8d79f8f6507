"""The drop-in for `micropython_ota`: does what the original does, without what it gets wrong."""

import ast
import base64
import json
import re
import socket
import subprocess
import sys
import threading

import pytest
from old_board import WRONG, OldBoard, Raw, Site, comparable, original
from support import ROOT, release, run_mp

from ota_host import library as forms
from ota_host.boards import start

BOARD = {"boot.py": b"boot 1", "main.py": b"main 1", "version": b"v1.0.0", "mine.txt": b"mine"}
FILES = {"boot.py": "boot 2 \u00e9\n".encode(), "main.py": b"main 2" * 999}
NAMES = ["boot.py", "main.py"]
USER = {"user": "ann", "passwd": "s3cret"}


@pytest.fixture
def site():
    """A server that offers v1.0.1 in both layouts."""
    with Site() as server:
        server.publish("v1.0.1", FILES)
        server.publish("v1.0.1", FILES, separator="/")
        yield server
        server.shutdown()


@pytest.fixture
def refusing():
    """The URL of a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield "http://127.0.0.1:%d" % free.getsockname()[1]


def update(*more, **options):
    return ["ota_update", ["HOST", "sample", NAMES, *more], options]


def look(*more, **options):
    return ["check_for_ota_update", ["HOST", "sample", *more], options]


def ask(*more, **options):
    return ["check_version", ["HOST", "sample", *more], options]


def auth(*more, **options):
    return ["generate_auth", list(more), options]


def place(calls, host):
    """`calls` with the server's URL in the place of HOST."""
    return json.loads(json.dumps(calls).replace('"HOST', '"' + host))


NEWER, NONE, SAME, OLDER = b"v1.0.0", None, b"v1.0.1\n", b"v9"

# Name, what the file `version` on the board holds, calls, and changes to the server's answers.
ROWS = [
    ("a newer version, hard reset", NEWER, [update(), ask()], {}),
    ("a newer version, no reset", NEWER, [update(hard_reset_device=False), ask()], {}),
    ("a newer version, twice", NEWER, [update(hard_reset_device=False), update()], {}),
    ("a newer version, soft reset", NEWER, [update(soft_reset_device=True, hard_reset_device=False)], {}),
    ("soft reset wins over hard", NEWER, [update(soft_reset_device=True, hard_reset_device=True)], {}),
    ("no version on the board", NONE, [update()], {}),
    ("the same version", SAME, [update(), ask()], {}),
    ("an older version on the server", OLDER, [update()], {}),
    ("only the first line counts", b" v1.0.1 \r\nv7\n", [update()], {}),
    ("an empty version file", b"", [update()], {}),
    ("white space around the remote version", NEWER, [update()], {"version": b" v1.0.1\r\n"}),
    ("a version of no scheme", NEWER, [ask(), look()], {"version": b"2024-05-01_b"}),
    ("4th argument False: sub-directory", NEWER, [update(False)], {}),
    ("4th argument True: prefix", NEWER, [update(True)], {}),
    ("sub-directory by keyword", NEWER, [update(use_version_prefix=False)], {}),
    ("every argument by position", NEWER, [update(False, "ann", "s3cret", False, True, 3)], {}),
    ("every argument by keyword", NEWER, [["ota_update", [], {
        "host": "HOST", "project": "sample", "filenames": NAMES, "timeout": 3}]], {}),
    ("no timeout", NEWER, [update(timeout=None), ask(timeout=None)], {}),
    ("one file of two", NEWER, [["ota_update", ["HOST", "sample", ["main.py"]], {}]], {}),
    ("no files", NEWER, [["ota_update", ["HOST", "sample", []], {}]], {}),
    ("files in another order", NEWER, [["ota_update", ["HOST", "sample", NAMES[::-1]], {}]], {}),
    ("credentials", NEWER, [update(**USER)], {}),
    ("credentials, another layout", NEWER, [update(False, "ann", "s3cret")], {}),
    ("a user and no password", NEWER, [update(user="ann"), look("ann")], {}),
    ("a password and no user", NEWER, [update(passwd="p"), look(passwd="p")], {}),
    ("empty credentials", NEWER, [update(user="", passwd="")], {}),
    ("a colon and an umlaut in the password", NEWER, [update(user="ann", passwd="a:b\u00fc")], {}),
    ("long credentials", NEWER, [update(user="a" * 70, passwd="b" * 70)], {}),
    ("404 on version", NEWER, [update(), look(), ask()], {"version": (404, b"gone")}),
    ("404 on version, and a second line here", b" v1 \r\nv7", [ask()], {"version": (404, b"gone")}),
    ("401 on version", NEWER, [update(), look(), ask()], {"version": (401, b"who?")}),
    ("500 on version", NEWER, [update(), look(), ask()], {"version": (500, b"oops")}),
    ("404 on the first file", NEWER, [update(), ask()], {"v1.0.1_boot.py": (404, b"gone")}),
    ("404 on the last file", NEWER, [update()], {"v1.0.1_main.py": (404, b"gone")}),
    ("404 on every file", NEWER, [update()], {"v1.0.1_boot.py": (404, b""), "v1.0.1_main.py": (404, b"")}),
    ("404 in the sub-directory", NEWER, [update(False)], {"v1.0.1/boot.py": (404, b"gone")}),
    ("503 on a file", NEWER, [update()], {"v1.0.1_boot.py": (503, b"later")}),
    ("check: a newer version, hard reset", NEWER, [look()], {}),
    ("check: a newer version, soft reset", NEWER, [look(soft_reset_device=True)], {}),
    ("check: an older version, by position", OLDER, [look(None, None, 5, True)], {}),
    ("check: no version on the board", NONE, [look()], {}),
    ("check: the same version", SAME, [look()], {}),
    ("check: credentials", NEWER, [look("ann", "s3cret")], {}),
    ("check_version: it differs", NEWER, [ask()], {}),
    ("check_version: the same", SAME, [ask()], {}),
    ("check_version: none here", NONE, [ask()], {}),
    ("check_version: credentials", NEWER, [ask("YW5uOnMzY3JldA=="), ask(auth="YW5uOnMzY3JldA==", timeout=3)], {}),
    ("generate_auth", NEWER, [auth(), auth(None, None), auth("ann", "p"), auth(**USER), auth("\u00e4", "\u20ac")], {}),
    ("generate_auth, one of two", NEWER, [auth("ann"), auth(passwd="p"), auth("", "p"), auth("ann", "")], {}),
]


def both(folder, site, calls, files=BOARD, url=None, libraries=("2.1.0", None)):
    """The lives of two boards, the original's and ours, that make the same calls on the same server."""
    lives = []
    for library in libraries:
        board = OldBoard(folder / str(library), site, files, library)
        lives.append(board.run(*place(calls, url or site.url)))
    return lives


def assert_same(theirs, ours):
    assert ours.requests == theirs.requests
    assert comparable(ours.prints) == comparable(theirs.prints)
    assert ours.calls == theirs.calls
    assert ours.files == theirs.files


@pytest.mark.parametrize("name, version, calls, answers", ROWS, ids=[row[0] for row in ROWS])
def test_a_program_does_what_it_did_with_the_original(site, tmp_path, name, version, calls, answers):
    """Same requests, prints, files, results and resets as micropython_ota 2.1.0."""
    site.answers.update({"/sample/" + path: answer for path, answer in answers.items()})
    files = {**BOARD, "version": version} if version is not None else {"boot.py": b"boot 1"}
    assert_same(*both(tmp_path, site, calls, files))


HOSTS = [
    ("a slash at the end", "HOST/", "sample"),
    ("a path", "HOST/a/b", "sample"),
    ("a project in a folder", "HOST", "a/b"),
    ("no project", "HOST", ""),
    ("no scheme", "127.0.0.1", "sample"),
    ("another scheme", "ftp://127.0.0.1", "sample"),
    ("no host", "http://", "sample"),
    ("a host that is not found", "http://no.such.host.invalid", "sample"),
]


@pytest.mark.parametrize("name, host, project", HOSTS, ids=[row[0] for row in HOSTS])
def test_a_host_is_taken_as_the_original_took_it(site, tmp_path, name, host, project):
    """The path that is asked for, or the complaint."""
    calls = [
        ["check_version", [host, project], {}],
        ["check_for_ota_update", [host, project], {}],
        ["ota_update", [host, project, NAMES], {}],
    ]
    assert_same(*both(tmp_path, site, calls))


def test_a_refused_connection_is_printed_and_swallowed(site, tmp_path, refusing):
    """The board's own version comes back."""
    theirs, ours = both(tmp_path, site, [update(), look(), ask()], url=refusing)
    assert_same(theirs, ours)
    assert comparable(ours.prints) == [WRONG] * 3
    assert ours.calls == [{"returned": None}, {"returned": None}, {"returned": [False, "v1.0.0"]}]


def test_a_silent_server_is_given_up_after_the_timeout(site, tmp_path):
    """By both after one second, with the same complaint."""
    stuck = threading.Event()
    site.answers["/sample/version"] = Raw(b"", hold=stuck)
    theirs, ours = both(tmp_path, site, [ask(timeout=1), look(timeout=1)])
    stuck.set()
    assert_same(theirs, ours)
    assert comparable(ours.prints) == [WRONG] * 2


def test_a_redirect_is_followed(site, tmp_path):
    """To another path of the same server, with the credentials."""
    to = f"Location: {site.url}/other/version"
    site.answers["/sample/version"] = Raw(b"HTTP/1.1 302 Found\r\n%s\r\n\r\n" % to.encode())
    site.answers["/other/version"] = b"v7"
    assert_same(*both(tmp_path, site, [ask(auth="YW5uOnA=")]))


# What 1.1.0 knew: no credentials, no layouts, no soft reset, and nothing printed before a reset.
OLD_ROWS = [
    ("a newer version", NEWER, [update()], {}),
    ("reset_device=False", NEWER, [update(reset_device=False), ask()], {}),
    ("reset_device=True", NEWER, [update(reset_device=True)], {}),
    ("no version on the board", NONE, [update(reset_device=False)], {}),
    ("the same version", SAME, [update(), look(), ask()], {}),
    ("an older version", OLDER, [update(reset_device=False)], {}),
    ("404 on version", NEWER, [update(), look(), ask()], {"version": (404, b"gone")}),
    ("404 on every file", NEWER, [update()], {"v1.0.1_boot.py": (404, b""), "v1.0.1_main.py": (404, b"")}),
    ("check: a newer version", NEWER, [look()], {}),
]


@pytest.mark.parametrize("name, version, calls, answers", OLD_ROWS, ids=[row[0] for row in OLD_ROWS])
def test_a_program_of_1_1_0_goes_on(site, tmp_path, name, version, calls, answers):
    """Same requests, files, results and resets; what is printed about a reset is that of 2.x."""
    site.answers.update({"/sample/" + path: answer for path, answer in answers.items()})
    files = {**BOARD, "version": version} if version is not None else {"boot.py": b"boot 1"}
    theirs, ours = both(tmp_path, site, calls, files, libraries=("1.1.0", None))
    for life in (theirs, ours):
        life.prints = [line for line in life.prints if "resetting" not in line and "rebooting" not in line]
    assert_same(theirs, ours)


def test_a_soft_reset_wins_over_the_reset_device_of_1_x(site, tmp_path):
    """Names of both lines in one call."""
    board = OldBoard(tmp_path / "board", site, BOARD)
    assert board.run(*place([update(reset_device=True, soft_reset_device=True)], site.url)).resets == ["soft"]


def test_the_module_has_the_four_functions_of_the_original():
    """Whoever imports from `micropython_ota` finds what was there."""
    told = run_mp("import micropython_ota as m; print([n for n in dir(m) if n[0] != '_'])").stdout
    assert sorted(ast.literal_eval(told)) == ["check_for_ota_update", "check_version", "generate_auth", "ota_update"]


def test_a_port_without_a_reset_says_so_as_the_original_does(site, tmp_path):
    """The PC's module `machine` has none: the complaint is printed, and nothing escapes."""
    script = f"""
import sys, requests
sys.modules["urequests"] = requests
from micropython_ota import ota_update
ota_update("{site.url}", "sample", {NAMES})
"""
    theirs, ours = (
        run_mp(script, cwd=OldBoard(tmp_path / str(library), site, BOARD).folder, path=path).stdout
        for library, path in (("2.1.0", [original("2.1.0")]), (None, []))
    )
    assert ours == theirs
    assert ours.startswith("Hard-resetting device...\n" + WRONG)


def test_the_functions_run_on_cpython(site, tmp_path):
    """One source for both: a PC with the stub of a module `machine` updates its folder."""
    board = OldBoard(tmp_path / "board", site, BOARD)
    (tmp_path / "machine.py").write_text("def reset(): raise SystemExit('reset')\n")
    script = f"from micropython_ota import *; ota_update('{site.url}', 'sample', ['main.py'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=board.folder,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("Hard-resetting device...\n", "reset\n")
    assert board.files() == {**BOARD, "main.py": FILES["main.py"], "version": b"v1.0.1"}


PAGE = (ROOT / "docs/how-to/leave-micropython-ota.md").read_text()
DESK, LINE, CA, SWITCH, MANIFEST = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


class TestHowTo:
    """The page's own programs, on a board."""

    @pytest.mark.parametrize("program", [DESK, LINE], ids=["as it was", "with the line"])
    def test_the_boot_py_of_the_page_updates(self, site, tmp_path, program):
        """The one that stays as it is, and the one with `ota.boot()`."""
        board = OldBoard(tmp_path / "board", site, BOARD)
        script = "import old_program\n" + program.replace("http://192.168.2.100", site.url)
        done = run_mp(script, cwd=board.folder)
        assert done.stdout == "Hard-resetting device...\n"
        assert board.files() == {**BOARD, **FILES, "version": b"v1.0.1"}

    def test_the_commands_of_the_page_put_the_library_on_a_board(self, tmp_path):
        """On one that has the original in lib/, as mip left it there: ours is what an import finds."""
        commands = re.search(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)[1].splitlines()
        with start("unix", tmp_path / "flash.img") as board:
            board.mpremote("fs", "mkdir", ":lib")
            board.mpremote("fs", "cp", original("2.1.0") / "micropython_ota.py", ":lib/")
            for command in commands:
                program, *words = command.replace(" board", f" {tmp_path}/board").split()
                if program == "ota":
                    subprocess.run([sys.executable, "-m", "ota_host.cli", *words], check=True)
                else:
                    assert program == "mpremote" and board.mpremote(*words).returncode == 0
            assert set(board.tree()) >= set(forms.files(forms.Form.SOURCE))
            assert not [path for path in board.tree() if path.endswith((".pyi", ".typed"))]
            assert "ota.legacy" in board.exec("import micropython_ota, sys; print(list(sys.modules))")

    def test_the_certificate_authority_is_written_from_text(self, site, tmp_path):
        """Line breaks in the text do not matter."""
        board = OldBoard(tmp_path / "board", site)
        run_mp(CA, cwd=board.folder)
        assert board.files() == {"ota-ca.der": base64.b64decode("MIIBxTCCAWugAwIBAgIUFg==")}

    def test_a_board_with_the_original_switches_over_the_air_and_updates(self, site, tmp_path):
        """The old library brings the program, the program brings the library, the library updates."""
        sources = [p for p in sorted(ROOT.glob("ota/**/*.py"))] + [ROOT / "micropython_ota.py"]
        names = [p.relative_to(ROOT).as_posix() for p in sources]
        site.answers["/library/files.txt"] = "\n".join(names).encode()
        for name, source in zip(names, sources):
            site.answers["/library/" + name] = source.read_bytes()
        site.publish("v1.0.1", {"main.py": SWITCH.replace("http://192.168.2.100", site.url).encode()})
        old = (original("2.1.0") / "micropython_ota.py").read_bytes()
        board = OldBoard(tmp_path / "board", site, {"lib/micropython_ota.py": old, "main.py": b"1", "version": b"v1"})
        call = json.dumps(place([["ota_update", ["HOST", "sample", ["main.py"]], {}]], site.url))
        boot = "import sys\nsys.path[:] = ['', '.frozen', 'lib', %r]\n" % str(ROOT / "tests" / "on_board")
        boot += "import old_program; old_program.main()\n"
        assert '"reset": "hard"' in run_mp(boot, call, cwd=board.folder).stdout
        run_mp("exec(open('main.py').read())", cwd=board.folder)
        site.publish("v1.0.2", {"main.py": b"\xff new"})
        assert '"reset": "hard"' in run_mp(boot, call, cwd=board.folder).stdout
        files = board.files()
        assert (files["main.py"], files["version"]) == (b"\xff new", b"v1.0.2")
        assert [n for n in files if n.endswith(".part")] == []

    def test_a_board_goes_on_to_manifests(self, site, tmp_path):
        """After a legacy update, the program with the Updater fetches only what changed."""
        board = OldBoard(tmp_path / "board", site, BOARD)
        board.run(*place([update()], site.url))
        release(tmp_path / "www", {**FILES, "main.py": b"main 3"}, version="v1.1.0", seq=1)
        for path in (p for p in (tmp_path / "www").rglob("*") if p.is_file()):
            site.answers["/sample/" + path.relative_to(tmp_path / "www").as_posix()] = path.read_bytes()
        del site.log[:]
        script = "import old_program\n" + MANIFEST.replace("http://192.168.2.100", site.url)
        run_mp(script, cwd=board.folder)
        assert len(site.log) == 2, "the manifest and one blob"
        told = run_mp("import ota; ota.boot(); ota.boot(); ota.confirm(); print(ota.status())", cwd=board.folder)
        assert ast.literal_eval(told.stdout.splitlines()[-1])["version"] == "v1.1.0"
        assert board.files() == {"mine.txt": b"mine", "boot.py": FILES["boot.py"], "main.py": b"main 3"}
