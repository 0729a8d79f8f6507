"""A TUF repository that is edited as an object, made with python-tuf, and a server of what it holds."""

import datetime
import functools
import hashlib
import http.server
import threading
from urllib.parse import quote, unquote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

TOP = ("root", "timestamp", "snapshot", "targets")


@functools.cache
def signer(scheme, number):
    """A key of a scheme: `ecdsa`, `rsa` or `ed25519`; made once."""
    return getattr(CryptoSigner, "generate_" + scheme)()


def days(n):
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=n)


class Repository:
    """`roles` {name: signed part}, `signers` {name: list}; `write()` signs them into `files` {name: bytes}.

    `asked` lists the requests. What `lies` {name: bytes or None} says is served instead of a file.
    """

    def __init__(self, scheme="ecdsa", consistent=True):
        self._scheme, self._made = scheme, 0
        self.roles = {name: kind(expires=days(30)) for name, kind in zip(TOP, (Root, Timestamp, Snapshot, Targets))}
        self.root.consistent_snapshot = consistent
        self.signers = {name: [] for name in TOP}
        self.files, self.lies, self.asked, self.contents = {}, {}, [], {}
        for name in TOP:
            self.add_key(name)
        self.write_root()
        self.write()

    def __getattr__(self, name):
        if name in TOP:
            return self.roles[name]
        raise AttributeError(name)

    def new_signer(self, scheme=None):
        self._made += 1
        return signer(scheme or self._scheme, self._made)

    def add_key(self, name, by=None, scheme=None):
        """Give the role `name` one more key, listed by the role `by` (default: the root)."""
        new = self.new_signer(scheme)
        self.signers[name].append(new)
        if by:
            self.roles[by].add_key(new.public_key, name)
        else:
            self.root.add_key(new.public_key, name)
        return new

    def revoke(self, name):
        """Take the first key of a role of the root away."""
        old = self.signers[name].pop(0)
        self.root.revoke_key(old.public_key.keyid, name)
        return old

    def delegate(self, by, name, terminating=False, threshold=1, **to):
        """Delegate from the role `by` to the new role `name`; `to` is `paths` or `path_hash_prefixes`."""
        parent = self.roles[by]
        parent.delegations = parent.delegations or Delegations({}, {})
        role = DelegatedRole(name, [], threshold, terminating, **to)
        parent.delegations.roles[name] = role
        if name not in self.roles:
            self.roles[name] = Targets(expires=days(30))
            self.signers[name] = []
            self.add_key(name, by)
        else:
            parent.add_key(self.signers[name][0].public_key, name)

    def add_target(self, path, data, by="targets"):
        self.roles[by].targets[path] = TargetFile.from_data(path, data, ["sha256"])
        self.contents[path] = data

    def signed(self, name, signers=None):
        """The bytes of a role's file."""
        whole = Metadata(self.roles[name])
        for one in self.signers[name] if signers is None else signers:
            whole.sign(one, append=True)
        return whole.to_bytes(JSONSerializer(compact=False))

    def write_root(self, signers=None):
        """Write the root; afterwards `root.version += 1` and write again for the next."""
        self.files[f"{self.root.version}.root.json"] = self.signed("root", signers)

    def next_root(self, signers=None):
        old = list(self.signers["root"])
        self.root.version += 1
        self.write_root(signers if signers is not None else old)

    def write(self, hashes=True):
        """Sign and write targets, delegated targets, snapshot and timestamp as they are."""
        for name in self.roles:
            if name not in ("root", "snapshot", "timestamp"):
                self._write(name, self.snapshot.meta, hashes)
        self._write("snapshot", None, hashes)
        data = self.files[self._name("snapshot")]
        self.timestamp.snapshot_meta = _meta(self.snapshot.version, data, hashes)
        self.files["timestamp.json"] = self.signed("timestamp")

    def _name(self, name):
        version = f"{self.roles[name].version}." if self.root.consistent_snapshot else ""
        return f"{version}{name}.json"

    def _write(self, name, meta, hashes):
        data = self.files[self._name(name)] = self.signed(name)
        if meta is not None:
            meta[name + ".json"] = _meta(self.roles[name].version, data, hashes)

    def publish(self, *names, hashes=True):
        """A new version of the roles `names`, of the snapshot and of the timestamp."""
        for name in {*names, "snapshot", "timestamp"}:
            self.roles[name].version += 1
        self.write(hashes)

    def answer(self, path):
        """The bytes of a request's path (percent-decoded), None for a 404."""
        self.asked.append(path)
        if path in self.lies:
            return self.lies[path]
        kind, _, name = path.partition("/")
        if kind == "metadata":
            return self.files.get(name)
        folder, _, last = name.rpartition("/")
        if self.root.consistent_snapshot:
            digest, _, last = last.partition(".")
        data = self.contents.get(f"{folder}/{last}" if folder else last)
        if data is not None and self.root.consistent_snapshot and hashlib.sha256(data).hexdigest() != digest:
            return None
        return data


def _meta(version, data, hashes):
    if not hashes:
        return MetaFile(version)
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


class serve:
    """Serve a Repository: `with serve(repository) as url`."""

    def __init__(self, repository):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                data = repository.answer(unquote(self.path[1:]))
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()


__all__ = ["Repository", "days", "quote", "serve"]
