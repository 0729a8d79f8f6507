"""Endless data: more than was announced, or than can be."""

import hashlib
import itertools
import json
import random
import zlib

import pytest
from support import packed
from test_packed import numbers

from .scene import KINDS, V1, V2, Publisher, blob, siege

MIB = 1 << 20


def endless(rows, length=None):
    """An answer that never ends; `rows` are bytes to send, again and again the last of them."""

    def send(request):
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
        head += b"Content-Length: %d\r\n" % length if length else b""
        request.wfile.write(head + b"\r\n")
        for row in rows() if callable(rows) else itertools.repeat(rows):
            if request.over.is_set():
                return
            request.wfile.write(row)

    return send


def endless_manifest():
    """Lines that are right, one by one, as many as the header says: the most that there may be."""
    header = {"ota": 1, "project": "sample", "version": "v9", "seq": 9, "files": 10000, "size": 0}
    yield json.dumps(header).encode() + b"\n"
    while True:
        for i in range(10000):
            entry = {"p": "f%05d" % i, "s": 0, "h": "0" * 64, "x": "x" * 850}
            yield json.dumps(entry).encode() + b"\n"


@pytest.mark.parametrize("length", [None, 1 << 30], ids=["untold", "told"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_never_ends_is_stopped_at_the_length_of_the_manifest(tmp_path, kind, length):
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    trees["bad"] = {**trees["v2"], blob(V2["lib/a.py"]): endless(bytes(1000), length)}
    (one,) = siege(publisher, trees)
    size = len(V2["lib/a.py"])
    if length:
        assert one["said"] == f"TransportError: {blob(V2['lib/a.py'])} is {length} bytes, the limit is {size}"
    else:
        assert one["said"] == f"TransportError: {blob(V2['lib/a.py'])} is longer than the limit of {size} bytes"


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_that_never_ends_is_stopped_at_a_line_at_its_count_or_at_the_flash(tmp_path, kind):
    """A line without an end, a page of good lines without an end, and a length beyond all flash."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    trees["line"] = {**trees["v2"], "stable.manifest": endless(b"x" * 1000)}
    trees["lines"] = {**trees["v2"], "stable.manifest": endless(endless_manifest)}
    trees["told"] = {**trees["v2"], "stable.manifest": endless(endless_manifest, 1 << 30)}
    told = siege(publisher, trees, ["line", "lines", "told"], blocks=64)
    assert told[0]["said"] == "ManifestError: manifest: line 1: is over 1024 bytes"
    assert "limit of " in told[1]["said"] or told[1]["said"].startswith("NoSpaceError: "), told[1]["said"]
    assert told[2]["said"].startswith("TransportError: stable.manifest is 1073741824 bytes, the limit is "), told[2]["said"]
    assert not [name for one in told for name in one["asked"] if name.startswith("blobs/")]


@pytest.mark.parametrize("length", [None, 1 << 30], ids=["untold", "told"])
def test_metadata_of_tuf_that_never_ends_is_stopped_at_its_limit(tmp_path, length):
    """Timestamp and root by a constant, snapshot and targets by the length that was signed."""
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    names = ["2.root.json", "timestamp.json", "3.snapshot.json", "3.targets.json"]
    for name in names:
        trees[name] = {**trees["v2"], "tuf/" + name: endless(b" " * 1000, length)}
    sizes = [131072, 16384] + [len(trees["v2"]["tuf/" + name]) for name in names[2:]]
    for name, size, one in zip(names, sizes, siege(publisher, trees, names)):
        told = f"is {length} bytes, the limit is {size}" if length else f"is longer than the limit of {size} bytes"
        assert one["said"] == f"TransportError: tuf/{name} {told}"
        assert one["lost"] <= 3, "blocks: what was trusted on the way, and no more"


MANY = {f"lib/f{i:02}.py": b"%d" % i for i in range(60)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_that_failed_takes_no_flash_from_the_application_nor_from_the_next_one(tmp_path, kind):
    """The one after it is longer than a block of the flash."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(MANY, 2)}
    assert len(trees["v2"]["stable.manifest"]) > 4096
    trees["bad"] = {**trees["v2"], "stable.manifest": endless(endless_manifest)}
    (one,) = siege(publisher, trees, end={**MANY, "boot.py": V1["boot.py"]})
    assert one["lost"] <= 1, "blocks: the state record and no more"


OLD = {**V1, "lib/a.py": random.Random(1).randbytes(4000).hex().encode()}
NEW = {**V2, "lib/a.py": random.Random(2).randbytes(4000).hex().encode()}
SIZE = len(NEW["lib/a.py"])
UNPACKED = {
    "a bomb": packed(bytes(4 << 20)),  # more than there is heap
    "a delta that claims 4 GB": packed(numbers(0, 0xFFFFFFFF, 0) + bytes(999)),
    "a delta with a part of 4 GB": packed(numbers(0, SIZE, 0, 0xFFFFFFFF) + bytes(999)),
    "a delta that makes too much": packed(numbers(0, SIZE, 0) + numbers(0, 100) + bytes(100) + numbers(0) + numbers(0, SIZE)),
    "a delta that leaves its base at the start": packed(numbers(0, SIZE, 0, 1) + b"x" + numbers(0, -5000, SIZE - 1) + bytes(SIZE)),
    "a delta that leaves its base at the end": packed(numbers(0, SIZE, 0, 1) + b"x" + numbers(0, 1 << 31, SIZE - 1) + bytes(SIZE)),
    "a number without an end": packed(numbers(0, SIZE, 0) + b"\xff" * 4000),
    "a window of 32 KB": zlib.compress(bytes(4 << 20)),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_zlib_bomb_or_a_delta_that_claims_4_gb_is_given_up_and_the_whole_file_is_fetched(tmp_path, kind):
    """In the place of the zlib stream and of the delta; where the whole file is wrong too, nothing is installed."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(OLD, 1)}
    v2 = trees["v2"] = publisher.publish(NEW, 2, before=OLD)
    old, new = (hashlib.sha256(files["lib/a.py"]).hexdigest()[:16] for files in (OLD, NEW))
    patch, stream = f"deltas/{old}-{new}", blob(NEW["lib/a.py"]) + ".z"
    assert 4100 < len(v2[stream]) < len(v2[patch]) < SIZE
    bad, ways = {}, [stream, patch, blob(NEW["lib/a.py"])]
    for name, data in UNPACKED.items():
        assert len(data) <= len(v2[stream]), name
        bad[f"bad{len(bad)}"] = {**v2, patch: data, stream: data, blob(NEW["lib/a.py"]): b"x" * SIZE}
    told = siege(publisher, {**trees, **bad}, bad, end=NEW, blocks=96)
    for name, one in zip(UNPACKED, told):
        assert one["said"].startswith("HashError: lib/a.py: sha256 is "), (name, one)
        assert one["events"].count("fallback") == 2, name
        assert [asked for asked in one["asked"] if asked in ways] == ways, name
