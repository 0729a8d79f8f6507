"""Manifests that come as their difference: what is published, what a board makes of it, and of all that is wrong."""

import io
import json
import re
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import nginx, requests
from strategies import trees
from support import ROOT
from test_keys import keys, signers  # noqa: F401
from test_publish import BOOT, manifest, problems, project, publish, snapshot
from test_updater import board

from ota.errors import ManifestError
from ota.manifest import Reader
from ota.merge import merge
from ota.transports import Lines
from ota_host import differences, release
from ota_host.keys import Seal
from ota_host.terms import Terms, crc, line
from ota_host.tree import Tree, parse_manifest

FILES = {f"lib/part{i:02d}.txt": f"part {i}" for i in range(40)}
LISTEN = "listen 127.0.0.1:{port};"


def seal(signers, name="RS256"):  # noqa: F811
    return Seal((signers[name],))


def made_of(tree, seq=1, signatures=0, **header):
    """A Manifest of {path: hash}."""
    lines = b"".join(line({"p": p, "s": 1, "h": h}) for p, h in sorted(tree.items()))
    head = {"ota": 1, "project": "sample", "version": f"v{seq}", "seq": seq, "files": len(tree), "size": len(tree)}
    last = line({"sig": [{"key": "k", "alg": "RS256", "sig": ""}]}) * signatures
    return parse_manifest(line({**head, "crc": crc(lines), **header}) + lines + last, "test")


def entry(path, digit=b"a"):
    return b'{"p":"%s","s":1,"h":"%s"}\n' % (path.encode(), digit * 64)


