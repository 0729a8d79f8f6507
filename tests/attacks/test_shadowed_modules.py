"""Shadowed modules: files and folders with the names of built-in modules, which MicroPython finds first.

A release brings them, or the application makes them while it runs, maybe after it has imported its own.
"""

import ssl

import pytest
import trustme
from certificates import der
from missing import no_firmware
from on_pico import pico_with_library
from support import release, run_mp
from test_fences import MICROPYTHON_MODULES

from ota_host.boards import FirmwareUnavailable, firmware

from .scene import KINDS, V1, V3, Publisher, Site

NAMES = sorted((MICROPYTHON_MODULES | {"errno", "struct", "collections", "heapq", "math", "re"}) - {"gc", "sys"})
NAMES += ["u" + name for name in NAMES]
# path -> content; a path that ends in a slash is an empty folder
SHADOWS = {
    "files": {f"{name}.py": "X = 1\n" for name in NAMES},
    "files that fail": {f"{name}.py": "raise ValueError('shadow')\n" for name in NAMES},
    "empty folders": {f"{name}/": "" for name in NAMES},
    "folders with data": {f"{name}/cities.json": "[1]\n" for name in NAMES},
    "files in lib": {f"lib/{name}.py": "X = 1\n" for name in NAMES},
    "packages that fail": {f"lib/{name}/__init__.py": "from not_there import x\n" for name in NAMES},
}
IMPORTED = "for name in %r:\n    try:\n        __import__(name)\n    except Exception:\n        pass\n" % (NAMES,)
BOOT = "import ota\nprint('boot', ota.boot())\n"
UPDATE = """
from ota import HttpTransport, HttpsTransport, Updater
u = Updater(%s, verifier=%s, trial_boots=1)
try:
    print("ready", u.run(reset=False))
except Exception as e:
    print("error", repr(e))
"""
GOOD = {**V1, "main.py": b"main good"}
FAILS = {**V1, "main.py": b"main fails"}


class Board:
    """A folder of the PC as a board's flash; each `life` is a program of its own on the real MicroPython."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "lib").mkdir(parents=True)

    def put(self, files):
        for path, text in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.mkdir(exist_ok=True) if path.endswith("/") else target.write_text(text)

    def life(self, script):
        # What a board has in sys.path, then the library.
        return run_mp(script, cwd=self.folder, path=["", "lib"]).stdout

    def main(self):
        return (self.folder / "main.py").read_bytes()


def verifier(publisher):
    if publisher.kind == "signed":
        return f"__import__('ota').SignatureVerifier({publisher.keys!r})"
    return "__import__('ota').TufVerifier('root.json', '.ota/tuf')" if publisher.kind == "tuf" else None


@pytest.mark.parametrize("imported", ["", IMPORTED], ids=["", "imported by the application"])
@pytest.mark.parametrize("shadows", SHADOWS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_board_boots_undoes_and_updates_whatever_hides_the_built_in_modules(tmp_path, kind, shadows, imported):
    """Made by the application: a release that never confirms itself is undone, and the next one gets there."""
    publisher, board = Publisher(tmp_path, kind), Board(tmp_path / "board")
    trees = {"1": publisher.publish(V1, 1), "2": publisher.publish(FAILS, 2), "3": publisher.publish(GOOD, 3)}
    if publisher.root:
        board.put({"root.json": publisher.root})
    with Site(trees) as site:
        update = {n: UPDATE % (f"HttpTransport({site.url + '/' + n!r}, retries=0)", verifier(publisher)) for n in trees}
        board.life(BOOT + update["1"])
        board.life(BOOT + "ota.confirm()\n")
        assert board.main() == V1["main.py"]
        board.put(SHADOWS[shadows])
        assert board.life(imported + BOOT + update["2"]).split("\n")[-2] == "ready True"
        board.life(imported + BOOT)
        assert board.main() == FAILS["main.py"]
        for _ in range(3):
            board.life(imported + BOOT)
        assert board.main() == V1["main.py"], "it was undone"
        assert board.life(imported + BOOT + update["3"]).split("\n")[-2] == "ready True"
        board.life(imported + BOOT)
        assert board.life(imported + BOOT + "print(ota.confirm(), ota.status()['problem'])\n").endswith("True None\n")
    assert board.main() == GOOD["main.py"]


@pytest.mark.parametrize("shadows", [name for name in SHADOWS if "empty" not in name])
def test_a_release_that_brings_them_is_undone_and_the_next_one_installs(tmp_path, shadows):
    publisher, board = Publisher(tmp_path, "sha256"), Board(tmp_path / "board")
    brought = {path: text.encode() for path, text in SHADOWS[shadows].items()}
    trees = {"1": publisher.publish(V1, 1), "2": publisher.publish({**FAILS, **brought}, 2), "3": publisher.publish(GOOD, 3)}
    with Site(trees) as site:
        update = {n: UPDATE % (f"HttpTransport({site.url + '/' + n!r}, retries=0)", None) for n in trees}
        board.life(BOOT + update["1"])
        board.life(BOOT + "ota.confirm()\n")
        board.life(BOOT + update["2"])
        board.life(BOOT)
        assert board.main() == FAILS["main.py"] and (board.folder / next(iter(brought))).exists()
        for _ in range(2):
            board.life(BOOT)
        assert board.main() == V1["main.py"] and not (board.folder / next(iter(brought))).exists()
        board.life(BOOT + update["3"])
        board.life(BOOT)
    assert board.main() == GOOD["main.py"]


WAYS = {
    "the legacy functions": """
