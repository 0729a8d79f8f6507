"""`ota.launch`: what raises, hangs or never confirms ends in the old release, without anybody's hand."""

import functools
import http.server
import json
import threading

import pytest
from support import ROOT, release, run_mp

from ota_host.boards import start

BOOT = b"import ota\nota.boot()\n"
MAIN = """import ota
def updater():
    from ota import Updater, HttpTransport
    return Updater(HttpTransport("%s/www"), trial_boots=2)
ota.launch("app", updater, confirm_s=2, pause_s=1, rounds=2%s)
"""
UPDATE = "from main_updater import updater\nupdater().run()"
APPS = {
    "raises": "print('app 2')\n1 / 0\n",
    "hangs": "print('app 2')\nwhile True: pass\n",
    "never confirms": "import time\nprint('app 2')\nwhile True: time.sleep(1)\n",
}
GOOD = "import ota\nprint('app %d', ota.confirm())\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A flash image that holds the library."""
    folder = tmp_path_factory.mktemp("library")
    with start("unix", folder / "flash.img") as board:
        done = board.mpremote("fs", "cp", "-r", str(ROOT / "ota"), ":")
        assert done.returncode == 0, done.stderr
    return (folder / "flash.img").read_bytes()


@pytest.fixture
def board(library, tmp_path):
    """A board with the library, and below `url` a server whose folder www is in tmp_path."""
    (tmp_path / "flash.img").write_bytes(library)
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with start("unix", tmp_path / "flash.img") as board:
            board.url = "http://127.0.0.1:%d" % server.server_port
            yield board
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


def files(board, app, options=""):
    main = MAIN % (board.url, options)
    return {"boot.py": BOOT, "main.py": main.encode(), "app.py": app.encode()}


def put(board, tree):
    for path, data in tree.items():
        board.exec(f"with open({path!r}, 'wb') as f: f.write({data!r})")


def update(board):
    """Let the board install what is offered; it resets into it."""
    code = "from ota import Updater, HttpTransport\nUpdater(HttpTransport('%s/www'), trial_boots=2).run()"
    board.exec(code % board.url, may_reset=True)


def status(board):
    return json.loads(board.exec("import ota, json; print(json.dumps(ota.status()))").splitlines()[-1])


@pytest.mark.parametrize("options", ["", ", watchdog=1500"], ids=["no watchdog", "watchdog"])
@pytest.mark.parametrize("fault", APPS)
def test_a_release_that_fails_ends_in_the_old_one_and_is_refused(board, tmp_path, fault, options):
    put(board, files(board, GOOD % 1))
    release(tmp_path / "www", files(board, APPS[fault], options), seq=2)
    update(board)
    board.wait_for("app 2", timeout=30)
    board.wait_for("app 1", timeout=60)
    told = status(board)
    assert told["refused"] == 2 and told["phase"] == "idle" and told["problem"] is None


def test_a_good_release_stays(board, tmp_path):
    put(board, files(board, GOOD % 1))
    release(tmp_path / "www", files(board, GOOD % 2), seq=2)
    update(board)
    board.wait_for("app 2 True", timeout=30)
    assert status(board)["floor"] == 2
    board.power_cycle()
    board.wait_for("app 2 False", timeout=30)
    ops = board.ops()
    board.wait_for(">>> ")
    assert board.ops() == ops == 0  # a good boot writes nothing


def test_a_confirmed_release_that_keeps_failing_is_mended_from_safe_mode(board, tmp_path):
    """After three failed starts the application is left out, and the next release is installed."""
    put(board, files(board, "print('app 1')\n1 / 0\n"))
    board.power_cycle()
    for _ in range(3):
        board.wait_for("app 1", timeout=30)
    board.wait_for("safe mode, app failed 3 times in a row", timeout=30)
    release(tmp_path / "www", files(board, GOOD % 2), seq=2)
    board.wait_for("app 2 True", timeout=60)
    assert status(board)["fails"] == 0


def test_safe_mode_tries_the_application_again_after_its_rounds(board):
    """A cause that passes needs no hand: one more start, then safe mode at once."""
    put(board, files(board, "print('app 1')\n1 / 0\n"))
    board.power_cycle()
    for text in ("app 1", "app 1", "app 1", "safe mode", "app 1", "safe mode"):
        board.wait_for(text, timeout=30)


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
def test_an_interrupt_goes_through_and_counts_nothing(error, tmp_path):
    (tmp_path / "app.py").write_text(f"raise {error}")
    script = f"""
import ota
try:
    ota.launch("app")
except {error}:
    print("through", ota.status()["fails"])
"""
    assert run_mp(script, cwd=tmp_path, path=[tmp_path]).stdout == "through 0\n"
