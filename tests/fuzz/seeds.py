"""Sound inputs of every target, made from real objects: `python tests/fuzz --seeds` writes them anew."""

import base64
import hashlib
import hmac
import json
import zlib
from binascii import crc32

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CUT = b"\n=====\n"
HASH = "ab" * 32


def line(obj):
    return json.dumps(obj, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def lines(files, *last, **header):
    """A manifest of `files` {path: further keys} as bytes."""
    head = {"ota": 1, "project": "sample", "version": "v1.0.1", "seq": 7, "files": len(files), "size": 3 * len(files)}
    rows = [{"p": path, "s": 3, "h": HASH, **more} for path, more in sorted(files.items())]
    return b"".join(map(line, [{**head, **header}, *rows, *last]))


def manifests():
    requires = {"platform": ["rp2", "linux", "darwin"], "mpy": 6}
    yield "empty", lines({})
    yield "small", lines({"main.py": {}, "lib/é.py": {"z": 2, "c": 1, "d": {"0f" * 8: 1}}}, {"sig": []})
    yield "terms", lines({"a": {}}, expires=1900000000, time=1, requires=requires, rollout={"percent": 25.5, "salt": "x"})
    yield "signed", lines({"a": {}, "a/b": {}}, {"sig": [{"key": "k", "alg": "RS256", "sig": "AA=="}]}, {"sig": [{}]})


def differences():
    """The manifest that a board has, and what makes a newer one of it."""
    old = lines({"a": {}, "lib/b.py": {"z": 1}, "lib/c.py": {}, "main.py": {}})
    rows = {"a": {"c": 1}, "lib/c.py": {}, "lib/é.py": {}, "main.py": {}}
    new = lines(rows).split(b"\n", 1)[1]
    head = lines(rows, seq=8, crc="%08x" % crc32(new)).split(b"\n")[0] + b"\n"
    had = set(old.splitlines(True))
    sent = sorted([x for x in new.splitlines(True) if x not in had] + [line({"p": "lib/b.py"})])
    yield "changed", old + CUT + head + b"".join(sent)
    yield "signed", old + CUT + head + b"".join(sent) + line({"sig": [{"key": "k", "alg": "RS256", "sig": "AA=="}]})
    yield "none", old + CUT + old
    yield "all", lines({}) + CUT + lines(rows)


def answer(body, *headers, status="200 OK"):
    return "\r\n".join(["HTTP/1.1 " + status, *headers, "", ""]).encode() + body


def answers():
    length = "Content-Length: 5"
    ranged = answer(b"x", "Content-Range: bytes 5-5/6", "Content-Length: 1", 'ETag: "x"', status="206 Partial Content")
    chunked = answer(b"3;x=y\r\nabc\r\n3\r\ndef\r\n0\r\nt: v\r\n\r\n", "Transfer-Encoding: chunked", 'ETag: "x"')
    unchanged = answer(b"", status="304 Not Modified")
    yield "kept", answer(b"hello", length, 'ETag: "x"') + ranged + unchanged
    yield "closed", CUT.join([answer(b"hello", "Connection: close", 'ETag: "y"'), answer(b"hello6", 'etag: "x"'), unchanged])
    yield "chunked", chunked + chunked + chunked
    moved = answer(b"12345", length, "Location: /p/z", status="301 Moved")
    away = answer(b"", "Content-Length: 0", "Location: http://other.test:8080/x?y#z", status="302 Found")
    yield "moved", moved + away + CUT + answer(b"hello", length)
    early = answer(b"", status="100 Continue")
    yield "early", early + early + answer(b"no", "Content-Length: 2", status="404 Not Found") + answer(b"", status="500 No")


def record(obj):
    text = json.dumps(obj)[:-1].encode()
    return b'%s,"crc":"%08x"}' % (text, crc32(text))


def states():
    idle = {"n": 4, "phase": "idle", "live": "a", "next": "", "etag": "stable \"x\"", "boots": 0, "trial": 3, "seq": 7}
    idle.update(floor=7, refused=0, fails=0, format=2)
    trial = dict(idle, n=5, phase="trial", next="b", sums={"a": 1, "b": 2})
    row = ["idle", 4, 7, "a", "", 7, 0, 0, 0, 3, 0, 0, 'stable "x"', {"bare": 1}]
    listed = json.dumps(row)[:-1].encode()
    yield "row", b'%s,"%08x"]' % (listed, crc32(listed))
    yield "row-mended", listed + b"#" + CUT + record(idle)
    yield "one", record(idle)
    yield "two", record(idle) + CUT + record(trial)
    yield "mended", json.dumps(trial)[:-1].encode() + b"#"
    yield "damaged", record(idle)[:-9] + CUT + b"{}" + CUT + lines({})


def signatures():
    """The keys (text), the SHA-256 (hex) of what they signed, and the inputs."""
    text = lines({"main.py": {}})
    first, second = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    secret = hashlib.sha256(b"seeds").digest()
    n = first.public_key().public_numbers().n.to_bytes(256, "big")
    point = second.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)[1:]
    r, s = decode_dss_signature(second.sign(text, ec.ECDSA(hashes.SHA256())))
    made = [
        ("RS256", n, first.sign(text, padding.PKCS1v15(), hashes.SHA256())),
        ("ES256", point, r.to_bytes(32, "big") + s.to_bytes(32, "big")),
        ("HS256", secret, hmac.digest(secret, text, "sha256")),
    ]
    keys, inputs = [], []
    for alg, key, sig in made:
        name = hashlib.sha256(alg.encode() + key).hexdigest()[:16]
        keys.append("%s:%s" % (alg, base64.b64encode(key).decode()))
        said = text + line({"sig": [{"key": name, "alg": alg, "sig": base64.b64encode(sig).decode()}]})
        inputs.append((alg, b"seeds" + CUT + said))
        inputs.append(("file-" + alg, keys[-1].encode() + b"\n" + CUT + said))
    return keys, [hashlib.sha256(text).hexdigest()], inputs


