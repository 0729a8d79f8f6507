"""Hosts that change or hide files: what `ota publish` writes for them, and what the page on web servers says."""

import functools
import http.server
import re
import subprocess
import threading
from xml.etree import ElementTree

import pytest
from support import ROOT, run_mp
from test_docs import STAGE
from test_publish import BOOT, project, publish, snapshot

from ota_host import audit

PAGE = (ROOT / "docs/how-to/web-servers.md").read_text("utf-8")


def block(language, text):
    """The block of the page in that language that has `text` in it."""
    (found,) = [b for b in re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S) if text in b]
    return found


def git(folder, *words):
    options = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *options, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class TestGit:
    @pytest.mark.parametrize("autocrlf", ["input", "true"])
    def test_a_tree_that_went_through_git_is_as_it_was(self, tmp_path, autocrlf):
        """Whatever git does with line ends, and whatever the project ignores: Python's own template has `*.manifest`."""
        crlf = "import ota\r\nota.boot()\r\n"
        made = project(tmp_path, {"boot.py": crlf, "main.py": "x = 1\n" * 40, "a.txt": "x\r\n"}, compress=False)
        publish(made, "v1.0.0", layout="subdir")
        (tmp_path / ".gitignore").write_text("*.manifest\nlib/\nblobs\n*.txt\n[0-9a-f]*\n")
        (tmp_path / ".gitattributes").write_text("* text=auto\n*.manifest ident\n")
        config = "-c", f"core.autocrlf={autocrlf}", "-c", "core.safecrlf=false"
        git(tmp_path, "init", "-q")
        git(tmp_path, *config, "add", ".")
        git(tmp_path, *config, "commit", "-qm", "x")
        git(tmp_path, *config, "clone", "-q", str(tmp_path), str(tmp_path / "clone"))
        there = tmp_path / "clone/public/sample"
        assert {n: d for n, (d, _) in snapshot(there).items()} == {n: d for n, (d, _) in snapshot(made.tree).items()}
        assert audit.verify(there).problems == []

    def test_files_of_the_users_own_stay(self, tmp_path):
        """Only what is missing is written."""
        made = project(tmp_path, {"boot.py": BOOT})
        made.tree.mkdir(parents=True)
        (made.tree / ".gitattributes").write_text("mine")
        publish(made, "v1.0.0")
        assert (made.tree / ".gitattributes").read_text() == "mine" and (made.root / ".nojekyll").exists()

    def test_a_site_that_jekyll_makes_stays_one(self, tmp_path):
        """It would be served as its sources."""
        made = project(tmp_path, {"boot.py": BOOT})
        made.root.mkdir(parents=True)
        (made.root / "_config.yml").write_text("")
        publish(made, "v1.0.0")
        assert not (made.root / ".nojekyll").exists()


class TestExtensions:
    @pytest.fixture
    def picky(self, tmp_path):
        """Serves `upload` below tmp_path, and only names that end in `.bin`."""

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                if self.path.endswith(".bin"):
                    super().do_GET()
                else:
                    self.send_error(404)

        handler = functools.partial(Handler, directory=str(tmp_path / "upload"))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    def test_a_board_updates_from_a_host_that_knows_few_extensions(self, tmp_path, picky):
        """As the page says, its commands and its program."""
        publish(project(tmp_path, {"boot.py": BOOT, "main.py": "x = 1\n" * 90}), "v1.0.0")
        subprocess.run(["sh", "-ec", block("sh", "find upload")], cwd=tmp_path, check=True)
        program = block("python", "NamedTransport").replace("http://192.168.2.100", picky)
        assert run_mp(STAGE + program).stdout == "reset\n"

    def test_the_web_config_has_every_kind_of_name_in_a_tree(self, tmp_path):
        """It is XML, too."""
        found = ElementTree.fromstring(block("xml", "staticContent")).iter("mimeMap")
        mapped = {entry.get("fileExtension") for entry in found}
        publish(project(tmp_path, {"boot.py": BOOT, "a": "x = 1\n" * 90}), "v1.0.0")
        publish(project(tmp_path, {"boot.py": BOOT, "a": "x = 1\n" * 90 + "y"}), "v1.0.1")
        names = {name for name in snapshot(tmp_path / "public/sample") if not name.startswith(".")}
        kinds = {re.search(r"(\.[a-z]+)?$", name.rpartition("/")[2])[0] or "." for name in names}
        assert kinds == mapped
