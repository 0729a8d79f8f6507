"""Every code block of the docs runs, or is at least what it claims to be."""

import json
import re
import threading
try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

import pytest
from support import ROOT, run_mp

PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(*languages):
    for page in PAGES:
        for i, (language, text) in enumerate(BLOCK.findall(page.read_text()), 1):
            if language in languages:
                yield pytest.param(text, id=f"{page.relative_to(ROOT)}-{i}")


@pytest.mark.parametrize("text", list(blocks("python")))
def test_a_python_block_compiles(text):
    compile(text, "block", "exec")


@pytest.mark.parametrize("text", list(blocks("json")))
def test_a_json_block_is_lines_of_json(text):
    assert all(json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize("text", list(blocks("toml")))
def test_a_toml_block_parses(text):
    tomllib.loads(text)


# What the blocks of one page need around them to run on a board, and what they print then.
STAGE = """
import sys, ramflash
ramflash.mount(ramflash.Flash(), "lfs2", True)
class Machine:
    class WDT:
        def __init__(self, timeout): pass
        def feed(self): print("fed")
    class RTC:
        def datetime(self, *fields): pass
    @staticmethod
    def reset(): print("reset")
    @staticmethod
    def unique_id(): return b"1"
sys.modules["machine"] = Machine
class Wlan:
    STA_IF = 0
    def __init__(self, *a): pass
    def __getattr__(self, name): return lambda *a: True
class Network:
    STA_IF = 0
    WLAN = Wlan
sys.modules["network"] = Network
"""


def on_a_board(page, before="", after="", **options):
    python = [text for language, text in BLOCK.findall(page.read_text()) if language == "python"]
    script = STAGE + before + "\n".join(t for t in python if "ota_host" not in t) + after
    return run_mp(script, **options).stdout


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_the_first_page_runs_on_a_board(server_of_sample, name):
    """Its two programs, against a server that has a release: it is staged, and the board resets."""
    page = (ROOT / name).read_text()
    python = [text for language, text in BLOCK.findall(page) if language == "python"]
    script = STAGE + "\n".join(python).replace("http://192.168.2.100", server_of_sample)
    assert run_mp(script).stdout == "reset\n"


def test_the_tutorial_runs_on_a_board(server_of_sample):
    page = (ROOT / "docs/tutorial/first-board.md").read_text()
    python = [text for language, text in BLOCK.findall(page) if language == "python"]
    script = "\n".join(python).replace("http://192.168.2.100:8000", server_of_sample)
    assert run_mp(STAGE + script).stdout == "sample v1.0.0\nreset\n"


def test_the_tutorial_as_printed_takes_a_test_board_from_one_release_to_the_next(tmp_path, monkeypatch):
    """Its files and its commands; only the server's address and the board's port are those of here."""
    from typer.testing import CliRunner

    from ota_host import boards, cli, config, server

    page = (ROOT / "docs/tutorial/first-board.md").read_text()
    boot, main = (text for language, text in BLOCK.findall(page) if language == "python")
    commands = [line for language, text in BLOCK.findall(page) if language == "sh" for line in text.splitlines()]
    (tmp_path / "sample").mkdir()
    monkeypatch.chdir(tmp_path / "sample")
    sock = server.listen("127.0.0.1", 0)
    program = main.replace("192.168.2.100:8000", "127.0.0.1:%d" % sock.getsockname()[1])
    (tmp_path / "sample/boot.py").write_text(boot)
    (tmp_path / "sample/main.py").write_text(program)
    with boards.start("unix", tmp_path / "flash.img", heap="256wK") as board:
        for command in commands:
            words = command.replace("/dev/ttyACM0", board.port).split()
            if words[:2] == ["ota", "publish"] and "v1.0.1" in words:
                board.wait_for("sample v1.0.0\n", 20)
                (tmp_path / "sample/main.py").write_text(program.replace('"v1.0.0"', '"v1.0.1"'))
            if words[:2] == ["ota", "serve"]:
                threading.Thread(target=server.serve, args=(config.read().root, sock, lambda entry: None), daemon=True).start()
            elif words[0] == "ota":
                done = CliRunner().invoke(cli.app, words[1:], catch_exceptions=False)
                assert done.exit_code == 0, done.output
        board.power_cycle()
        board.wait_for("sample v1.0.0\n", 20)
        board.wait_for("sample v1.0.1\n", 20)
        assert "v1.0.1" in board.exec("import ota; print(ota.status())", resume=True)


def test_the_watchdog_of_small_boards_is_fed_through_a_whole_update(server_of_sample):
    page = (ROOT / "docs/how-to/small-boards.md").read_text()
    (text,) = [text for language, text in BLOCK.findall(page) if language == "python"]
    text = text.replace("http://192.168.2.100", server_of_sample)
    told = run_mp(STAGE + text + "\nprint(updater.ready)").stdout.splitlines()
    assert told[-1] == "True" and told.count("fed") >= 4


def test_the_guarded_start_of_keep_it_running_updates_from_safe_mode(server_of_sample):
    page = (ROOT / "docs/how-to/keep-it-running.md").read_text()
    (text,) = [text for language, text in BLOCK.findall(page) if language == "python"]
    text = text.replace("http://192.168.2.100", server_of_sample)
    failed = """
def reset():
    print("reset")
    sys.exit()
Machine.reset = staticmethod(reset)
from ota.bootguard import load, save
save(None, dict(load(), fails=3))
"""
    assert run_mp(STAGE + failed + text).stdout == "ota: safe mode, app failed 3 times in a row\nreset\n"


def test_the_transport_of_ten_lines_runs_and_passes_the_contract(tmp_path, sample_tree):
    """The page's own code: an update through it, and its contract kit."""
    import subprocess
    import sys

    page = (ROOT / "docs/how-to/write-a-transport.md").read_text()
    write, use, test = [text for language, text in BLOCK.findall(page) if language == "python"]
    body = [line for line in write.splitlines() if line.strip()]
    assert len(body) - body.index("class CallTransport(Transport):") <= 12
    ask = f"""
def ask(name):
    try:
        return open({str(sample_tree)!r} + "/" + name, "rb").read()
    except OSError:
        return None
"""
    after = "\nprint(release.version)\nupdater.stage(release)\nprint(updater.ready)"
    assert run_mp(STAGE + write + ask + use + after).stdout == "v1.0.1\nTrue\n"
    (tmp_path / "test_it.py").write_text(write + test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_link_inside_the_docs_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_sentence_of_the_docs_has_its_own_line():
    """So that a change of a sentence is a change of a line."""
    for page in PAGES:
        for line in BLOCK.sub("", page.read_text()).splitlines():
            prose = not line.startswith(("|", "-", "#", " ")) and not re.match(r"\d+\. ", line)
            if prose:
                assert not re.search(r"[a-z)`]{2}\. [A-Z]", line), f"{page.name}: {line}"


def test_the_switch_of_a_fleet_fetches_the_library_once(tmp_path, server_of_sample, sample_tree):
    """The program stays on the board, and calls it at every boot."""
    page = (ROOT / "docs/how-to/leave-micropython-ota.md").read_text()
    (text,) = [text for language, text in BLOCK.findall(page) if language == "python" and "def switch" in text]
    library = sample_tree.parent / "library"
    for name in ("ota/__init__.py", "ota/legacy.py", "micropython_ota.py"):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_bytes((ROOT / name).read_bytes())
    (library / "files.txt").write_text("ota/__init__.py\nota/legacy.py\nmicropython_ota.py\n")
    requests = """
class Requests:
    asked = []
    @staticmethod
    def get(url):
        Requests.asked.append(url)
        class Answer:
            status_code = 200
            content = open(%r + url[len("http://192.168.2.100"):], "rb").read()
            text = content.decode()
        return Answer
sys.modules["requests"] = Requests
with open("micropython_ota.py", "w") as f:
    f.write("import os, machine\\n")
""" % str(sample_tree.parent)
    after = "\nfirst = len(Requests.asked)\nswitch('http://192.168.2.100/library')\nprint(first, len(Requests.asked))\nimport os\nprint(sorted(os.listdir()))"
    assert run_mp(STAGE + requests + text + after).stdout == "4 4\n['micropython_ota.py', 'ota']\n"
