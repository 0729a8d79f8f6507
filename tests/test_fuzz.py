"""Any bytes give a result or an error of ours: the corpus, hypothesis and atheris on the same targets.

`make fuzz` runs atheris for longer; docs/explanation/fuzzing.md says how.
"""

import json
import re
import subprocess
import sys
import tracemalloc

import pytest
import strategies
from fuzz import targets
from fuzz.run import CORPUS, corpus, fuzz, has_fuzzer
from fuzz.targets import HOST, TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT, run_mp

RUNS = 4000  # inputs of atheris that a run of the tests has room for, a target


@pytest.fixture(autouse=True)
def _folder(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(targets, "folder", str(tmp_path_factory.mktemp("fuzz")))


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_of_the_corpus_keeps_the_contract_on_cpython(name):
    for data in corpus(name).values():
        TARGETS[name](data)


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "tuf_paths"])
def test_every_target_has_inputs_that_are_taken(name):
    """Else the fuzzer would only ever see the first check."""
    assert any(TARGETS[name](data).startswith("ok") for n, data in corpus(name).items() if n.startswith("seed-"))


def test_the_corpus_is_small():
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert max(sizes) <= 4096
    assert sum(sizes) <= 300 * 1024


SAME_ON_A_BOARD = """
import json, os
from fuzz import targets
name, files = json.loads(os.getenv("ARGS"))
targets.folder = os.getcwd()
for path in json.loads(files):
    with open(path, "rb") as f:
        data = f.read()
    try:
        said = targets.TARGETS[name](data)
    except Exception as e:
        said = "CRASH %r" % e
    print(json.dumps([path.rsplit("/", 1)[1], said]))
"""


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in HOST])
def test_micropython_says_of_the_corpus_what_cpython_says(name, tmp_path):
    """But for text that is no JSON: its reader there takes some, and what it takes is checked all the same."""
    files = [str(path) for path in sorted((CORPUS / name).iterdir())]
    done = run_mp(SAME_ON_A_BOARD, name, json.dumps(files), cwd=tmp_path, path=[ROOT / "tests"], heap="4M")
    told = dict(map(json.loads, done.stdout.splitlines()))
    assert len(told) == len(files)
    assert {n: said for n, said in told.items() if said.startswith("CRASH")} == {}
    for n, data in corpus(name).items():
        here = TARGETS[name](data)
        if told[n] != here and name in LAX:
            assert not here.startswith("ok"), n
        else:
            assert told[n] == here, n


# Whose inputs are JSON.
LAX = ("manifest", "state", "signature", "tuf_metadata", "tuf_client")


@pytest.mark.parametrize("name", TARGETS)
def test_a_budget_of_inputs_of_atheris_keeps_the_contract(name, tmp_path):
    if not has_fuzzer():
        pytest.skip("atheris is missing: make setup, on Linux with Python before 3.14")
    runs = RUNS // 4 if name.startswith("tuf_") else RUNS  # each of these takes ten times as long
    done = fuzz(name, runs, out=tmp_path)
    assert not done.crashes, done.said
    assert done.inputs >= runs