class TestMerge:
    @given(trees, trees, st.integers(0, 2), st.integers(1, 300))
    def test_the_difference_on_the_old_manifest_is_the_new_one_byte_for_byte(self, old, new, signatures, size):
        """Whatever the two have in common, and in pieces of any size."""
        old, new = made_of(old), made_of(new, 2, signatures)
        content = differences.difference(old, new)
        assert differences.apply(content, old) == new.raw

        class Stream:
            readinto = io.BytesIO(content).readinto

        reader = Reader(Lines(Stream, size).readline)
        reader.readline = merge(reader.readline, io.BytesIO(old.body).readline)
        assert list(reader) == new.entries and len(reader.signatures) == signatures

    def test_only_what_differs_stands_in_a_difference(self):
        """The header, a line a file that is new or other, the path alone of one that is gone, the signatures."""
        old, new = made_of({"a": "a" * 64, "b": "a" * 64, "c": "a" * 64}), made_of({"a": "b" * 64, "c": "a" * 64, "d": "a" * 64}, 2, 1)
        lines = differences.difference(old, new).splitlines(True)
        has = new.raw.splitlines(True)
        assert lines == [has[0], has[1], b'{"p":"b"}\n', has[3], has[4]]

    @pytest.mark.parametrize(
        ("lines", "reason"),
        [
            pytest.param(b'{"p":"a-"}\n', "path b'a-': is to go, and is not there", id="removes-what-is-not-there"),
            pytest.param(b'{"p":"b"}\n{"p":"b"}\n', "path b'b': is to go, and is not there", id="removes-twice"),
            pytest.param(entry("../a"), "path '../a': has the part '..'", id="path-escape"),
            pytest.param(entry("a-") + entry("a+"), "path 'a.': does not sort after 'a-'", id="unsorted"),
            pytest.param(entry("a-") + entry("a"), "path 'a': does not sort after 'a-'", id="repeats-a-live-one"),
            pytest.param(b'{"p":"b","s":1}\n', "hash None: must be 64", id="no-hash"),
            pytest.param(b'{"p":7}\n', "line 5: is neither a file", id="path-of-no-text"),
            pytest.param(b"<html>\n", "line 5: is not a JSON object", id="page"),
            pytest.param(b"x" * 3000, "line 5: is over 1024 bytes", id="no-end-of-line"),
            pytest.param(entry("b")[:-1] + b" " * 2000, "line 3: is over 1024 bytes", id="padded"),
            pytest.param(b'{"p":"c"}' + b" " * 2000, "line 4: is over 1024 bytes", id="removes-padded"),
            pytest.param(entry("b", b"c"), "crc '........': that of its file lines is", id="other-hash"),
            pytest.param(b'{"p":"c"}\n', "line 4: is cut short", id="removes-too-much"),
            pytest.param(entry("d"), "crc '........': that of its|line 5: is neither", id="adds-too-much"),
        ],
    )
    def test_what_is_no_difference_of_this_manifest_is_refused(self, lines, reason):
        """By the Reader's own checks, by the count, or by the CRC of the file lines."""
        old = made_of({"a": "a" * 64, "b": "a" * 64, "c": "a" * 64})
        new = made_of({"a": "a" * 64, "b": "a" * 64, "c": "a" * 64}, 2)
        with pytest.raises(ManifestError, match=reason):
            differences.apply(differences.first(new) + lines, old)

    def test_a_difference_from_another_manifest_is_noticed(self):
        """Though the number of the files and their sizes are right."""
        new = made_of({"a": "b" * 64, "b": "a" * 64}, 2)
        content = differences.difference(made_of({"a": "a" * 64, "b": "a" * 64}), new)
        with pytest.raises(ManifestError, match="crc '........': that of its file lines is "):
            differences.apply(content, made_of({"a": "a" * 64, "b": "c" * 64}))

    def test_endless_lines_are_refused_after_as_many_as_the_header_counts(self):
        """Sound ones, each behind the one before."""
        old, new = made_of({}), made_of({"a": "a" * 64}, 2)
        endless = (b'{"p":"%09d","s":1,"h":"%s"}\n' % (i, b"a" * 64) for i in range(10**9))
        reader = Reader(io.BytesIO(differences.first(new)).readline)
        reader.readline = merge(lambda n: next(endless), io.BytesIO(old.body).readline)
        with pytest.raises(ManifestError, match="crc|neither a file"):
            list(reader)

    def test_a_damaged_line_of_the_live_manifest_is_noticed(self):
        """Not JSON, or of another content."""
        old = made_of({"a": "a" * 64, "b": "a" * 64, "c": "a" * 64})
        content = differences.difference(old, made_of({"a": "a" * 64, "c": "a" * 64}, 2))
        for damaged in (old.body.replace(b'{"p":"c"', b'{"p"#"c"'), old.body.replace(b'"c","s":1,"h":"a', b'"c","s":1,"h":"b')):
            reader = Reader(io.BytesIO(content).readline)
            reader.readline = merge(io.BytesIO(content[len(reader.raw) :]).readline, io.BytesIO(damaged).readline)
            with pytest.raises(ManifestError):
                list(reader)


def folder_of(made, channel="stable"):
    """{CRC: lines} of the differences of a channel."""
    return {p.name[:8]: p.read_bytes().splitlines(True) for p in (made.tree / f"{channel}.d").iterdir()}


def revision(folder, n):
    return project(folder, {"boot.py": BOOT, **FILES, "main.py": f"main = {n}", f"only{n}.py": ""})


    def test_the_example_of_the_reference_is_one(self):
        """Of the manifest that stands above it."""
        page = (ROOT / "docs/reference/formats.md").read_text("utf-8")
        old, content = (text.encode() for text in re.findall(r"```json\n(.*?)```", page, re.S)[:2])
        made = parse_manifest(differences.apply(content, parse_manifest(old, "old")), "new")
        assert [e["p"] for e in made.entries] == ["lib/web.py", "main.py"]


