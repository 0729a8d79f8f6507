"""The core: the library made small for a board does what the library does, and is as small as the docs say."""

import ast
import os
import re
import shutil
import subprocess
import sys

import core_tree
import footprint
import pytest
from support import ROOT, release, run_mp

import ota
from ota_host import core
from ota_host.core import choose, late, write
from ota_host.errors import HostError
from ota_host.proof import Scenario, digests, prove

SIGNED = ["HttpTransport", "SignatureVerifier:RS256"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return core_tree.with_modules(tmp_path_factory.mktemp("core"))


def on_core(script, *args, tree, **options):
    return run_mp("from world import *\n" + script, *args, path=[tree], **options)


class TestWhatItIs:
    def test_the_same_words_give_the_same_bytes_whatever_the_order_of_sets(self):
        code = "import hashlib; from ota_host import core; print(hashlib.sha256(repr(core.make(%r)).encode()).hexdigest())"
        told = {
            subprocess.run(
                [sys.executable, "-c", code % words],
                env=dict(os.environ, PYTHONHASHSEED=seed),
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed, words in (("1", SIGNED), ("2", SIGNED[::-1]))
        }
        assert len(told) == 1

    def test_bootguard_is_whole_and_on_its_own(self):
        files = core.sources(SIGNED)
        assert files["ota/bootguard.py"] == (ROOT / "ota/bootguard.py").read_bytes()
        others = [path for path, text in files.items() if b"from .bootguard" in text]
        assert others == []

    def test_every_file_is_boot_critical_by_its_name(self):
        from ota_host.bootcheck import is_vital

        assert all(is_vital("lib/" + path) and is_vital(path) for path in core.make(SIGNED))

    def test_only_what_is_named_is_in_it(self, tmp_path):
        plain, all_of_it = core.make(["HttpTransport"]), core.make(core_tree.EVERYTHING)
        assert sum(map(len, plain.values())) < sum(map(len, all_of_it.values())) * 0.85
        assert "ota/guard.mpy" in all_of_it and "ota/guard.mpy" not in plain
        names = run_mp("import ota\nprint(sorted(ota.__all__))", path=[core_tree.write(tmp_path, files=plain)]).stdout
        assert names == str(sorted("Updater HttpTransport boot confirm rollback status OtaError".split())) + "\n"

    def test_every_public_name_of_a_core_with_everything_is_there(self, tmp_path):
        script = "import ota\nprint(sorted(n for n in ota.__all__ if getattr(ota, n)))"
        told = run_mp(script, path=[core_tree.write(tmp_path)]).stdout
        left_out = {"TufVerifier", "ota_update", "check_for_ota_update"}
        assert told.strip() == str(sorted(set(ota.__all__) - left_out))

    @pytest.mark.parametrize(
        "word, said",
        [
            ("Http", "core: ota has no 'Http'; it has FlashStorage, "),
            ("TufVerifier", "core: TufVerifier is not for a core"),
            ("SignatureVerifier:PS256", "'PS256' is none of RS256, ES256, HS256"),
            ("HttpTransport:RS256", "'RS256' is none of"),
        ],
    )
    def test_a_word_that_cannot_be_meant_is_refused(self, word, said):
        with pytest.raises(HostError) as told:
            core.make([word])
        assert said in str(told.value)

    def test_the_names_of_an_application_are_found_in_its_files(self):
        files = {
            "main.py": b"import ota\nfrom ota import Updater, HttpTransport\nota.launch('app')\n",
            "lib/own.py": b"from ota import Transport\n",
            "data.bin": b"from ota import SdTransport",
        }
        assert core.used_by(files) == ["HttpTransport", "Transport", "launch"]

    def test_compiled_files_count_and_keys_say_which_algorithms(self):
        """A library that the release brings does not count: it would keep what nobody uses any more."""
        files = {
            "lib/own.mpy": b"M\x06..HttpTransport..SignatureVerifier..",
            "keys.txt": b"ES256:abcd\nHS256:abcd\n",
            "lib/ota/core.mpy": b"SdTransport",
        }
        assert core.used_by(files) == ["HttpTransport", "SignatureVerifier:ES256+HS256"]

    def test_the_legacy_functions_are_refused_and_not_left_out_in_silence(self):
        words = core.used_by({"boot.py": b"from micropython_ota import ota_update\n"})
        with pytest.raises(HostError) as told:
            core.make(words)
        assert "ota_update is not for a core" in str(told.value)

    def test_every_name_of_a_file_is_known_beforehand(self):
        """By these a board is cleared of one form when it gets another."""
        assert {p[len("ota/") :] for p in core.make(core_tree.EVERYTHING)} <= core.file_names()


class TestWhatItDoes:
    def test_an_update_and_a_revert_end_in_exactly_one_of_the_releases(self, tmp_path, tree):
        old = {"boot.py": b"1", "lib/a.py": b"a 1", "gone.py": b"x"}
        new = {"boot.py": b"2", "lib/a.py": b"a 2", "lib/b/c.py": b"c"}
        for n, files in ((1, old), (2, new)):
            release(tmp_path / str(n), files, seq=n)
        done = on_core(
            """
power_up()
install(ARGS[0])
first = ramflash.tree()
updater(ARGS[1]).run(reset=False)
boot(6)
reverted, told = ramflash.tree(), status()
print(reverted == first, told["phase"], told["refused"], updater(ARGS[1]).run(reset=False), EVENTS)
""",
            tmp_path / "1",
            tmp_path / "2",
            tree=tree,
        )
        said = "ota: seq 1 is live\nota: seq 2 is live\nota: seq 2 was undone\n"
        assert done.stdout == said + "True idle 2 False [('current', None)]\n"

    def test_an_error_has_the_class_and_the_text_that_the_library_gives_it(self, tmp_path, tree):
        """Its text comes from a file, and its class is made when it is raised."""
        release(tmp_path / "www", {"a.py": b"a"}, expires=1)
        (tmp_path / "www" / "stable.manifest").write_bytes(b'{"ota":1,"project":"sample","version":"v1","seq":-5}\n')
        script = """
power_up()
u = updater(ARGS[0])
try:
    u.run()
except Exception as e:
    from ota.errors import ManifestError, OtaError, HashError
    print(type(e) is ManifestError, isinstance(e, OtaError), issubclass(HashError, OtaError), e)
print(error(updater(ARGS[0] + "x").run))
"""
        told = [
            on_core(script, tmp_path / "www", tree=t).stdout
            for t in (tree, ROOT)
        ]
        assert told[0] == told[1]
        assert told[0].startswith("True True True manifest: seq -5: must be a whole number from 1 to ")

    def test_an_error_of_the_flash_is_caught_where_the_library_catches_it(self, tmp_path, tree):
        """A file that another one is to be copied from is gone: one class, wherever it is raised."""
        release(tmp_path / "1", {"a.txt": b"a"})
        release(tmp_path / "2", {"b.txt": b"a"}, seq=2, moves={"b.txt": "a.txt"})
        script = "power_up()\ninstall(ARGS[0])\nos.remove('a.txt')\ninstall(ARGS[1])\nprint(ramflash.tree())"
        assert on_core(script, tmp_path / "1", tmp_path / "2", tree=tree).stdout.endswith("{'b.txt': b'a'}\n")

    def test_what_a_callback_raises_comes_out_as_it_is(self, tmp_path, tree):
        release(tmp_path / "1", {"a.txt": b"a"})
        script = """
power_up()
from ota import SdTransport, Updater
def on_event(*event):
    raise KeyError("mine")
try:
    Updater(SdTransport(ARGS[0]), on_event=on_event).run()
except KeyError as e:
    print(e)
"""
        assert on_core(script, tmp_path / "1", tree=tree).stdout == "mine\n"

    def test_a_text_that_cannot_be_read_leaves_a_number_and_the_values(self, tmp_path):
        (tmp_path / "www").mkdir()
        (tmp_path / "www" / "stable.manifest").write_bytes(b"x\n")
        tree = core_tree.with_modules(tmp_path / "tree")
        (tree / "ota/texts").unlink()  # a flash that cannot be read any more
        told = on_core("power_up()\nprint(error(updater(ARGS[0]).run))", tmp_path / "www", tree=tree).stdout
        assert re.fullmatch("ManifestError: error \\d+, 'line', 1, 'error \\d+'\n", told), told

    def test_garbage_is_collected_as_before_when_an_update_ends(self, tmp_path, tree):
        release(tmp_path / "www", {"a.py": b"a"})
        script = """
import gc
power_up()
gc.threshold(51200)
u, inside, between = updater(ARGS[0]), set(), set()
import world
class Events:
    def append(self, event):
        inside.add(gc.threshold())
world.EVENTS = Events()
for _ in u.steps():
    between.add(gc.threshold())
print(51200 in inside, between, gc.threshold(), u.ready)
"""
        assert on_core(script, tmp_path / "www", tree=tree).stdout == "False {51200} 51200 True\n"

    def test_a_plug_in_of_the_application_is_asked(self, tmp_path):
        """Its hook has the name that the base says, though other private names are changed."""
        release(tmp_path / "www", {"a.py": b"a"})
        script = """
import os, ramflash
from ota import Updater, Transport, Storage, Verifier
asked = set()
class Mine(Transport):
    def _open(self, name, start=0, etag=None):
        asked.add("open")
        return open(%r + "/" + name, "rb")
class Kept(Storage):
    def _free(self):
        asked.add("free")
        return 1 << 20
class Sure(Verifier):
    def _authenticate(self, digest, signatures, header):
        asked.add("authenticate")
ramflash.mount(ramflash.Flash(), "lfs2", True)
print(Updater(Mine(), storage=Kept("/flash/"), verifier=Sure()).run(reset=False), sorted(asked))
""" % str(tmp_path / "www")
        tree = core_tree.write(tmp_path / "tree", ["Transport", "Storage", "Verifier"])
        assert run_mp(script, path=[tree]).stdout == "True ['authenticate', 'free', 'open']\n"

    def test_what_is_not_in_it_says_so(self, tmp_path):
        script = """
from ota import Updater, SignatureVerifier, HttpTransport, OtaError
def said(call):
    try:
        call()
    except OtaError as e:
        print(e)
said(lambda: Updater(HttpTransport("http://x/"), files=["a"]))
"""
        told = run_mp(script, path=[core_tree.write(tmp_path, SIGNED)]).stdout
        assert told == "flash: ImportError: fileset is not in this core\n"

    def test_confirm_and_status_leave_nothing_of_themselves_in_ram(self, tmp_path):
        script = """
import gc, sys
import ota
def used():
    gc.collect()
    return gc.mem_alloc()
ota.confirm(), ota.status()
kept = []
for _ in range(4):  # the collector may take a number for a pointer
    before = used()
    ota.confirm(), ota.status()
    kept.append(used() - before)
print(min(kept) < 200, [n for n in sys.modules if n.startswith("ota")])
"""
        told = run_mp(script, path=[core_tree.write(tmp_path, SIGNED)], cwd=tmp_path).stdout
        assert told == "True ['ota']\n"

    def test_the_state_stays_where_boot_saw_it_when_the_application_goes_elsewhere(self, tmp_path):
        script = """
import os, ota, json
ota.boot()
os.mkdir("data")
os.chdir("data")
ota.confirm()
from ota import Updater, HttpTransport
print(Updater(HttpTransport("http://x/")).root == ARGS[0] + "/")
""".replace("ARGS", "json.loads(os.getenv('ARGS'))")
        (tmp_path / "board").mkdir()
        tree = core_tree.write(tmp_path / "tree", SIGNED)
        assert run_mp(script, tmp_path / "board", path=[tree], cwd=tmp_path / "board").stdout == "True\n"


def self_update(folder):
    """From a core to the next library's, which has other modules as well."""
    library = folder / "library"
    shutil.copytree(ROOT / "ota", library, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ("bootguard.py", "updater.py", "trial.py", "__init__.py"):
        with open(library / path, "a") as f:
            f.write("\n\ndef release_2():\n    return 2\n")
    boot = b"import ota\nota.boot()\n"
    old = {"boot.py": boot, "main.py": b"import app\n", **core.make(["SdTransport", "launch"])}
    new = {"boot.py": boot + b"#\n", "main.py": b"import app2\n", **core.make(["SdTransport", "Watch", "SignatureVerifier"], library)}
    assert old["ota/bootguard.mpy"] != new["ota/bootguard.mpy"] and old["ota/__init__.mpy"] != new["ota/__init__.mpy"]
    for name, files, seq in (("one", old, 1), ("two", new, 2)):
        release(folder / name, files, seq=seq)
    return Scenario(
        "self-update of a core", digests(old), digests(new), str(folder / "one"), str(folder / "two"),
        ("stage", "boot", "boot", "confirm"), "new", own=True, blocks=128,
        path=(str(core_tree.write(folder / "tree", ["SdTransport"])),),
    )  # fmt: skip


def test_a_cut_while_the_core_replaces_itself_leaves_the_old_or_the_new_one_whole(tmp_path):
    proof = prove(self_update(tmp_path), shapes=("half",), every=30)
    assert proof.cuts > 5 and set(proof.found) <= {"old", "new"}, (proof.found, proof.bad)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_cut_while_the_core_replaces_itself_leaves_the_old_or_the_new_one_whole(tmp_path):
    """At each operation, none of it done: the other shapes are tried at some of them."""
    proof = prove(self_update(tmp_path), shapes=("none",))
    assert set(proof.found) == {"old", "new"}, (proof.found, proof.bad)


@pytest.mark.parametrize(
    "modules",
    [
        pytest.param(["test_packed.py"], id="packed files"),
        pytest.param(
            ["test_updater.py", "test_damage.py", "test_deltas.py", "test_guard.py"], id="the rest", marks=pytest.mark.slow
        ),
    ],
)
@pytest.mark.timeout(1800)
def test_the_tests_of_the_library_pass_on_a_core(tmp_path, modules):
    env = dict(os.environ, MPOTA_LIBRARY=str(core_tree.with_modules(tmp_path / "tree")))
    # These ask for a class or a module that a core has under another name.
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-k", "not empty_blocks and not new_content_of_a_patch_in_parts", *modules]
    done = subprocess.run(command, cwd=ROOT / "tests", env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with footprint.Bench(tmp_path_factory.mktemp("bench")) as bench:
        yield bench


@pytest.mark.parametrize("workload", footprint.WORKLOADS)
def test_a_signed_update_fits_into_65_kb_from_a_core(bench, workload):
    # A heap that is a little smaller may fall into better pieces, and the collector may take a number for a pointer.
    assert any(bench.completes(bench.tree("core"), workload, kb) for kb in (65, 64, 63) * 4)


def test_a_core_brings_no_more_names_than_fit_into_their_table(bench, monkeypatch):
    """The 141st makes MicroPython double it, by 1.8 KB."""
    monkeypatch.setattr(footprint, "UPDATE", footprint.UPDATE + "import micropython\nmicropython.qstr_info()\n")
    told = bench.update(bench.tree("core"), next(iter(footprint.WORKLOADS)), 400)
    assert 100 < int(re.search(r"n_qstr=(\d+)", told)[1]) <= 200


def test_what_is_said_of_where_a_part_goes_is_of_a_part_that_the_library_has():
    """A name that is not there any more would leave its code in RAM, unseen."""
    there = set()
    for path in (ROOT / "ota").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "ota").with_suffix("").parts).removesuffix(".__init__")
        there.add(module)
        for node in ast.parse(path.read_text()).body:
            there |= {f"{module}.{name}" for name in (getattr(node, "name", ""), *_methods(node))}
    assert there >= set(late.LATE) | set(choose.PHASES)
    homes = {*late.LATE.values(), *choose.PHASES.values()} - {late.WITH_CALLERS}
    assert homes <= {*write.BRIEF, *write.LASTING_LITERALS}


def _methods(node):
    return [f"{node.name}.{n.name}" for n in node.body if hasattr(n, "name")] if isinstance(node, ast.ClassDef) else []


def test_a_core_stays_within_its_files_and_bytes():
    made = core.make(footprint.USE)
    assert len(made) <= 27 and sum(map(len, made.values())) <= 58000
