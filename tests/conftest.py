"""Servers that hold a release, and what is built for the package index, for any test."""

import functools
import http.server
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock
from support import ROOT, release


def pytest_collection_modifyitems(items):
    """The emulated Pico W takes minutes: the other workers go on meanwhile."""
    items.sort(key=lambda item: "pico_w" not in item.keywords)


class Distributions(NamedTuple):
    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory, worker_id):
    """Wheel and source distribution, the wheel made from the other; built once for all workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "distributions"
    with FileLock(str(folder) + ".lock"):
        if not list(folder.glob("*.whl")):
            build(folder)
    return Distributions(next(folder.glob("*.whl")), next(folder.glob("*.tar.gz")))


def build(folder):
    # From a copy of what git has, so that nothing that lies about gets in.
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, names.stdout.split("\0")):
        if (ROOT / name).is_file():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--outdir", folder, folder / "source"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def sample_tree(tmp_path):
    """The root of a project `sample` with v1.0.1 on its channel."""
    files = {"main.py": b"print('v1.0.1')", "lib/a.py": b"a = 1\n" * 400, "data.bin": bytes(range(256))}
    release(tmp_path / "www" / "sample", files, version="v1.0.1", seq=2)
    return tmp_path / "www" / "sample"


@pytest.fixture
def server_of_sample(sample_tree):
    """The address of a web server below which `sample` is."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=str(sample_tree.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d" % server.server_port
        server.shutdown()