class TestPublish:
    def test_the_last_five_releases_and_the_channels_own_have_one(self, tmp_path):
        """Each makes the channel's manifest of that release's; the own one is the header alone."""
        made, heads = None, []
        for n in range(8):
            made = revision(tmp_path, n)
            publish(made, f"v1.0.{n}")
            heads.append(Tree(made.tree).manifest("stable.manifest"))
        found = folder_of(made)
        assert set(found) == {head.header["crc"] for head in heads[2:]}
        head = heads[-1]
        assert b"".join(found[head.header["crc"]]) == differences.first(head)
        for old in heads[2:-1]:
            content = b"".join(found[old.header["crc"]])
            assert differences.apply(content, old) == head.raw and len(content) < len(head.raw) / 5
        assert problems(made) == []

    def test_other_terms_reach_the_boards_of_every_release(self, tmp_path):
        """A new header, in each of the differences."""
        publish(revision(tmp_path, 1), "v1.0.1", terms=Terms(rollout=10))
        made = revision(tmp_path, 2)
        publish(made, "v1.0.2", terms=Terms(rollout=10))
        publish(made, "v1.0.2", terms=Terms(rollout=60))
        head = differences.first(Tree(made.tree).manifest("stable.manifest"))
        assert b'"percent":60' in head and [lines[0] for lines in folder_of(made).values()] == [head, head]

    def test_the_same_again_changes_nothing_though_other_channels_went_on(self, tmp_path):
        """The releases that the channel had stay those that it has differences of."""
        for n in range(3):
            publish(revision(tmp_path, n), f"v1.0.{n}")
        for n in range(3, 10):
            publish(revision(tmp_path, n), f"v1.0.{n}", channel="beta")
        made = project(tmp_path, {"boot.py": BOOT, "main.py": "main = 4", **FILES, "only4.py": ""})
        release.republish(Tree(made.tree), "v1.0.4")
        before = snapshot(made.tree)
        assert not release.republish(Tree(made.tree), "v1.0.4").written and snapshot(made.tree) == before

    @pytest.mark.parametrize("own", [True, False])
    def test_one_that_is_gone_comes_back_with_the_same_release_again(self, tmp_path, own):
        """A publisher that is cut off has not written the channel's own, which is the last."""
        publish(revision(tmp_path, 1), "v1.0.1")
        made = revision(tmp_path, 2)
        publish(made, "v1.0.2")
        before = folder_of(made)
        for name in before:
            if own or name != manifest(made)[0]["crc"]:
                (made.tree / differences.name("stable", name)).unlink()
        publish(made, "v1.0.2")
        assert (folder_of(made) == before) is own

    def test_the_same_files_as_another_release_come_with_the_signatures(self, tmp_path, signers):  # noqa: F811
        """A board of the older one needs to know whose the newer one is, though no file differs."""
        publish(project(tmp_path, {"boot.py": BOOT, "a": "1"}), "v1.0.0", seal=seal(signers))
        made = project(tmp_path, {"boot.py": BOOT, "a": "2"})
        publish(made, "v1.0.1", seal=seal(signers))
        release.republish(Tree(made.tree), "v1.0.0", seal=seal(signers))
        head = manifest(made)[0]
        assert head["version"] == "v1.0.0+rollback.3" and head["crc"] == manifest(made, "releases/v1.0.0.manifest")[0]["crc"]
        assert len(folder_of(made)[head["crc"]]) == 2 and problems(made) == []

    def test_one_that_replaces_another_is_newer_by_a_second_at_least(self, tmp_path):
        """Servers make tags of the size and the time in whole seconds, and the one before is removed first."""
        seen = set()
        for n in range(4):
            made = revision(tmp_path, n)
            publish(made, f"v1.0.{n}")
            path = made.tree / differences.name("stable", manifest(made, "releases/v1.0.0.manifest")[0]["crc"])
            assert int(path.stat().st_mtime) not in seen
            seen.add(int(path.stat().st_mtime))

    def test_the_line_of_a_file_that_stays_the_same_stays_the_same(self, tmp_path):
        """Its patches are of releases that are not among the last five any more."""
        text = "".join(f"def f{i}():\n    return {i * i}\n" for i in range(200))
        publish(project(tmp_path, {"boot.py": BOOT, "a.py": text, "b": ""}), "v1.0.0")
        lines = set()
        for n in range(1, 9):
            made = project(tmp_path, {"boot.py": BOOT, "a.py": text + "# the end\n", "b": str(n)})
            publish(made, f"v1.0.{n}")
            lines.add(json.dumps(manifest(made)[1]))
        assert len(lines) == 1 and '"d"' in lines.pop()

    def test_the_audit_finds_a_damaged_one(self, tmp_path):
        """Cut short, of another manifest, and one that makes another."""
        publish(revision(tmp_path, 1), "v1.0.1")
        old = manifest(revision(tmp_path, 1))[0]["crc"]
        made = revision(tmp_path, 2)
        publish(made, "v1.0.2")
        path = made.tree / differences.name("stable", old)
        whole = path.read_bytes()
        for content, found in (
            (whole[:-5], "manifest: line .* is cut short|.*"),
            (whole.replace(b'"seq":2', b'"seq":9'), "that of another manifest"),
            (whole.replace(b"only2", b"only9"), "manifest: .*"),
        ):
            path.write_bytes(content)
            (one,) = problems(made)
            assert one.file == str(path) and re.fullmatch(found, one.found), one


