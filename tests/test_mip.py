"""`package.json`: mip installs the library over the network, from the PC and on the board itself."""

import functools
import http.server
import json
import threading

import pytest
from support import ROOT

from ota_host import boards, core, library


def files():
    return {p.relative_to(ROOT).as_posix() for p in (ROOT / "ota").rglob("*.py")} | {"micropython_ota.py"}


def test_package_json_lists_exactly_the_files_that_go_on_a_board():
    package = json.loads((ROOT / "package.json").read_text())
    targets = [target for target, _ in package["urls"]]
    # Its module comes last: a cut while mip installs must not leave it without the package.
    assert targets == sorted(files() - {"micropython_ota.py"}) + ["micropython_ota.py"]
    assert all(target == url for target, url in package["urls"])


def test_package_json_and_the_distribution_have_one_version():
    from configparser import ConfigParser

    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    package = json.loads((ROOT / "package.json").read_text())
    assert package["version"] == setup["metadata"]["version"]


@pytest.fixture
def url():
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d/package.json" % server.server_port
        server.shutdown()


@pytest.mark.parametrize("way", ["on the PC", "on the board"])
def test_mip_puts_every_file_in_lib_and_the_library_works(tmp_path, url, way):
    with boards.start("unix", tmp_path / "flash.img", heap="512wK") as board:
        if way == "on the PC":
            board.mpremote("mip", "install", "--no-mpy", url, timeout=60)
        else:
            board.exec(f"import mip; mip.install({url!r}, mpy=False)", timeout=60)
        tree = board.tree()
        assert {p[4:] for p in tree if p.startswith("lib/")} == files()
        for path in files():
            assert tree["lib/" + path] == (ROOT / path).read_bytes(), path
        assert "idle" in board.exec("import ota; ota.boot(); print(ota.status())")


@pytest.mark.parametrize("form", ["mpy", "core"])
def test_mip_installs_what_ota_library_wrote(tmp_path, form):
    made = library.files(library.Form(form), core.DEFAULT)
    library.write(tmp_path / "www", made, package=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = "http://127.0.0.1:%d/package.json" % server.server_port
        with boards.start("unix", tmp_path / "flash.img", heap="512wK") as board:
            board.mpremote("mip", "install", "--no-mpy", url, timeout=60)
            tree = board.tree()
            assert "idle" in board.exec("import ota; ota.boot(); print(ota.status())")
        server.shutdown()
    assert {p[4:]: data for p, data in tree.items() if p.startswith("lib/")} == made
