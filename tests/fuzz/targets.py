"""The readers of every format, each as one function of any bytes. On CPython and on MicroPython.

A target takes an input (bytes) and says what became of it (str): the class of our error, or
`ok` with a mark of the result. It raises when the contract is broken: any other exception,
or a result that breaks a rule. Several objects in one input are parted by `CUT`.
"""

import json
import os
from binascii import crc32, hexlify
from hashlib import sha256
from io import BytesIO

from fuzz.fakes import Pieces, Shelf, Wire

from ota.errors import OtaError

CUT = b"\n=====\n"
LIMIT = 4096  # bytes of an object that the HTTP target takes
folder = "."  # where targets may write; who runs them sets it


def _put(name, data):
    path = folder + "/" + name
    with open(path, "wb") as f:
        f.write(data)
    return path


def _mark(*what):
    text = "".join([str(x) for x in what])
    try:
        return "ok " + hexlify(sha256(text.encode("utf-8")).digest()[:4]).decode()
    except ValueError:  # half a character, which is no error on MicroPython
        return "ok"


def _need(true, what):
    if not true:
        raise AssertionError(what)


def _said(work, *args):
    try:
        return work(*args)
    except OtaError as e:
        str(e)
        return type(e).__name__


def manifest(data):
    """A release manifest: what the line reader gives from a stream is what it gives from a file."""
    from ota.transports import Lines

    first = _said(_manifest, BytesIO(data).readline, data)
    second = _said(_manifest, Lines(Pieces(data), 1 + len(data) % 200).readline, data)
    _need(first == second, "from a stream %s, from a file %s" % (second, first))
    return first


def _manifest(readline, data):
    from ota.manifest import FILES, LINE, NUMBER, Reader
    from ota.policy import judge

    covered = []
    reader = Reader(readline, covered.append)
    last, size, files = "", 0, 0
    for entry in reader:
        path = entry["p"]
        _need(path > last and len(path.encode()) <= 128, "path %r" % path)
        _need(".." not in path.split("/") and path[0] != "/" and path[:5] != ".ota/", "path %r" % path)
        _need(0 <= entry["s"] <= NUMBER and len(reader.raw) <= LINE, "entry")
        last, size, files = path, size + entry["s"], files + 1
    whole = b"".join(covered)
    _need(data.startswith(whole) and sha256(whole).digest() == reader.digest, "digest")
    _need(files == reader.header["files"] <= FILES and size == reader.header["size"], "sums")
    try:
        why = judge(reader.header, {"floor": 1, "refused": 2}, "", "board", 1800000000)
    except OtaError as e:
        why = str(type(e))
    _need(isinstance(why, str), "judge")
    return _mark(hexlify(reader.digest), files, len(reader.signatures))


def difference(data):
    """A manifest and a difference from it: what comes out keeps every rule of a manifest, and is of their lines."""
    from ota.transports import Lines

    old, _, new = data.partition(CUT)
    first = _said(_difference, BytesIO(new).readline, old, new)
    second = _said(_difference, Lines(Pieces(new), 1 + len(new) % 200).readline, old, new)
    _need(first == second, "from a stream %s, from a file %s" % (second, first))
    return first


def _difference(readline, old, new):
    from ota.manifest import Reader
    from ota.merge import merge

    reader = Reader(readline)
    covered = [reader.raw]
    reader.readline = merge(reader.readline, BytesIO(old).readline)
    last = ""
    for entry in reader:
        _need(entry["p"] > last and reader.raw in (old if reader.raw in old else new), "line %r" % reader.raw)
        last = entry["p"]
        covered.append(reader.raw)
    whole = b"".join(covered)
    _need(len(whole) <= len(old) + len(new) and sha256(whole).digest() == reader.digest, "digest")
    crc = "%08x" % crc32(whole[len(covered[0]) :])
    _need(reader.header.get("crc", crc) == crc and len(covered) == reader.header["files"] + 1, "sums")
    return _mark(hexlify(reader.digest), len(reader.signatures))


def http(data):
    """What servers say, a part for each connection: a whole object, then the rest of another."""
    transport = Wire(data.split(CUT))
    said = []
    for name, start, etag in (("a", 0, None), ("b", 5, '"x"'), ("c", 0, True)):
        said.append(_said(_get, transport, name, start, etag))
    transport.close()
    transport.check()
    return " ".join(said)


def _get(transport, name, start, etag):
    # The last one asks with what the first one was told.
    stream = transport.open(name, start, transport.etag if etag is True else etag, limit=LIMIT)
    transport.etag = transport.etag or stream.etag
    buffer = memoryview(bytearray(100))
    got = []
    try:
        while True:
            n = stream.readinto(buffer)
            if not n:
                break
            got.append(bytes(buffer[:n]))
    finally:
        stream.close()
    size = sum([len(piece) for piece in got])
    _need(start + size <= LIMIT, "%d bytes from %d on" % (size, start))
    _need(stream.size is None or start + size == stream.size, "%d of %s bytes" % (size, stream.size))
    return _mark(hexlify(b"".join(got)))


