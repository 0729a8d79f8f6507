"""The reader of manifests takes every sound one, and names what is wrong with any other."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import paths, trees
from support import run_mp

from ota.errors import ManifestError, OtaError
from ota.manifest import FILES, LINE, Reader, check_path
from ota.transports import Lines

HASH = "ab" * 32


def manifest(files, /, *last, **header):
    """A manifest as text; `files` are entries or raw lines, `header` replaces keys."""
    head = {"ota": 1, "project": "sample", "version": "v1", "seq": 1}
    sizes = [f.get("s", 0) for f in files if isinstance(f, dict)]
    head.update(files=len(files), size=sum(s for s in sizes if isinstance(s, int)))
    head.update(header)
    rows = [{k: v for k, v in head.items() if v is not None}, *files, *last]
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)


def entry(path, **keys):
    return {"p": path, "s": 1, "h": HASH, **keys}


def read(text):
    """All that a Reader gives for `text`: header, entries, signatures, digest."""
    reader = Reader(io.BytesIO(text.encode() if isinstance(text, str) else text).readline)
    return reader.header, list(reader), reader.signatures, reader.digest


@given(trees, st.integers(1, 600), st.booleans())
def test_what_was_written_is_read_back_in_pieces_of_any_size(tree, size, signed):
    """The line reader over a stream gives what the file's own readline gives."""
    rows = [{"p": p, "s": 1, "h": h} for p, h in sorted(tree.items())]
    text = manifest(rows, *([{"sig": [{"key": "k"}]}] if signed else [])).encode()

    class Stream:
        readinto = io.BytesIO(text).readinto

    reader = Reader(Lines(Stream, size).readline)
    assert (list(reader), reader.signatures) == (rows, [{"key": "k"}] if signed else [])


def test_the_digest_covers_every_byte_before_the_signatures():
    from hashlib import sha256

    bare = manifest([entry("a"), entry("b")])
    signed = manifest([entry("a"), entry("b")], {"sig": []})
    assert read(bare)[3] == read(signed)[3] == sha256(bare.encode()).digest()


def test_signatures_may_take_several_lines():
    """One of RS256 fills half a line of 1,024 bytes."""
    rows = [{"sig": [{"key": str(i)}]} for i in range(8)]
    text = manifest([entry("a")], *rows)
    assert read(text)[2] == [{"key": str(i)} for i in range(8)]
    assert read(text)[3] == read(manifest([entry("a")]))[3]


@given(paths)
def test_a_plain_relative_path_is_accepted(path):
    assert check_path(path) == path


BAD_PATHS = {
    "parent": "../a",
    "parent-inside": "a/../b",
    "dot": "./a",
    "absolute": "/a",
    "empty": "",
    "empty-part": "a//b",
    "trailing-slash": "a/",
    "backslash": "a\\b",
    "colon": "c:a",
    "nul": "a\0b",
    "newline": "a\nb",
    "over-long": "a" * 129,
    "over-long-utf8": "é" * 65,
    "staged": "main.py.ota-new",
    "kept-old": "main.py.ota-old",
    "staged-folder": "a.ota-new/b",
    "state": ".ota/state",
    "state-folder": ".ota",
    "state-on-fat": ".OTA/state",
    "staged-on-fat": "main.py.OTA-NEW",
    "number": 7,
    "nothing": None,
}


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS.keys())
def test_a_path_that_could_leave_the_root_or_touch_our_own_files_is_refused(path):
    with pytest.raises(ManifestError, match="^manifest: path "):
        check_path(path)
    with pytest.raises(ManifestError, match="^manifest: path "):
        read(manifest([{"p": path, "s": 1, "h": HASH}]))


