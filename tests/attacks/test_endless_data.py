"""Endless data: more than was announced, or than can be."""

import itertools
import json

import pytest

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


MANY = {f"lib/f{i:02}.py": b"%d" % i for i in range(60)}


@pytest.mark.xfail(strict=True, reason="a manifest that failed keeps the flash that it took")
@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_that_failed_takes_no_flash_from_the_application_nor_from_the_next_one(tmp_path, kind):
    """The one after it is longer than a block of the flash."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(MANY, 2)}
    assert len(trees["v2"]["stable.manifest"]) > 4096
    trees["bad"] = {**trees["v2"], "stable.manifest": endless(endless_manifest)}
    (one,) = siege(publisher, trees, end={**MANY, "boot.py": V1["boot.py"]})
    assert one["lost"] <= 1, "blocks: the state record and no more"