BOARD = """
from ota.transports.http import HttpTransport
from ota.verifiers.signature import SignatureVerifier
import ota.channel
ota.channel.getrandbits = lambda n: 1  # else one check of 16 asks without its tag
URL = ARGS[0]

def over(url=URL, **options):
    if ARGS[1]:
        options["verifier"] = SignatureVerifier([ARGS[1]])
    u = updater("", **options)
    u.transport = HttpTransport(url, retries=0)
    return u

def go(**options):
    u = over(**options)
    ready = u.run(reset=False)
    boot(2)
    confirm()
    return ready

def events():
    return [e[0] for e in EVENTS if e[0] in ("current", "fallback", "rollout", "refused")]
"""


class World:
    """A channel on nginx, and what a board made of it."""

    def __init__(self, folder, signer=None):
        self.folder, self.signer = folder, signer
        self.tree = folder / "www" / "sample"

    def publish(self, n, files=None, **options):
        files = files or {"boot.py": BOOT, **FILES, "main.py": f"main = {n}", f"only{n}.py": ""}
        made = project(self.folder, files, destination="www")
        publish(made, f"v1.0.{n}", seal=Seal((self.signer,)) if self.signer else None, **options)
        return manifest(made)[0]["crc"]

    def run(self, script, *args, server=LISTEN):
        with nginx(self.folder, server) as port:
            key = self.signer.board_key if self.signer else ""
            url = f"http://127.0.0.1:{port}/sample"
            facts = board(BOARD + script, url, key, self.tree, *args, heap="8M")
            asked = [(r[2].removeprefix("/sample/"), int(r[3])) for r in requests(self.folder)]
        return facts, [(name, status) for name, status in asked if ".manifest" in name]

    def keep(self, n):
        """Let the tree be the one of now again when the board asks for `tree<n>`."""
        shutil.copytree(self.tree, self.folder / "www" / f"tree{n}")


@pytest.fixture(params=["sha256", "signed"])
def world(request, tmp_path, signers):  # noqa: F811
    return World(tmp_path, signers["RS256"] if request.param == "signed" else None)


def files_of(n):
    return {"boot.py": BOOT, **FILES, "main.py": f"main = {n}", f"only{n}.py": ""}


TWO = """
power_up(blocks=128)
from ota.transports.sd import SdTransport
u = over()
u.transport = SdTransport(ARGS[3])
u.run(reset=False)
boot(2)
confirm()
"""


@pytest.fixture
def two(world):
    """v1.0.1 in the folder `old`, on the server v1.0.2 with a difference from it."""
    world.crcs = [world.publish(1)]
    shutil.copytree(world.tree, world.folder / "old")
    world.crcs.append(world.publish(2))
    world.old = world.folder / "old"
    return world