BAD = {
    "format": (manifest([], ota=2), "format 2: this reader knows 1"),
    "no-project": (manifest([], project=None), "project None: must be text"),
    "no-version": (manifest([], version=""), "version '': must be text"),
    "seq-0": (manifest([], seq=0), "seq 0: must be a whole number from 1 to"),
    "seq-huge": (manifest([], seq=2**31), "seq 2147483648: must be a whole number"),
    "seq-true": (manifest([], seq=True), "seq True: must be a whole number"),
    "files-over": (manifest([], files=FILES + 1), "files 10001: must be"),
    "expires-text": (manifest([], expires="x"), "expires 'x': must be"),
    "requires-list": (manifest([], requires=[]), "requires []: must be an object"),
    "platform-text": (manifest([], requires={"platform": "rp2"}), "platform 'rp2': must be a list"),
    "percent-101": (manifest([], rollout={"percent": 101}), "percent 101: must be a number"),
    "unsorted": (manifest([entry("b"), entry("a")]), "path 'a': does not sort after 'b'"),
    "duplicate": (manifest([entry("a"), entry("a")]), "path 'a': does not sort after 'a'"),
    "size-negative": (manifest([entry("a", s=-1)], size=0), "s -1: must be a whole number"),
    "size-float": (manifest([entry("a", s=1.5)]), "s 1.5: must be a whole number"),
    "hash-short": (manifest([entry("a", h="ab")]), "hash 'ab': must be 64 lower-case hex"),
    "hash-upper": (manifest([entry("a", h="AB" * 32)]), "must be 64 lower-case hex"),
    "moved-from-outside": (manifest([entry("a", m="../b")]), "path '../b': has the part '..'"),
    "moved-from-state": (manifest([entry("a", m=".ota/state")]), "path '.ota/state': is inside .ota/"),
    "moved-from-no-text": (manifest([entry("a", m=7)]), "path 7: must be text"),
    "moved-from-over-long": (manifest([entry("a", m="a" * 129)]), "is over 128 bytes"),
    "delta-list": (manifest([entry("a", d=[])]), "deltas []: must be an object"),
    "delta-base": (manifest([entry("a", d={"x": 1})]), "hash 'x': must be 16 lower-case hex"),
    "delta-size": (manifest([entry("a", d={"a" * 16: -1})]), "must be a whole number"),
    "sum": (manifest([entry("a")], size=2), "size 2: differs from its files by 1"),
    "too-few": (manifest([entry("a")], files=2), "line 3: is cut short"),
    "too-many": (manifest([entry("a"), entry("b")], files=1, size=1), "line 3: is neither a file"),
    "many-signatures": (manifest([], *[{"sig": []}] * 9), "line 10: stands after 8 lines of signatures"),
    "after-signatures": (manifest([], {"sig": []}, entry("a")), "line 3: is neither a file"),
    "signature-hidden": (manifest([], {"x": 1, "sig": []}), "line 2: is neither a file"),
    "signature-of-file": (manifest(['{"sig":[],"p":"a","s":0,"h":"' + HASH + '"}']), "line 2: is of signatures"),
    "time-text": (manifest([], time="x"), "time 'x': must be"),
    "signature-text": (manifest([], {"sig": ["x"]}), "line 2: is neither a file"),
    "not-json": (manifest(["{"], size=0), "line 2: is not a JSON object"),
    "a-list": (manifest(["[]"], size=0), "line 2: is not a JSON object"),
    "long-line": (manifest([entry("a", x="y" * LINE)]), "line 2: is over 1024 bytes"),
    "deep": (manifest(["[" * 1000], size=0), "line 2: is not a JSON object"),
    "cut-short": (manifest([entry("a")])[:-1], "line 2: is cut short"),
    "empty": ("", "line 1: is cut short"),
    "a-page": ("<!DOCTYPE html>\n<html></html>\n", "line 1: is not a JSON object"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_a_manifest_that_breaks_a_rule_is_refused_with_the_rule(text, message):
    with pytest.raises(ManifestError) as caught:
        read(text)
    assert message in str(caught.value)


def test_micropython_refuses_the_same_manifests_with_the_same_words(tmp_path):
    """One source, two runtimes: the table above gives the same errors on a board's interpreter."""
    (tmp_path / "bad.json").write_text(json.dumps({k: text for k, (text, _) in BAD.items()}))
    done = run_mp(
        """
import io, json
from ota.errors import ManifestError
from ota.manifest import Reader
for name, text in json.load(open("bad.json")).items():
    try:
        list(Reader(io.BytesIO(text.encode()).readline))
        print(json.dumps([name, None]))
    except ManifestError as e:
        print(json.dumps([name, str(e)]))
""",
        cwd=tmp_path,
    )
    told = dict(map(json.loads, done.stdout.splitlines()))
    assert told.keys() == BAD.keys()
    for name, (_, message) in BAD.items():
        assert message in str(told[name]), name


@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_damage_to_a_manifest_gives_a_result_or_an_error_of_ours(noise, at):
    text = manifest([entry("a"), entry("b/c", d={"a" * 16: 3})], {"sig": []}).encode()
    damaged = text[:at] + noise + text[at + len(noise) :]
    try:
        read(damaged)
    except OtaError:
        pass