def public(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def signers():
    """For each scheme: its name, the public text, and what signs."""
    curve, big, small = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
    sha, raw = hashes.SHA256(), serialization.Encoding.Raw
    yield "ecdsa-sha2-nistp256", public(curve), lambda m: curve.sign(m, ec.ECDSA(sha))
    yield "rsassa-pss-sha256", public(big), lambda m: big.sign(m, padding.PSS(padding.MGF1(sha), 32), sha)
    yield "rsa-pkcs1v15-sha256", public(big), lambda m: big.sign(m, padding.PKCS1v15(), sha)
    yield "ed25519", small.public_key().public_bytes(raw, serialization.PublicFormat.Raw).hex(), small.sign


def tuf_keys():
    for number, (scheme, text, sign) in enumerate(signers()):
        yield scheme, b"\n".join([b"k" * number]) + CUT + text.encode() + CUT + sign(b"").hex().encode()


def signed(kind, sign, version=1, **more):
    from ota.verifiers.tuf.metadata import canonical

    part = {"_type": kind, "spec_version": "1.0.34", "version": version, "expires": "2099-01-01T00:00:00Z", **more}
    sigs = [{"keyid": "k", "sig": sign(b"".join(canonical(part))).hex()}]
    return line({"signatures": sigs, "signed": part})[:-1]


def tuf_repository():
    """The metadata of a small repository, {role: bytes}; `ed25519` signs all of it."""
    scheme, text, sign = list(signers())[3]
    keys = {"k": {"keytype": "ed25519", "scheme": scheme, "keyval": {"public": text}}}
    role = {"keyids": ["k"], "threshold": 1}
    roles = dict.fromkeys(("root", "timestamp", "snapshot", "targets"), role)
    target = {"length": 5, "hashes": {"sha256": HASH}}
    deep = {"name": "deep", "terminating": False, "paths": ["a/*.manifest"], **role}
    bins = {"name": "bins", "terminating": True, "path_hash_prefixes": list("0123456789abcdef"), **role}
    parts = {
        "root": signed("root", sign, keys=keys, roles=roles, consistent_snapshot=True),
        "targets": signed("targets", sign, targets={"x": target}, delegations={"keys": keys, "roles": [deep, bins]}),
        "deep": signed("targets", sign, targets={"a/stable.manifest": target}),
        "next": signed("root", sign, 2, keys=keys, roles=roles, consistent_snapshot=False),
    }
    meta = {"targets.json": {"version": 1}, "deep.json": {"version": 1}, "bins.json": {"version": 1}}
    parts["snapshot"] = signed("snapshot", sign, meta=meta)
    entry = {"version": 1, "length": len(parts["snapshot"]), "hashes": {"sha256": hashlib.sha256(parts["snapshot"]).hexdigest()}}
    parts["timestamp"] = signed("timestamp", sign, meta={"snapshot.json": entry})
    return parts


CONFIG = b"""# comment
project = "sample"
source = "src"
include = ["*"]
exclude = ["*.md", 'x']
destination = "public"
channel = "stable"
legacy = "prefix"
compile = true
version = "v1.0.0"
platform = ["rp2"]
expires = 30
key = ["a.pem"]
keys = ["RS256:AA"]
threshold = 2
"""


def deltas():
    """Of a size like the old content, as the target expects; the packed ones are a publisher's."""
    old = b"def f(x):\n    return x + 1\n" * 8
    new = old.replace(b"+ 1", b"- 2")
    control = b"".join(adds_and_new(old, new))
    yield "patch", b"p" + old + CUT + packed(control)
    yield "patch-open", b"P" + old + CUT + control
    yield "whole", b"z" + CUT + packed(old * 20)[:-4] + b"\0\0\0\0"
    yield "whole-right", b"z" + CUT + packed((old * 20)[:3000])


def packed(data):
    deflate = zlib.compressobj(9, zlib.DEFLATED, 12)
    return deflate.compress(data) + deflate.flush()


def number(n):
    found = bytearray([(abs(n) & 63) | (64 if n < 0 else 0)])
    n = abs(n) >> 6
    while n:
        found[-1] |= 128
        found.append(n & 127)
        n >>= 7
    return bytes(found)


def adds_and_new(old, new):
    # The first half by differences; then new bytes after a step back.
    half = len(new) // 2
    yield number(0) + number(len(new)) + number(0)
    yield number(half) + bytes((b - a) & 255 for a, b in zip(old, new[:half])) + number(4) + new[half : half + 4] + number(4)
    rest = len(new) - half - 4
    yield number(rest) + bytes((b - a) & 255 for a, b in zip(old[half + 4 :], new[half + 4 :])) + number(0) + number(0)


def seeds():
    """Every sound input {target: {name: bytes}}, and what tests/fuzz/signed.json holds."""
    keys, covered, inputs = signatures()
    repository = tuf_repository()
    order = ("root", "timestamp", "snapshot", "targets", "deep")
    metadata = {kind: b"%d" % i + repository[kind] for i, kind in enumerate(("root", "timestamp", "snapshot", "targets"))}
    found = {
        "manifest": dict(manifests()),
        "difference": dict(differences()),
        "http": dict(answers()),
        "state": dict(states()),
        "signature": dict(inputs),
        "tuf_metadata": metadata,
        "tuf_client": {"delegated": CUT.join(repository[kind] for kind in order)},
        "tuf_key": dict(tuf_keys()),
        "tuf_paths": {"plain": b"a/b\na/b", "stars": b"a/*-?.py\na/b-c.py", "many": b"*a*b*c*/?\nxaybzc/d"},
        "delta": dict(deltas()),
        "config": {"all": CONFIG, "least": b'project = "a"\n'},
    }
    found["tuf_client"]["new-root"] = CUT.join(repository[kind] for kind in (*order, "next"))
    return found, {"keys": keys, "covered": covered}