import micropython_ota
print(micropython_ota.check_version(HOST, "sample"))
micropython_ota.ota_update(HOST, "sample", ["main.py"], hard_reset_device=False)
""",
    "launch": "ota.launch('app')\n",
    "a watch under asyncio": """
import ota.watch
ota.watch.getrandbits = lambda n: 0
from ota import HttpTransport, Updater, Watch
w = Watch(Updater(HttpTransport(HOST + "/2", retries=0)), every=0)
print(__import__("ota.builtin", None, None, ("own",)).own("asyncio", "asyncio.core").run(w.run_async(reset=False)))
""",
    "packed files": """
from ota import HttpTransport, Updater
events = []
u = Updater(HttpTransport(HOST + "/packed", retries=0), on_event=lambda *event: events.append(event[0]))
print(u.run(reset=False), "fallback" in events)
""",
}
SAID = {
    "the legacy functions": "(True, 'v1.0.1')\n",
    "launch": "the application runs\n",
    "a watch under asyncio": "True\n",
    "packed files": "True False\n",
}


# An application that has a folder as its `asyncio` runs no task, so that there is no such watch.
COMBINATIONS = [
    pytest.param(way, shadows, imported, id=f"{way}-{shadows}-{'imported' if imported else 'not imported'}")
    for way in WAYS
    for shadows in ("files that fail", "folders with data")
    for imported in ("", IMPORTED)
    if not (imported and way == "a watch under asyncio" and shadows == "folders with data")
]


@pytest.mark.parametrize("way, shadows, imported", COMBINATIONS)
def test_every_other_part_of_the_library_gets_the_built_in_modules_too(tmp_path, way, shadows, imported):
    big = {"main.py": b"x = 1\n" * 500}
    release(tmp_path / "packed", big, seq=2, version="v2", before={"main.py": b"x = 2\n" * 500})
    packed = {p.relative_to(tmp_path / "packed").as_posix(): p.read_bytes() for p in (tmp_path / "packed").rglob("*") if p.is_file()}
    # Only the small forms are there.
    packed = {name: data for name, data in packed.items() if not name.startswith("blobs/") or name.endswith(".z")}
    legacy = {"version": b"v1.0.1", "v1.0.1_main.py": b"main legacy"}
    trees = {"2": Publisher(tmp_path, "sha256").publish(V3, 2), "packed": packed, "sample": legacy}
    board = Board(tmp_path / "board")
    board.put({"main.py": "x = 2\n" * 500, "app.py": "print('the application runs')\n", **SHADOWS[shadows]})
    with Site(trees) as site:
        said = board.life(imported + BOOT + f"HOST = {site.url!r}\n" + WAYS[way])
    assert SAID[way] in said and "shadow" not in said and "error" not in said.lower(), said
    if way == "the legacy functions":
        assert board.main() == b"main legacy"


@pytest.mark.parametrize("shadows", ["files that fail", "folders with data"])
def test_https_gets_the_built_in_modules_too(tmp_path, shadows):
    """`ssl` is written in Python, and imports another module of the firmware."""
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(tls)
    board = Board(tmp_path / "board")
    board.put(SHADOWS[shadows])
    (board.folder / "ca.der").write_bytes(der(ca))
    with Site({"2": Publisher(tmp_path, "sha256").publish(V3, 2)}) as site:
        site._server.socket = tls.wrap_socket(site._server.socket, server_side=True)
        url = site.url.replace("http://127.0.0.1", "https://localhost") + "/2"
        said = board.life(IMPORTED + BOOT + UPDATE % (f"HttpsTransport({url!r}, ca='ca.der', retries=0)", None))
    assert said.endswith("ready True\n"), said


def test_a_firmware_that_does_not_say_where_modules_are_from_gets_the_built_in_ones(tmp_path):
    """As that of an ESP8266: no module has a `__file__`."""
    board = Board(tmp_path / "board")
    board.put(SHADOWS["files"])
    script = """
