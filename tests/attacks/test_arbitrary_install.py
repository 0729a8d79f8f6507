"""Arbitrary installation: content that the publisher never made."""

import base64
import hashlib
import json

import pytest
from support import release
from test_signature import keys

from .scene import KINDS, V1, V2, V3, Publisher, Site, blob, on_board, sign, siege

FLIP = """
power_up_with_root()
install("v1")
before = live()
told = {}
for i in json.loads(ARGS[1]):
    one = attempt("flip/%d" % i)
    kind = one["said"].split(":")[0]
    if one["ready"] or kind == "no error" or one["fetched"] or live() != before:
        told["flip of byte %d" % i] = one
    else:
        told[kind] = told.get(kind, 0) + 1
    del ramflash._files[:]
last = install("v2")
tell(told=told, last=last["said"], end=live()["main.py"])
"""


def flipped(data, i):
    """`data` with one bit of its byte `i` turned, another bit from byte to byte."""
    return data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1 :]


def means_the_same(good, bad):
    """Whether only those bits of a base64 text differ that it does not use."""
    try:
        one, other = good.splitlines(keepends=True), bad.splitlines(keepends=True)
        old, new = json.loads(one.pop())["sig"][0], json.loads(other.pop())["sig"][0]
        return one == other and base64.b64decode(old.pop("sig")) == base64.b64decode(new.pop("sig")) and old == new
    except (ValueError, KeyError):
        return False


@pytest.mark.parametrize("kind", ["signed", "tuf"])
def test_a_manifest_with_any_one_byte_flipped_installs_nothing_and_asks_for_no_file(tmp_path, kind):
    """Each byte in turn, of what is signed and of the signature."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish({"main.py": b"main 1"}, 1), "v2": publisher.publish({"main.py": b"main 2"}, 2)}
    good = trees["v2"]["stable.manifest"]
    turns = [i for i in range(len(good)) if kind == "tuf" or not means_the_same(good, flipped(good, i))]
    assert len(turns) >= len(good) - 1

    def at(tree, name):
        if tree != "flip":
            return trees[tree].get(name)
        i, _, name = name.partition("/")
        return flipped(good, int(i)) if name == "stable.manifest" else trees["v2"].get(name)

    with Site(at) as site:
        facts = on_board(publisher, site, FLIP, json.dumps(turns))
        assert not [name for name in site.asked if name.startswith("flip/") and "blobs/" in name]
    refused = facts["told"]
    assert set(refused) <= {"ManifestError", "SignatureError", "PolicyError", "TransportError"}, refused
    assert sum(refused.values()) == len(turns)
    assert refused["SignatureError"] > len(good) // 8
    assert (facts["last"], facts["end"]) == ("no error", "main 2")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_a_flipped_byte_is_refused_by_its_hash(tmp_path, kind):
    """The first byte, one in the middle, the last; and a file cut short or longer."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1)}
    v2 = trees["v2"] = publisher.publish(V2, 2)
    name, data = blob(V2["main.py"]), V2["main.py"]
    for i in (0, 3, len(data) - 1):
        trees[f"flip{i}"] = {**v2, name: flipped(data, i)}
    trees["short"] = {**v2, name: data[:-1]}
    trees["long"] = {**v2, name: data + b"x"}
    trees["empty"] = {**v2, name: b""}
    bad = [tree for tree in trees if tree not in ("v1", "v2")]
    told = siege(publisher, trees, bad)
    for one in told[:3]:
        assert one["said"].startswith("HashError: main.py: sha256 is "), one["said"]
        assert f"the manifest says {hashlib.sha256(data).hexdigest()}" in one["said"]
    assert told[3]["said"] == f"HashError: {name} is {len(data) - 1} bytes, not {len(data)}"
    assert told[4]["said"] == f"TransportError: {name} is {len(data) + 1} bytes, the limit is {len(data)}"
    assert told[5]["said"] == f"HashError: {name} is 0 bytes, not {len(data)}"


def forgeries(publisher, folder):
    """Manifests of v3 whose signature is not what it should be: {name: bytes}."""
    message = release(folder, V3, version="v1.0.3", seq=3)
    other = release(folder, V3, version="v1.0.3", seq=3, project="other")
    theirs = sign(other, "RS256").splitlines(keepends=True)[-1]
    line = json.loads(sign(message, "RS256").splitlines()[-1])
    line["sig"][0]["sig"] = base64.b64encode(bytes(256)).decode()
    return {
        "unsigned": message,
        "of another key": sign(message, ("RS256", keys()["other"])),
        "of another release": message + theirs,
        "of zeros": message + json.dumps(line).replace(": ", ":").encode() + b"\n",
        "of no algorithm": sign(message, "RS256").replace(b'"alg":"RS256"', b'"alg":"none"'),
    }


def test_a_manifest_without_the_right_signature_is_refused_before_any_file(tmp_path):
    """Unsigned, by a stranger, with the signature of something else, with one that says `none`."""
    publisher = Publisher(tmp_path, "signed")
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    files = {blob(data): data for data in V3.values()}
    bad = forgeries(publisher, tmp_path / "forger")
    trees.update({f"bad{i}": {**files, "stable.manifest": text} for i, text in enumerate(bad.values())})
    for name, one in zip(bad, siege(publisher, trees, [f"bad{i}" for i in range(len(bad))])):
        assert one["said"] == "SignatureError: 0 of 1 signatures hold for v1.0.3", name
        assert one["asked"] == ["stable.manifest"]


def test_a_manifest_that_tuf_does_not_name_is_refused_before_any_file(tmp_path):
    """Another text, the text with signatures of its own, and none at all."""
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1)}
    v2 = trees["v2"] = publisher.publish(V2, 2)
    forged = release(tmp_path / "forger", V3, version="v1.0.2", seq=2)
    trees["other"] = {**v2, "stable.manifest": forged, **{blob(data): data for data in V3.values()}}
    trees["signed"] = {**v2, "stable.manifest": sign(v2["stable.manifest"], "RS256")}
    told = siege(publisher, trees, ["other", "signed"])
    assert told[0]["said"].startswith("SignatureError: manifest v1.0.2: "), told[0]["said"]
    assert "; the target is " in told[0]["said"]
    assert told[1]["said"] == "SignatureError: manifest v1.0.2: TUF signs it, so it carries no signatures"
    assert not [name for one in told for name in one["asked"] if name.startswith("blobs/")]