def test_what_breaks_a_target_is_written_to_a_file_and_named(tmp_path):
    """A target with a fault of its own, with atheris and without."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a").write_bytes(b"boom")
    script = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT)!r}]
from fuzz import targets, one
def broken(data):
    assert data != b"boom"
one.{{}}
"""
    for call in ("run(broken, sys.argv[1:])", "without(broken, sys.argv[1:])"):
        if call.startswith("run") and not has_fuzzer():
            continue
        out = tmp_path / call[:3]
        out.mkdir()
        command = [sys.executable, "-c", script.format(call), str(tmp_path / "corpus"), "-runs=1", f"-artifact_prefix={out}/"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode
        (found,) = out.iterdir()
        assert found.read_bytes() == b"boom"
        assert found.name.startswith("crash-")


def test_the_command_of_the_docs_ends_with_one_line_of_json():
    """With fewer inputs, and of two targets."""
    page = (ROOT / "docs" / "explanation" / "fuzzing.md").read_text()
    (command,) = re.findall(r"^```sh\n(.*)\n```$", page, re.M)
    program, script, runs = command.split()
    assert (program, runs) == (".venv/bin/python", "100000")
    options = ["300", "--target", "tuf_paths", "--target", "config"]
    done = subprocess.run([sys.executable, script, *options], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    shown = json.loads(re.search(r"^```json\n(.*)\n```$", page, re.M)[1])
    assert last.keys() == shown.keys()
    assert shown["targets"] == len(TARGETS)
    assert (last["targets"], last["crashes"]) == (2, 0)
    assert last["inputs"] >= (600 if has_fuzzer() else 6)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_input_and_any_damage_to_a_sound_one_keeps_the_contract(name, data):
    TARGETS[name](data.draw(strategies.damaged(list(corpus(name).values()))))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_manifest_with_any_json_in_any_place_keeps_the_contract(data):
    rows = [json.loads(line) for line in corpus("manifest")["seed-terms"].splitlines()]
    rows = data.draw(strategies.replaced(rows))
    rows = rows if isinstance(rows, list) else [rows]
    targets.manifest(b"".join(json.dumps(row).encode() + b"\n" for row in rows))


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(["seed-root", "seed-timestamp", "seed-snapshot", "seed-targets"]))
def test_metadata_of_tuf_with_any_json_in_any_place_keeps_the_contract(data, name):
    seed = corpus("tuf_metadata")[name]
    targets.tuf_metadata(seed[:1] + json.dumps(data.draw(strategies.replaced(json.loads(seed[1:])))).encode())


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 5))
def test_a_repository_of_tuf_with_any_json_in_any_place_keeps_the_contract(data, which):
    parts = corpus("tuf_client")["seed-new-root"].split(targets.CUT)
    parts[which] = json.dumps(data.draw(strategies.replaced(json.loads(parts[which])))).encode()
    targets.tuf_client(targets.CUT.join(parts))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_state_record_with_any_json_in_any_place_and_the_right_sum_keeps_the_contract(data):
    """The first value says how the sum is written; the phase and the counter may be anything."""
    row = json.loads(corpus("state")["seed-row-mended"].split(b"#")[0] + b"]")
    row = data.draw(strategies.replaced(row))
    targets.state(json.dumps(row).encode()[:-1] + b"#")


class Endless:
    """Gives `head`, then `again` for ever; `readline` is that of a file."""

    def __init__(self, head, again, most):
        self.left, self._head, self._again = most, head, again

    def readinto(self, buffer):
        data = self._head or self._again
        n = min(len(buffer), len(data), self.left)
        buffer[:n] = data[:n]
        self._head = self._head[n:]
        self._again = self._again[n:] + self._again[:n] if not self._head else self._again
        self.left -= n
        return n


ENDLESS = {
    "line": (b"", b"a" * 60),
    "header-line": (b"HTTP/1.1 200 OK\r\nETag: ", b"a" * 60),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"ETag: a\r\n"),
    "early-answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk-extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"a" * 60),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\naaaa\r\n"),
    "manifest-line": (corpus("manifest")["seed-empty"][:-2] + b',"x":"', b"a" * 60),
    "signatures": (corpus("manifest")["seed-empty"], b'{"sig":[]}\n'),
}
MOST = 1 << 20  # bytes that come


def take(name):
    """Feed a reader with MOST bytes; what it says."""
    from ota.errors import OtaError
    from ota.manifest import Reader
    from ota.transports import Lines
    from ota.transports.wire import Body, Link, read_head

    source = Endless(*ENDLESS[name], MOST)
    try:
        if name in ("manifest-line", "signatures", "line"):
            list(Reader(Lines(source).readline))
        if name not in ("manifest-line", "signatures"):
            link = Link.__new__(Link)
            link.lines, link.close = Lines(source), lambda: None
            body = Body(None, link, read_head(link.lines)[1])
            buffer = bytearray(500)
            while body.readinto(buffer):
                pass
    except (OtaError, OSError) as e:
        return str(e)
    return "taken"


@pytest.mark.parametrize("name", ENDLESS)
def test_a_reader_of_lines_needs_no_more_ram_for_what_never_ends(name):
    take(name)  # what is imported is not counted
    tracemalloc.start()
    try:
        assert take(name) != "taken"
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("where", ["state", "state.new", "a"])
def test_the_state_is_read_in_the_same_ram_whatever_the_length_of_its_files(where, tmp_path):
    from ota.bootguard import load

    (tmp_path / ".ota").mkdir()
    (tmp_path / ".ota" / "state").write_bytes(b"{")
    (tmp_path / ".ota" / where).write_bytes(b"[" * MOST)
    tracemalloc.start()
    try:
        assert load(str(tmp_path))["damaged"]
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()