def test_a_board_that_has_a_release_asks_for_the_difference_alone(two):
    """Then the current one's, with a header alone; from the second check on a 304, and nothing is written."""
    facts, asked = two.run(
        TWO.replace("power_up(", "flash = power_up(")
        + """
ready = go()
told, tree = events(), ramflash.tree()
over().run(reset=False)
ops, size = flash.ops, os.stat("/flash/.ota/state")[6]
again = over().run(reset=False)
tell(ready=ready, told=told, tree=tree, ops=flash.ops - ops, again=again, after=events(), size=size)
""",
        two.old,
    )
    names = [differences.name("stable", c) for c in two.crcs]
    assert asked == [(names[0], 200), (names[1], 200), (names[1], 304)]
    assert (two.tree / names[0]).stat().st_size < (two.tree / "stable.manifest").stat().st_size / 3
    assert (two.tree / names[1]).stat().st_size < 300
    assert facts["ready"] is True and facts["told"] == [] and facts["after"] == ["current"] and facts["again"] is False
    assert facts["tree"] == files_of(2) and facts["ops"] == 0 and facts["size"] <= 128


def test_a_board_whose_release_is_too_old_takes_the_whole_manifest(two):
    """It asks for the difference first, in the same run."""
    two_name = differences.name("stable", two.crcs[0])
    (two.tree / two_name).unlink()
    facts, asked = two.run(TWO + "ready = go()\ntell(ready=ready, told=events(), tree=ramflash.tree())", two.old)
    assert asked == [(two_name, 404), ("stable.manifest", 200)]
    assert facts == {"ready": True, "told": ["fallback"], "tree": files_of(2)}


@pytest.mark.parametrize("mirrors", ["", "from ota.transports.mirror import MirrorTransport\nHttpTransport = lambda *a, **k: MirrorTransport(Http(*a, **k))\n"], ids=["alone", "mirror"])
@pytest.mark.parametrize("status", [403, 500])
def test_a_server_that_refuses_differences_is_asked_for_the_whole_manifest(two, status, mirrors):
    """A bucket says 403 for what is not there."""
    facts, asked = two.run(
        "Http = HttpTransport\n" + mirrors + TWO + "ready = go()\ntell(ready=ready, tree=ramflash.tree())",
        two.old,
        server=LISTEN + f"location ~ /stable.d/ {{ return {status}; }}",
    )
    assert [s for _, s in asked] == [status] * (4 if mirrors and status == 500 else 1) + [200]
    assert facts == {"ready": True, "tree": files_of(2)}


