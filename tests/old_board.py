"""Boards that run `micropython_ota`, the original or ours, against a web server that keeps a log."""

import hashlib
import json
import os
import pathlib
import socket
import socketserver
import subprocess
import sys
import tarfile
import tempfile
import threading
from dataclasses import dataclass

import pytest
from support import ROOT, run_mp

# The source archives of the originals; their code stays in the cache.
ARCHIVES = {
    "1.1.0": "c2369df36ba47ee9dd3d5efebc6bc711f4207ac797da9177dfcb0b925b1c3e7a",
    "2.1.0": "f340caa81d88ff78365daa255adcafd79fa4d880ed58ce779748e87d6f9f3973",
}
WRONG = "Something went wrong: "


def original(version):
    """The folder that holds the original's module; skips the test when it cannot be had."""
    # Several test processes may want it at once, so that each file appears whole.
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    archive = cache / f"micropython_ota-{version}.tar.gz"
    with tempfile.TemporaryDirectory(dir=cache) as fresh:
        if not archive.exists():
            unearth = pathlib.Path(sys.executable).parent / "unearth"
            command = [unearth, f"micropython-ota=={version}", "--download", fresh]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            if done.returncode or not (pathlib.Path(fresh) / archive.name).exists():
                pytest.skip(f"micropython-ota {version} is missing: pip must be able to reach PyPI: {done.stderr[-200:]}")
            os.replace(pathlib.Path(fresh) / archive.name, archive)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        assert digest == ARCHIVES[version], f"{archive} has the SHA-256 {digest}, not {ARCHIVES[version]}"
        folder = cache / f"original-{version}"
        folder.mkdir(exist_ok=True)
        with tarfile.open(archive) as tar:
            code = tar.extractfile(f"micropython_ota-{version}/micropython_ota.py").read()
        part = pathlib.Path(fresh) / "part"
        part.write_bytes(code)
        os.replace(part, folder / "micropython_ota.py")
    return folder


class Site(socketserver.ThreadingTCPServer):
    """A web server on 127.0.0.1.

    `answers` is {path: body, (status, body), a Raw, or a function that gives one}; `default` is
    the answer for all other paths. `log` has (method, path, Authorization) of each request.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, tls=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = {}
        self.default = (404, b"not found")
        self.log = []
        self.connections = 0
        self.tls = tls
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def publish(self, version, files, project="sample", separator="_"):
        """Offer `files` ({path: bytes}) as `version` (str), in the prefix layout or with "/" in the other."""
        self.answers[f"/{project}/version"] = version.encode()
        for path, data in files.items():
            self.answers[f"/{project}/{version}{separator}{path}"] = data

    def handle_error(self, request, client_address):
        """A client that leaves early is no failure of the server."""


@dataclass
class Raw:
    """An answer byte for byte, after which the connection is closed.

    Args:
        data: all of it, the status line included.
        hold: an event to wait for before closing; the client waits as well.
        abort: close with a reset of the connection.
    """

    data: bytes
    hold: threading.Event = None
    abort: bool = False


class _Handler(socketserver.StreamRequestHandler):
    def setup(self):
        self.server.connections += 1
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self):
        while self._answer_one():
            pass

    def _answer_one(self):
        words = self.rfile.readline().decode("latin-1").split()
        if len(words) != 3:
            return False
        method, path, protocol = words
        head = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            head[name.lower()] = value.strip()
        self.server.log.append((method, path, head.get("authorization")))
        answer = self.server.answers.get(path, self.server.default)
        answer = answer() if callable(answer) else answer
        if isinstance(answer, Raw):
            return self._send_raw(answer)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        text = f"HTTP/1.1 {status} As Told\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(text.encode() + body)
        return protocol == "HTTP/1.1" and head.get("connection", "").lower() != "close"

    def _send_raw(self, answer):
        self.wfile.write(answer.data)
        if answer.hold:
            answer.hold.wait(30)
        if answer.abort:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return False


@dataclass
class Life:
    """What a board's program did: requests, prints, files afterwards, and the result of each call."""

    requests: list
    prints: list
    files: dict
    calls: list

    @property
    def resets(self):
        return [call["reset"] for call in self.calls if "reset" in call]


class OldBoard:
    """A board with `files` ({path: bytes}) that runs the original `version`, or ours when that is None."""

    def __init__(self, folder, site, files=None, version=None):
        self.folder = folder
        self.site = site
        self.version = version
        folder.mkdir(parents=True)
        for path, data in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)

    def files(self):
        """All that is there, but for the two libraries' own folders."""
        every = (p for p in self.folder.rglob("*") if p.is_file())
        names = ((p.relative_to(self.folder).as_posix(), p) for p in every)
        return {n: p.read_bytes() for n, p in names if not n.startswith((".ota/", "tmp/"))}

    def run(self, *calls, **options):
        """Run a program from power-on: each of `calls` is (name, arguments, keywords)."""
        del self.site.log[:]
        path = [original(self.version)] if self.version else []
        script = "import old_program\nold_program.main()"
        done = run_mp(script, json.dumps(calls), cwd=self.folder, path=path, **options)
        *prints, last = done.stdout.splitlines()
        assert last.startswith("FACTS "), done.stdout + done.stderr
        return Life(list(self.site.log), prints, self.files(), json.loads(last[6:]))


def comparable(prints):
    """`prints`, with the part that each library words in its own way cut off."""
    return [WRONG if line.startswith(WRONG) else line for line in prints]