import json, sys
import ota
__import__("ota.builtin")
del json.__file__, sys.modules["ota.builtin"].__file__
print(__import__("ota.builtin", None, None, ("own",)).own("json").loads("[1]"), json is sys.modules["json"], json.X)
"""
    assert board.life(script) == "[1] True 1\n"


@pytest.mark.pico_w
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_on_the_real_firmware_of_a_pico_w_too(tmp_path):
    """A data folder, a file that fails and an empty folder, one of them imported by the application."""
    try:
        uf2 = firmware.pico_w_firmware()
    except FirmwareUnavailable as e:
        no_firmware(e)
    files = {"boot.py": b"import ota\nota.boot()\n", "main.py": b"V = 1\n"}
    for seq, main in ((2, b"V = 2\n"), (3, b"V = 3\nimport ota\nota.confirm()\n")):
        release(tmp_path / str(seq), {**files, "main.py": main}, seq=seq, version=f"v{seq}")
        for path in (tmp_path / str(seq)).rglob("*"):
            if path.is_file():
                files[f"srv{seq}/{path.relative_to(tmp_path / str(seq)).as_posix()}"] = path.read_bytes()
    hidden = [name for name in NAMES if name not in ("machine", "umachine", "time", "utime", "os", "uos")]  # mpremote's own
    shadows = {}
    for i, name in enumerate(hidden):
        path, text = [(f"{name}.py", b"raise ValueError('shadow')\n"), (f"{name}/cities.json", b"[1]\n"), (f"lib/{name}.py", b"X = 1\n")][i % 3]
        shadows[path] = text
    update = "import ota\nfrom ota import SdTransport, Updater\nprint(Updater(SdTransport('/srv%d'), trial_boots=1).run(reset=False))\n"
    with pico_with_library(tmp_path / "flash.img", {**files, **shadows}, uf2) as board:
        assert board.exec(update % 2, timeout=600).split()[-1] == "True"
        for _ in range(3):  # installs, and is reset; the trial; it is undone, and is reset
            board.power_cycle()
            board.wait_for(">>> ", 500)
        told = board.exec("import ota\nprint(open('main.py').read(), ota.status())", timeout=300)
        assert told.startswith("V = 1") and "'refused': 2" in told
        assert board.exec(IMPORTED + update % 3, timeout=600).split()[-1] == "True"
        board.power_cycle()
        board.wait_for(">>> ", 500)
        told = board.exec("import ota\nprint(open('main.py').read(), ota.status())", timeout=300)
        assert told.startswith("V = 3") and "'floor': 3" in told