def state(data):
    """The two records of the state and the first line of a manifest; `#` at the end: with the right CRC."""
    from ota.bootguard import MOVES, load, save

    try:
        os.mkdir(folder + "/.ota")
    except OSError:
        pass
    parts = data.split(CUT) + [b"", b""]
    for name, part in zip(("state", "state.new", "a"), parts):
        if part[-1:] == b"#":
            form = b'%s,"%08x"]' if part[:1] == b"[" else b'%s,"crc":"%08x"}'
            part = form % (part[:-1], crc32(part[:-1]))
        _put(".ota/" + name, part if name != "a" else part.split(b"\n")[0])
    found = load(folder)
    _need(found["n"] >= 0, "record")
    _need(found["phase"] in MOVES, "phase")
    if "damaged" not in found and len(data) < 512:
        told = dict(found)
        save(folder, told)
        again = load(folder)
        for key in ("n", "phase", "live", "next", "seq", "floor", "refused"):
            _need(repr(again[key]) == repr(told[key]), "%s was %r, is %r" % (key, told[key], again[key]))
    return _mark(found["n"], found["phase"], found["floor"], "damaged" in found)


def signature(data):
    """The file of keys, and a manifest with signatures; no file: the keys that signed the seeds."""
    keys, _, text = data.partition(CUT)
    if keys == b"seeds":
        with open(__file__.rsplit("/", 1)[0] + "/signed.json") as f:
            known = json.load(f)
        return _said(_signature, known["keys"], text, known["covered"])
    return _said(_signature, _put("keys", keys), text, None)


def _signature(keys, text, covered):
    from ota.manifest import Reader
    from ota.verifiers.signature import SignatureVerifier

    verifier = SignatureVerifier(keys)
    verifier.begin(None, "stable", {})
    reader = Reader(BytesIO(text).readline, verifier.update)
    files = len(list(reader))
    verifier.authenticate(reader.digest, reader.signatures, reader.header)
    # Nobody but the holder of the keys could sign it.
    _need(covered is None or hexlify(reader.digest).decode() in covered, "a forgery is taken")
    return _mark(hexlify(reader.digest), files)


def tuf_metadata(data):
    """One file of metadata, `0` to `3` before it says of which role; its own keys check it."""
    from ota.verifiers.tuf.metadata import TOP

    kind = TOP[(data[:1] or b"0")[0] % 4]
    return _said(_tuf_metadata, kind, data[1:])


def _tuf_metadata(kind, text):
    from ota.verifiers.tuf.metadata import Metadata, canonical

    found = Metadata(BytesIO(text), kind, kind)
    again = b"".join(canonical(found.signed))
    _need(sha256(again).digest() == found._digest, "digest")
    found.check_time("2026-01-01T00:00:00Z")
    if kind == "root":
        found.check_signed(found.signed["keys"], found.signed["roles"]["root"])
    elif kind == "targets":
        by = found.signed.get("delegations") or {"keys": {}}
        for role in by.get("roles") or ():
            found.check_signed(by["keys"], role)
    return _mark(found.version)


def tuf_client(data):
    """A whole repository whose signatures all hold: root, timestamp, snapshot, targets, role, next root."""
    from ota.verifiers.tuf import keys

    held, keys.holds = keys.holds, _holds
    try:
        return _said(_tuf_client, data.split(CUT))
    finally:
        keys.holds = held


def _holds(key, *rest):
    # Of a key that is one; another's signature does not hold.
    try:
        return isinstance(key["keyval"]["public"], str)
    except (KeyError, TypeError):
        return False


def _tuf_client(parts):
    from ota.verifiers.tuf.client import Client
    from ota.verifiers.tuf.files import Files

    def find(name):
        name = name.rsplit("/", 1)[-1][:-5]
        if name == "2.root":
            at = 5
        else:
            at = {"timestamp": 1, "snapshot": 2, "targets": 3, "root": 9}.get(name.lstrip("0123456789."), 4)
        return parts[at] if at < len(parts) else None

    here = folder + "/tuf"
    try:
        for name in os.listdir(here):
            os.remove(here + "/" + name)
    except OSError:
        pass  # it is not there yet
    files = Files(Shelf(find), here)
    files.start(_put("first.json", parts[0]))
    client = Client(files, "2026-01-01T00:00:00Z")
    client.refresh()
    found = client.find("a/stable.manifest")
    _need(type(found["length"]) is int, "length")
    return _mark(found["length"])