BAD = {
    "one-hash-other": lambda d, h: h + re.sub(rb'"h":"..', b'"h":"00', d[len(h) :], count=1),
    "cut-short": lambda d, h: d[: len(h) + 40],
    "header-alone": lambda d, h: h,
    "page": lambda d, h: b"<html>\n" * 9,
    "empty": lambda d, h: b"",
    "endless": lambda d, h: h + b"".join(entry(f"x{i:05d}") for i in range(900)),
    "one-endless-line": lambda d, h: h + b"x" * 40000,
    "unsorted": lambda d, h: h + entry("b") + entry("a"),
    "removes-what-is-not-there": lambda d, h: h + b'{"p":"none"}\n' + d[len(h) :],
    "removes-what-stays": lambda d, h: h + b'{"p":"lib/part01.txt"}\n' + d[len(h) :],
    "leaves-the-root": lambda d, h: h + entry("../x") + d[len(h) :],
    "touches-the-state": lambda d, h: h + entry(".ota/state") + d[len(h) :],
    "nested-too-deep": lambda d, h: h + b'{"p":' + b"[" * 900 + b"\n" + d[len(h) :],
    "expired": lambda d, h: h.replace(b'"files"', b'"expires":1760000000,"files"') + d[len(h) :],
    "older": lambda d, h: h.replace(b'"seq":2', b'"seq":0') + d[len(h) :],
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_difference_that_is_no_good_is_followed_by_the_whole_manifest(two, bad):
    """Once, in the same run, which ends in the release; what was live is untouched until then."""
    path = two.tree / differences.name("stable", two.crcs[0])
    content = path.read_bytes()
    path.write_bytes(bad(content, content[: content.index(b"\n") + 1]))
    facts, asked = two.run(TWO + "ready = go()\ntell(ready=ready, told=events(), tree=ramflash.tree())", two.old)
    assert [status for _, status in asked] == [200, 200] and asked[1][0] == "stable.manifest"
    assert facts == {"ready": True, "told": ["fallback"], "tree": files_of(2)}


@pytest.mark.parametrize("whole", [False, True])
def test_a_tampered_difference_with_the_right_crc_is_refused_by_its_signature(tmp_path, signers, whole):  # noqa: F811
    """With a sound manifest beside it that is taken; else nothing is installed."""
    world = World(tmp_path, signers["RS256"])
    crc_of = world.publish(1)
    shutil.copytree(world.tree, tmp_path / "old")
    old = Tree(world.tree).manifest("stable.manifest")
    world.publish(2)
    head = Tree(world.tree).manifest("stable.manifest")
    lines = head.lines().replace(b'"p":"only2.py"', b'"p":"evil.py"')
    lines = b"".join(sorted(lines.splitlines(True)))
    raw = line({**head.header, "crc": crc(lines)}) + lines + head.raw[len(head.body) :]
    (world.tree / differences.name("stable", crc_of)).write_bytes(differences.difference(old, parse_manifest(raw, "x")))
    if whole:
        (world.tree / "stable.manifest").write_bytes(raw)
    facts, asked = world.run(
        TWO + "said = error(over().run, reset=False)\ntell(told=events(), said=said)\nboot(2)\nconfirm()\ntell(tree=ramflash.tree())",
        tmp_path / "old",
    )
    assert [status for _, status in asked] == [200, 200] and facts["told"] == ["fallback"]
    assert facts["said"].startswith("SignatureError: 0 of 1 signatures hold for v1.0.2" if whole else "no error")
    assert facts["tree"] == files_of(1 if whole else 2)


def test_a_board_that_is_not_drawn_gets_a_304_from_the_second_check_on_and_writes_nothing(world):
    """The tag is of the difference that it asked for, and goes with no other name."""
    one = world.publish(1)
    shutil.copytree(world.tree, world.folder / "old")
    world.publish(2, terms=Terms(rollout=0))
    facts, asked = world.run(
        TWO.replace("power_up(", "flash = power_up(")
        + """
first = over().run(reset=False)
told, ops = events(), flash.ops
second = over().run(reset=False)
tell(ready=[first, second], told=told, again=events(), ops=flash.ops - ops, size=os.stat("/flash/.ota/state")[6])
""",
        world.folder / "old",
    )
    assert asked == [(differences.name("stable", one), 200), (differences.name("stable", one), 304)]
    assert facts["ready"] == [False, False] and facts["told"] == ["rollout"] and facts["again"] == ["current"]
    assert facts["ops"] == 0 and facts["size"] <= 128


def test_a_live_manifest_that_was_written_by_the_board_ends_in_the_whole_one(two):
    """After a file was changed by hand and the release undone: no difference fits, and the next update comes all the same."""
    facts, asked = two.run(
        TWO
        + """
ramflash.write("main.py", b"by hand")
over(trial_boots=1).run(reset=False)
boot(4)
undone = status()["phase"], ramflash.read("main.py")
from ota.bootguard import load, save
state = load("/flash")
state.update({"refused": 0, "etag": ""})
save("/flash", state)
ready = go()
tell(undone=undone, ready=ready, told=events(), tree=ramflash.tree())
""",
        two.old,
    )
    assert facts["undone"] == ["idle", "by hand"]
    assert facts["ready"] is True and facts["told"] == ["fallback"] and facts["tree"] == files_of(2)
    assert [status for _, status in asked] == [200, 200, 200]


def test_a_live_manifest_that_was_damaged_is_no_base_for_a_difference(two):
    """Its CRC in the state says so before a line of it is used."""
    facts, asked = two.run(
        TWO
        + """
from ota.bootguard import load
slot = ".ota/" + load("/flash")["live"]
ramflash.write(slot, ramflash.read(slot).replace(b"part01", b"part0x"))
ready = go()
tell(ready=ready, tree=ramflash.tree())
""",
        two.old,
    )
    assert facts["ready"] is True and {**facts["tree"], **files_of(2)} == facts["tree"]
    assert asked[-1] == ("stable.manifest", 200)


def test_what_ota_publish_wrote_works_from_a_card_as_well(two):
    """Transports know nothing of differences."""
    script = """
asked = []
class Card(SdTransport):
    def _open(self, name, start=0, etag=None):
        asked.append(name)
        return super()._open(name, start, etag)
u = over()
u.transport = Card(ARGS[2])
u.run(reset=False)
boot(2)
confirm()
tell(told=events(), tree=ramflash.tree(), manifests=[name for name in asked if "manifest" in name])
"""
    facts, _ = two.run(TWO + script, two.old)
    assert facts.pop("manifests") == [differences.name("stable", two.crcs[0])]
    assert facts == {"told": [], "tree": files_of(2)}


def test_a_small_form_that_the_server_refuses_gives_way_to_the_next(tmp_path):
    """Status 403 for a delta, and for a zlib stream: the file comes whole."""
    world = World(tmp_path)
    text = "".join(f"def f{i}():\n    return {i * i}\n" for i in range(200))
    world.publish(1, {"boot.py": BOOT, "a.py": text})
    shutil.copytree(world.tree, tmp_path / "old")
    world.publish(2, {"boot.py": BOOT, "a.py": text + "# end\n"})
    facts, _ = world.run(
        TWO + "ready = go()\ntell(ready=ready, told=events(), tree=ramflash.tree())",
        tmp_path / "old",
        server=LISTEN + r"location ~ (/deltas/|\.z$) { return 403; }",
    )
    assert facts == {"ready": True, "told": ["fallback", "fallback"], "tree": {"boot.py": BOOT, "a.py": text + "# end\n"}}


def test_a_server_on_which_old_differences_stay_still_brings_every_board_to_the_newest(tmp_path):
    """As `rsync` without `--delete` leaves it: each step is a release that was published."""
    world = World(tmp_path)
    first = world.publish(1)
    shutil.copytree(world.tree, tmp_path / "old")
    world.publish(2)
    stale = world.tree / differences.name("stable", first)
    content = stale.read_bytes()
    for n in range(3, 9):
        world.publish(n)
    assert not stale.exists()
    stale.write_bytes(content)
    script = "steps = []\nwhile go():\n    steps.append(ramflash.read('main.py').decode())\ntell(steps=steps)"
    facts, asked = world.run(TWO + script, tmp_path / "old")
    assert facts["steps"] == ["main = 2", "main = 8"]
    assert [status for _, status in asked] == [200, 404, 200, 200]


def test_the_tag_of_a_difference_is_never_sent_for_the_whole_manifest_nor_for_another_difference(tmp_path):
    """On a server that has one tag for all that is of one size and time."""
    world = World(tmp_path)
    world.publish(1)
    shutil.copytree(world.tree, tmp_path / "old")
    world.publish(2, terms=Terms(rollout=0))
    world.keep(0)
    shutil.rmtree(tmp_path / "www/tree0/stable.d")
    world.publish(2, terms=Terms(rollout=100))
    shutil.copy(world.tree / "stable.manifest", tmp_path / "www/tree0")
    world.publish(2, terms=Terms(rollout=0))
    script = """
from ota.errors import NotModified
asked = []
class Card(SdTransport):
    def _open(self, name, start=0, etag=None):
        asked.append([name.split("/")[0], etag])
        inner = super()._open(name)
        if etag:
            raise NotModified(name)
        inner.etag = "x" if "manifest" in name else None
        return inner
u = over()
u.transport = Card(ARGS[2])
u.run(reset=False)
u.run(reset=False)
u.transport = Card(ARGS[4])
ready = u.run(reset=False)
tell(asked=[one for one in asked if one[0] != "blobs"], ready=ready)
"""
    facts, _ = world.run(TWO + script, tmp_path / "old", tmp_path / "www/tree0")
    assert facts["asked"] == [["stable.d", None], ["stable.d", "x"], ["stable.d", "x"], ["stable.manifest", None]]
    assert facts["ready"] is True
