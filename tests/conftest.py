"""Servers that hold a release, for any test."""

import functools
import http.server
import threading

import pytest
from support import release


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
