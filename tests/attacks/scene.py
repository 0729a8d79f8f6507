"""The scene of every attack: a publisher, a server that may lie, a board on the real MicroPython.

The board installs the tree `v1` of the server, then meets the bad trees in turn, then a good `v2`.
"""

import hashlib
import http.server
import json
import shutil
import threading
from urllib.parse import unquote

from support import release, told_by
from test_signature import board_key, entry
from tuf_repository import Repository

KINDS = ("sha256", "signed", "tuf")
V1 = {"boot.py": b"boot 1", "main.py": b"main 1", "lib/a.py": b"a 1" * 900}
V2 = {"boot.py": b"boot 2", "main.py": b"main 2", "lib/a.py": b"a 2" * 1200, "x.txt": b"x"}
V3 = {**V2, "main.py": b"main 3", "lib/a.py": b"a 3" * 1200}


def blob(data):
    """Where a server has the content `data`."""
    name = hashlib.sha256(data).hexdigest()
    return f"blobs/{name[:2]}/{name}"


def sign(message, *signers):
    """The manifest `message` (bytes), with a line for the signature of each signer: ALG or (ALG, key)."""
    lines = b""
    for signer in signers:
        alg, key = (signer, None) if isinstance(signer, str) else signer
        lines += json.dumps({"sig": [entry(alg, message, key)]}, separators=(",", ":")).encode() + b"\n"
    return message + lines


class Publisher:
    """Makes the trees, {name: bytes}, of one project for boards with the verifier `kind`.

    `signers` sign when nothing else is said; the board knows the keys of `known`, by default those.
    """

    def __init__(self, folder, kind, signers=("RS256",), known=None, threshold=1, repository=None):
        self.kind, self.signers, self.threshold = kind, signers, threshold
        self._folder = folder / "publisher"
        self.keys = [board_key(a) if isinstance(a, str) else board_key(*a) for a in known or signers]
        self.repository = repository or Repository() if kind == "tuf" else None
        self.root = self.repository.files["1.root.json"].decode() if kind == "tuf" else ""

    def publish(self, files, seq, channel="stable", says_channel=False, **header):
        """A new release; gives what the server has then. With `says_channel` its header names the channel."""
        shutil.rmtree(self._folder, ignore_errors=True)
        message = release(self._folder, files, seq=seq, **{"version": f"v1.0.{seq}", **header})
        if says_channel:
            message = message.replace(b'{"ota":1,', b'{"ota":1,"channel":"%s",' % channel.encode(), 1)
        found = [p for p in self._folder.rglob("*") if p.is_file() and p.suffix != ".manifest"]
        contents = {p.relative_to(self._folder).as_posix(): p.read_bytes() for p in found}
        return {**contents, **self.manifest(message, channel)}

    def offer(self, message, files, channel="stable", **how):
        """As `publish`, of a manifest (bytes) of any form."""
        return {**{blob(data): data for data in files.values()}, **self.manifest(message, channel, **how)}

    def manifest(self, message, channel="stable", signers=None):
        name = channel + ".manifest"
        if self.kind == "signed":
            message = sign(message, *(self.signers if signers is None else signers))
        if self.kind != "tuf":
            return {name: message}
        self.repository.add_target(name, message)
        self.repository.publish("targets")
        return {name: message, **self.metadata()}

    def metadata(self):
        return {"tuf/" + name: data for name, data in self.repository.files.items()}


class Site:
    """A server of `trees`: {tree: {name: bytes, or a function that is called with the request's handler}}.

    `asked` lists the requests as `tree/name`; `over` is set at the end, for answers that wait.
    """

    def __init__(self, trees):
        self.trees, self.asked, self.heard, self.over = trees, [], [], threading.Event()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                tree, _, name = unquote(self.path[1:]).partition("/")
                site.asked.append(f"{tree}/{name}")
                site.heard.append((self.command, dict(self.headers)))
                found = site.trees(tree, name) if callable(site.trees) else site.trees.get(tree, {}).get(name)
                if callable(found):
                    self.over, self.close_connection = site.over, True
                    return found(self)
                etag = '"%s"' % hashlib.sha256(found or b"").hexdigest()[:16]
                same = found is not None and self.headers.get("If-None-Match") == etag
                self.send_response(404 if found is None else 304 if same else 200)
                if same:
                    return self.end_headers()
                self.send_header("ETag", etag)
                self.send_header("Content-Length", str(len(found or b"")))
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # boards hang up on what is bad

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def of(self, tree):
        """What was asked of a tree, in order."""
        return [name.partition("/")[2] for name in self.asked if name.startswith(tree + "/")]


def on_board(publisher, site, script, *args, heap="2M", **job):
    """Run `script` on a board that knows the site; gives what it told (dict)."""
    job = {
        "url": site.url, "kind": publisher.kind, "keys": publisher.keys, "threshold": publisher.threshold,
        "root": publisher.root, "fs": "lfs2", "blocks": 96, "timeout": 5, "retries": 0, "floor": 50,
        "grace_s": 20, "clock": None, "bad": [], "then": 1, **job,
    }  # fmt: skip
    return told_by("from attacked import *\n" + script, json.dumps(job), *args, heap=heap, timeout=240)


def siege(publisher, trees, bad=("bad",), end=V2, **job):
    """A board that has `v1` of the trees meets each of `bad`, and `v2`; gives what each attempt came to.

    Asserts what is the same for every attack: the live files stay, none waits to be installed, and
    the good release after it is installed whole (`end`, {path: bytes}). Each attempt is a dict: `said`
    (the error), `asked` (names, in order), `events`, `lost` (blocks of flash). `then` is how often `v2` is tried.
    """
    with Site(trees) as site:
        facts = on_board(publisher, site, "siege()", bad=list(bad), **job)
    assert facts["first"]["said"] == "no error", facts["first"]
    for name, one in zip(bad, facts["told"]):
        assert (one["live"], one["booted"], one["ready"]) == (True, True, False), (name, one)
        assert one["phase"] in ("idle", "staging"), (name, one)
        one["asked"] = site.of(name)
    assert facts["last"]["said"] == "no error", facts["last"]
    expected = {"mine.txt": b"mine", **({"root.json": publisher.root.encode()} if publisher.root else {}), **end}
    assert facts["end"] == {path: data.decode() for path, data in expected.items()}
    assert (facts["status"]["phase"], facts["left"]) == ("idle", 0)
    return facts["told"]