def tuf_key(data):
    """A key and a signature: its kind, what is public of it, and the signature, a part each."""
    from ota.verifiers.tuf.keys import holds

    parts = data.split(CUT) + [b"", b""]
    try:
        public = str(parts[1], "utf-8")
        sig = str(parts[2], "utf-8")
    except ValueError:
        return "no text"
    scheme = ("ecdsa-sha2-nistp256", "rsassa-pss-sha256", "rsa-pkcs1v15-sha256", "ed25519")[len(parts[0]) % 4]
    key = {"keytype": scheme.split("-")[0].replace("rsassa", "rsa"), "scheme": scheme}
    key["keyval"] = {"public": public}
    told = holds(key, sig, sha256(b"").digest(), lambda: [b""])
    _need(told in (True, False), "%r" % told)
    return "ok %s" % bool(told)


def tuf_paths(data):
    """A pattern and a path: it matches as a plain search over all ways does."""
    from ota.verifiers.tuf.paths import matches

    pattern, _, path = data.partition(b"\n")
    try:
        pattern, path = str(pattern, "utf-8"), str(path, "utf-8")
    except ValueError:
        return "no text"
    told = matches(pattern, path)
    if len(pattern) <= 64 and len(path) <= 64:
        _need(told == _ways(pattern, path), "matches(%r, %r) is %r" % (pattern, path, told))
    return "ok %s" % told


def _ways(pattern, path):
    # All places in the pattern that the path may have come to, a character at a time.
    places = {0}
    for c in list(path) + [None]:
        for i in sorted(places):
            while pattern[i : i + 1] == "*":
                i += 1
                places.add(i)
        if c is None:
            return len(pattern) in places
        stay = {i for i in places if pattern[i : i + 1] == "*" and c != "/"}
        go = {i + 1 for i in places if pattern[i : i + 1] == c and c != "*" or pattern[i : i + 1] == "?" and c != "/"}
        places = stay | go


def delta(data):
    """What an update unpacks: `p` for a patch of an old content or `z`, the old one, the packed one.

    A `P` or `Z` packs it first, so that what is inside can be anything.
    """
    from ota.patch import Inflater, patched, whole

    old, _, packed = data[1:].partition(CUT)
    if data[:1] in (b"P", b"Z"):
        packed = _stored(packed)
    size = len(old) if data[:1] in (b"p", b"P") else 3000
    buffer = memoryview(bytearray(512))
    source = Inflater(Pieces(packed))
    if data[:1] in (b"p", b"P"):
        pieces = patched(BytesIO(old), source, size, buffer)
    else:
        pieces = whole(source, size, buffer)
    return _said(_unpacked, pieces, size)


def _unpacked(pieces, size):
    got = []
    for piece in pieces:
        got.append(bytes(piece))
        _need(sum([len(p) for p in got]) <= size, "over %d bytes" % size)
    _need(sum([len(p) for p in got]) == size, "not %d bytes" % size)
    return _mark(hexlify(b"".join(got)))


def _stored(data):
    # A zlib stream with a window of 4 KB, without compression: MicroPython may lack a compressor.
    a, b = 1, 0
    for c in data:
        a = (a + c) % 65521
        b = (b + a) % 65521
    n = len(data)
    head = b"\x48\x89\x01" + n.to_bytes(2, "little") + (n ^ 0xFFFF).to_bytes(2, "little")
    return head + data + (b << 16 | a).to_bytes(4, "big")


def config(data):
    """ota.toml; on the host only."""
    from ota_host.config import Config, read
    from ota_host.errors import HostError

    try:
        found = read(_put("ota.toml", data))
    except HostError as e:
        str(e)
        return type(e).__name__
    _need(isinstance(found, Config) and found.project and 1 <= found.threshold <= 8, "config")
    return _mark(found.project, found.expires)


TARGETS = {
    "manifest": manifest,
    "difference": difference,
    "http": http,
    "state": state,
    "signature": signature,
    "tuf_metadata": tuf_metadata,
    "tuf_client": tuf_client,
    "tuf_key": tuf_key,
    "tuf_paths": tuf_paths,
    "delta": delta,
    "config": config,
}
HOST = ("config",)  # what MicroPython never reads


def loaded():
    """Import all that the targets import when they need it, so that a fuzzer can instrument it."""
    for name in _USED:
        __import__(name)


_USED = (
    "ota.manifest ota.merge ota.policy ota.bootguard ota.transports.http ota.verifiers.signature ota.verifiers.rs256"
    " ota.verifiers.es256 ota.verifiers.hs256 ota.verifiers.ps256 ota.verifiers.ed25519 ota.verifiers.tuf.client"
    " ota.verifiers.tuf.files ota.verifiers.tuf.keys ota.verifiers.tuf.paths ota.patch ota_host.config"
).split()
