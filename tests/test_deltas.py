"""Smaller forms: what `ota publish` makes of a content for boards that have an older one, or none."""

import io
import json
import random
import re
import shutil
import zlib
from hashlib import sha256

import detools
import pytest
import strategies
from hypothesis import example, given, settings
from support import ROOT, run_mp
from test_keys import keys, signers  # noqa: F401
from test_publish import BOOT, Cut, cutting, manifest, problems, project, publish, snapshot

from ota.manifest import LINE
from ota_host import audit, common, config, delta, drafts, release
from ota_host.errors import ConfigError, HostError, OutsideError
from ota_host.tree import Tree


def text(number, lines=60):
    """A source file of some lines (str), of which one depends on the number."""
    body = [f"def function_{i}(value):\n    return value * {i * i} + {i % 7}\n" for i in range(lines)]
    body[lines // 2] = f"VERSION = {number}\n"
    return "".join(body)


def of_text(number):
    """The SHA-256 of that content, in hex."""
    return sha256(text(number).encode()).hexdigest()


def release_of(folder, number, path="a.py", **options):
    """Publish v1.0.<number>, whose one large file is `text(number)`; gives the settings."""
    made = project(folder, {"boot.py": BOOT, path: text(number)})
    publish(made, f"v1.0.{number}", **options)
    return made


def entry(settings, path="a.py", name="stable.manifest"):
    return next(e for e in manifest(settings, name)[1:] if e["p"] == path)


def bases(settings, *numbers):
    """The keys of `d` that the contents of these releases have."""
    return [of_text(n)[:16] for n in numbers]


def by_detools(packed, old):
    """Apply a patch with the library whose format it is."""
    new = io.BytesIO()
    detools.apply_patch(io.BytesIO(old), io.BytesIO(zlib.decompressobj(12).decompress(packed)), new)
    return new.getvalue()


def noise(size):
    return random.Random(size).randbytes(size)


def dense(data, every=400):
    """`data` with a changed byte in so many."""
    return bytes(byte ^ (i % every == 0) for i, byte in enumerate(data))


# Pairs of contents, made when they are wanted: what bsdiff alone takes too long for, or too much memory.
PADDING = b"\xff" * 131072
LARGE = {
    "an edit before padding": lambda: (noise(200000) + PADDING, noise(200000).replace(noise(200000)[:9], b"x") + PADDING),
    "edits on both sides of padding": lambda: (
        noise(90000) + PADDING + noise(80000), dense(noise(90000)) + PADDING + dense(noise(80000)),
    ),
    "padding that grows and moves": lambda: (
        noise(90000) + PADDING + noise(80000), b"x" + dense(noise(90000)) + PADDING * 2 + dense(noise(80000)),
    ),
    "padding that is new": lambda: (noise(90000) + noise(80000), dense(noise(90000)) + PADDING + dense(noise(80000))),
    "padding of two bytes": lambda: (noise(90000) + b"ab" * 65536, dense(noise(90000)) + b"ab" * 70000 + b"x"),
    "a picture, mostly black": lambda: (noise(90000) + bytes(200000), b"x" + noise(90000)[1:] + bytes(150000) + b"x" + bytes(49999)),
    "over 4 MB": lambda: (noise(5 << 20), noise(5 << 20)[:9] + b"x" + noise(5 << 20)[9:-9] + b"y"),
    "halves change places": lambda: (noise(5 << 20), noise(5 << 20)[1 << 20 :] + PADDING + noise(5 << 20)[: 1 << 20]),
}  # fmt: skip


class TestPatch:
    @given(pair=strategies.revisions)
    @example(pair=(b"", b""))
    @example(pair=(b"", b"new"))
    @example(pair=(b"old", b""))
    @example(pair=(b"a" * 30 + bytes(range(200)), bytes(range(200)) + b"a" * 30))
    @settings(max_examples=300, deadline=None)
    def test_another_library_makes_the_new_content_of_every_patch(self, pair):
        """detools, and our own reader."""
        old, new = pair
        packed = delta.patch(old, new)
        assert by_detools(packed, old) == new
        assert delta.apply(packed, old, len(new)) == new
        assert delta.unpack(packed, 99999).endswith(b"\0")  # the last seek

    def test_one_line_of_a_file_is_a_hundredth_of_it(self):
        """And the window is the one that a board has RAM for."""
        packed = delta.patch(text(1).encode(), text(2).encode())
        assert len(packed) < len(text(2)) // 50
        assert packed[0] == 0x48

    def test_a_block_that_moves_up_is_a_seek_back(self):
        """The largest of numbers and a negative one."""
        blocks = [bytes([i * 7 % 256, i % 256, i // 256, 5]) * 3 for i in range(9000)]
        old, new = b"".join(blocks), b"".join(blocks[6000:] + blocks[:6000])
        packed = delta.patch(old, new)
        assert by_detools(packed, old) == new == delta.apply(packed, old, len(new))
        assert len(packed) < 1000

    @pytest.mark.parametrize("name", LARGE)
    def test_what_a_large_or_repetitive_content_keeps_does_not_travel(self, name):
        """bsdiff would need minutes over the padding, or 17 times the memory."""
        old, new = LARGE[name]()
        packed = delta.patch(old, new)
        assert len(packed) < len(new) // 100
        assert delta.apply(packed, old, len(new)) == new

    @pytest.mark.parametrize("every", [400, 50])
    def test_what_is_too_large_for_bsdiff_and_changed_everywhere_has_a_patch(self, monkeypatch, every):
        """Cut where it is the same, or in halves where no piece is long enough for that."""
        monkeypatch.setattr(common, "GAP", 1 << 17)
        old, new = noise(300000), dense(noise(300000), every)
        packed = delta.patch(old, new)
        assert len(packed) < len(new) * 4 // every and delta.apply(packed, old, len(new)) == new

    def test_the_common_head_and_tail_are_set_aside_first(self):
        """However short they are."""
        found = common.parts(b"begin one end", b"begin another end")
        assert [(p.start, p.end, p.low, p.high, p.is_same) for p in found] == [
            (0, 6, 0, 6, True), (6, 13, 6, 9, False), (13, 17, 9, 13, True),
        ]  # fmt: skip

    def test_another_library_makes_the_new_content_of_a_patch_in_parts(self):
        """One that begins in the middle of the old content, goes back, and has a run that the old one lacks."""
        old, new = LARGE["halves change places"]()
        assert by_detools(delta.patch(old, new), old) == new

    @pytest.mark.parametrize("name", ["padding that grows and moves", "halves of 1 MB change places"])
    def test_a_board_makes_the_new_content_of_a_patch_in_parts(self, tmp_path, monkeypatch, name):
        """With its one buffer, on the real MicroPython."""
        monkeypatch.setattr(common, "GAP", 1 << 17)
        halves = noise(1 << 20), noise(1 << 20)[1 << 18 :] + noise(1 << 20)[: 1 << 18]
        old, new = LARGE[name]() if name in LARGE else halves
        (tmp_path / "old").write_bytes(old)
        (tmp_path / "patch").write_bytes(delta.patch(old, new))
        script = """
import binascii, hashlib, json, os
from ota.patch import Inflater, patched
size, = json.loads(os.getenv("ARGS"))
h = hashlib.sha256()
with open("old", "rb") as old, open("patch", "rb") as stream:
    for piece in patched(old, Inflater(stream), int(size), memoryview(bytearray(1024))):
        h.update(piece)
print(binascii.hexlify(h.digest()).decode())
"""
        assert run_mp(script, len(new), cwd=tmp_path).stdout.strip() == sha256(new).hexdigest()

    @given(pair=strategies.revisions, padding=strategies.paddings)
    @settings(max_examples=60, deadline=None)
    def test_padding_anywhere_leaves_a_patch_right(self, pair, padding):
        """Whatever is found, the new content comes out."""
        old, new = (half[: len(half) // 2] + run + half[len(half) // 2 :] for half, run in zip(pair, padding, strict=True))
        packed = delta.patch(old, new)
        assert packed is None or delta.apply(packed, old, len(new)) == new

    def test_contents_with_nothing_in_common_get_none_in_little_time(self):
        """They are not even given to bsdiff."""
        old, new = random.Random(4).randbytes(common.GAP + 1), random.Random(5).randbytes(common.GAP + 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delta, "_bsdiff", None)
            assert delta.patch(old, new) is None

    @given(a=strategies.runs, b=strategies.runs)
    @settings(max_examples=200, deadline=None)
    def test_the_common_head_and_tail_are_as_long_as_they_can_be(self, a, b):
        """Also over several of the chunks that are compared at once."""
        n = common.head(a, b)
        assert a[:n] == b[:n] and (n in (len(a), len(b)) or a[n] != b[n])
        n = common.tail(a, b)
        assert a[len(a) - n :] == b[len(b) - n :] and (n in (len(a), len(b)) or a[-n - 1] != b[-n - 1])

    def test_the_example_of_the_reference_is_the_patch_to_the_byte(self):
        """Who writes a decoder may check it with that."""
        page = (ROOT / "docs/reference/formats.md").read_text()
        old, new = re.search(r"^The patch from `(.+)` to `(.+)`,", page, re.M).groups()
        rows = page.split("| bytes, hex | are |", 1)[1].split("\n\n", 1)[0]
        inside = bytes.fromhex("".join(re.findall(r"^\| `([0-9a-f ]+)`", rows, re.M)))
        assert delta.unpack(delta.patch(old.encode(), new.encode()), 999) == inside
        assert delta.apply(delta.pack(inside), old.encode(), len(new)) == new.encode()

    @pytest.mark.parametrize(
        ("inside", "reason"),
        [
            pytest.param(b"", "that has 0 of 1 bytes at 0", id="empty"),
            pytest.param(b"\x10\x03\0\0\x03new\0", "of another type than sequential without compression", id="type"),
            pytest.param(b"\0\x04\0\0\x04news\0", "that makes 4 bytes", id="size"),
            pytest.param(b"\0\x03\x01\0\x03new\0", "with a data format", id="data-format"),
            pytest.param(b"\0\x03\0\0\x04new", "that has 3 of 4 bytes at 5", id="short"),
            pytest.param(b"\0\x03\0\x41\0", "that has 1 of -1 bytes at 4", id="negative"),
            pytest.param(b"\0\x03\0\x01\0\0\x05\x02\0\0\0\0", "that reads 2 bytes at 6 of 3", id="beyond"),
            pytest.param(b"\0\x03\0\x01\0\0\x45\x02\0\0\0\0", "that reads 2 bytes at -4 of 3", id="before"),
            pytest.param(b"\0\x03\0\0\x04news\0", "that goes on after 3 bytes", id="long"),
            pytest.param(b"\0\x03\0\0\x03new\0more", "that goes on after 3 bytes", id="rest"),
        ],
    )
    def test_what_is_no_patch_of_this_content_is_refused(self, inside, reason):
        """With what is wrong, and never endless."""
        with pytest.raises(HostError, match=f"^a patch {reason}$"):
            delta.apply(delta.pack(inside), b"old", 3)

    @pytest.mark.parametrize(
        ("packed", "reason"),
        [
            pytest.param(b"text", "no zlib stream with a 4 KB window: ", id="no-zlib"),
            pytest.param(zlib.compress(b"new"), "no zlib stream with a 4 KB window: .*window size", id="window"),
            pytest.param(delta.pack(b"new")[:-1], "a zlib stream that is cut short", id="short"),
            pytest.param(delta.pack(b"new") + b"x", "a zlib stream with bytes after its end", id="rest"),
            pytest.param(delta.pack(bytes(10**6)), "a zlib stream of over 3 bytes", id="bomb"),
        ],
    )
    def test_a_stream_that_a_board_would_not_take_is_refused(self, packed, reason):
        """Also one that would fill its RAM."""
        with pytest.raises(HostError, match=f"^{reason}"):
            delta.unpack(packed, 3)


class TestForms:
    def test_the_zlib_form_stands_beside_a_content_that_it_makes_smaller(self, tmp_path):
        """Named with its size; a small content has none."""
        made = release_of(tmp_path, 1)
        line = entry(made)
        packed = (made.tree / "blobs" / line["h"][:2] / (line["h"] + ".z")).read_bytes()
        assert len(packed) == line["z"] < line["s"]
        assert zlib.decompressobj(12).decompress(packed) == text(1).encode()
        assert "z" not in entry(made, "boot.py") and len(list(made.tree.glob("blobs/*/*.z"))) == 1
        assert problems(made) == []

    def test_a_changed_file_gets_a_patch_from_what_the_channel_had(self, tmp_path):
        """Named by the base, smaller than the zlib form, and right."""
        release_of(tmp_path, 1)
        made = release_of(tmp_path, 2)
        line = entry(made)
        (base,) = line["d"]
        packed = (made.tree / f"deltas/{base}-{line['h'][:16]}").read_bytes()
        assert base == of_text(1)[:16] and len(packed) == line["d"][base] < line["z"]
        assert by_detools(packed, text(1).encode()) == text(2).encode()
        assert list(line) == ["p", "s", "h", "z", "d"]
        assert problems(made) == []

    def test_what_stays_the_same_or_is_new_gets_none(self, tmp_path):
        """Boards do not fetch the first, and have nothing of the second."""
        files = {"boot.py": BOOT, "same.py": text(1), "other.py": text(2)}
        publish(project(tmp_path, files), "v1.0.0")
        made = project(tmp_path, {"boot.py": BOOT, "same.py": text(1), "new.py": text(2)})
        publish(made, "v1.0.1")
        assert not any("d" in e for e in manifest(made)[1:])
        assert not (made.tree / "deltas").exists()

    def test_a_content_that_returns_gets_patches_from_others_only(self, tmp_path):
        """1, 2, 1: nothing from itself."""
        release_of(tmp_path, 1)
        release_of(tmp_path, 2)
        made = project(tmp_path, {"boot.py": BOOT, "a.py": text(1)})
        publish(made, "v1.0.3")
        assert list(entry(made)["d"]) == bases(made, 2)

    def test_a_patch_that_is_no_smaller_is_neither_written_nor_named(self, tmp_path):
        """Contents that have nothing in common."""
        publish(project(tmp_path, {"boot.py": BOOT, "a": bytes(range(256)) * 2}), "v1.0.0")
        made = project(tmp_path, {"boot.py": BOOT, "a": sha256(b"x").digest() * 2})
        publish(made, "v1.0.1")
        assert "d" not in entry(made, "a") and not (made.tree / "deltas").exists()

    @pytest.mark.parametrize(("count", "numbers"), [(5, [6, 5, 4, 3, 2]), (2, [6, 5]), (0, [])])
    def test_the_last_releases_count_newest_first(self, tmp_path, count, numbers):
        """Five unless told otherwise."""
        for number in range(1, 7):
            release_of(tmp_path, number, deltas=0)
        made = release_of(tmp_path, 7, **({} if count == 5 else {"deltas": count}))
        assert list(entry(made).get("d", {})) == bases(made, *numbers)
        assert len(list(made.tree.glob("deltas/*"))) == len(numbers)

    def test_without_compression_a_patch_has_to_be_smaller_than_the_content(self, tmp_path):
        """There is no zlib form at all."""
        release_of(tmp_path, 1, compress=False)
        made = release_of(tmp_path, 2, compress=False)
        assert "z" not in entry(made) and list(entry(made)["d"]) == bases(made, 1)
        assert list(made.tree.glob("blobs/*/*.z")) == []

    def test_a_base_that_the_tree_lost_gets_no_patch(self, tmp_path):
        """Its boards fetch the whole file; a damaged one is as good as lost."""
        made = release_of(tmp_path, 1)
        release_of(tmp_path, 2)
        (made.tree / Tree("").blob(of_text(1))).write_bytes(b"damaged")
        made = release_of(tmp_path, 3)
        assert list(entry(made)["d"]) == bases(made, 2)

    def test_a_form_that_is_there_already_stays_as_it_is(self, tmp_path):
        """Another zlib makes other bytes, and what a server offers for ever never changes."""
        stream = zlib.compressobj(1, zlib.DEFLATED, 12)
        packed = stream.compress(text(1).encode()) + stream.flush()
        name = Tree("").packed(of_text(1))
        (tmp_path / "public/sample" / name).parent.mkdir(parents=True)
        (tmp_path / "public/sample" / name).write_bytes(packed)
        made = release_of(tmp_path, 1)
        assert entry(made)["z"] == len(packed) != len(delta.pack(text(1).encode()))
        assert (made.tree / name).read_bytes() == packed

    def test_a_line_is_never_over_its_limit(self, tmp_path):
        """The longest path, twice as long in JSON, and more patches than fit: the newest ones stand."""
        tree, path = Tree(tmp_path / "t"), '"' * 128
        for number in range(34):
            data = text(number).encode()
            line = {"p": path, "s": len(data), "h": of_text(number), "c": 1}
            built = release.Build("sample", [line], {line["h"]: data}, {}, {}, [])
            release.publish(built, tree, f"v1.0.{number}", deltas=40)
        (line,) = tree.manifest("stable.manifest").entries
        size = max(map(len, (tmp_path / "t/stable.manifest").read_bytes().splitlines(True)))
        assert LINE - 30 < size <= LINE and delta.MOST <= len(line["d"]) < 33
        assert list(line["d"]) == [of_text(n)[:16] for n in range(32, 32 - len(line["d"]), -1)]
        assert audit.verify(tree.folder).problems == []

    @given(pair=strategies.revisions)
    @settings(max_examples=15, deadline=None)
    def test_whatever_changes_the_tree_verifies(self, tmp_path_factory, pair):
        """And boards get the new content by every way that is named."""
        folder = tmp_path_factory.mktemp("f")
        old, new = (half * 5 for half in pair)
        publish(project(folder, {"boot.py": BOOT, "a": old}), "v1.0.0")
        made = project(folder, {"boot.py": BOOT, "a": new})
        publish(made, "v1.0.1")
        assert problems(made) == []
        for base in entry(made, "a").get("d", {}):
            name = Tree("").patch(base, entry(made, "a")["h"])
            assert by_detools((made.tree / name).read_bytes(), old) == new


    def test_the_real_micropython_unpacks_both(self, tmp_path):
        """In little RAM, because of the window."""
        release_of(tmp_path, 1)
        made = release_of(tmp_path, 2)
        script = """
import binascii, deflate, hashlib, json, os
for name in json.loads(os.getenv("ARGS")):
    h = hashlib.sha256()
    with open(name, "rb") as f, deflate.DeflateIO(f, deflate.ZLIB) as d:
        while chunk := d.read(64):
            h.update(chunk)
    print(binascii.hexlify(h.digest()).decode())
"""
        names = [made.tree / Tree("").packed(of_text(2)), made.tree / Tree("").patch(of_text(1), of_text(2))]
        inside = sha256(delta.unpack(names[1].read_bytes(), 99999)).hexdigest()
        assert run_mp(script, *names, heap="24wK").stdout.split() == [of_text(2), inside]


class TestChannels:
    def versions(self, settings, channel, version, count=5):
        return [m.version for m in delta.bases(Tree(settings.tree), channel, version, count)]

    def test_one_channel_has_had_every_release(self, tmp_path):
        """A pre-release among them."""
        made = release_of(tmp_path, 1)
        publish(project(tmp_path, {"boot.py": BOOT, "a": "rc"}), "v1.0.2-rc.1")
        release_of(tmp_path, 2)
        assert self.versions(made, "stable", "v1.0.3") == ["v1.0.2", "v1.0.2-rc.1", "v1.0.1"]
        assert self.versions(made, "stable", "v1.0.3", 2) == ["v1.0.2", "v1.0.2-rc.1"]
        assert self.versions(made, "stable", "v1.0.3", 0) == []

    def test_what_each_channel_has_now_comes_first_then_the_newest(self, tmp_path):
        """A release may go from beta to stable as it is, with the patches that it was made with."""
        made = release_of(tmp_path, 1)
        for number in range(2, 6):
            release_of(tmp_path, number, channel="beta")
        assert self.versions(made, "beta", "v1.0.6", 3) == ["v1.0.5", "v1.0.1", "v1.0.4"]
        assert self.versions(made, "stable", "v1.0.6", 3) == ["v1.0.1", "v1.0.5", "v1.0.4"]
        publish(project(tmp_path, {"boot.py": BOOT, "a.py": text(6)}), "v1.0.6", channel="beta")
        release.republish(Tree(made.tree), "v1.0.6", channel="stable")
        assert of_text(1)[:16] in entry(made)["d"]
        assert (made.tree / "stable.manifest").read_bytes() == (made.tree / "beta.manifest").read_bytes()

    def test_pre_releases_of_another_channel_take_no_place_of_a_release(self, tmp_path):
        """Twenty nightly builds between two releases do not cost boards of the first their patch."""
        made = release_of(tmp_path, 1)
        release_of(tmp_path, 2)
        for number in range(1, 4):
            files = {"boot.py": BOOT, "a": str(number)}
            publish(project(tmp_path, files), f"v1.1.0-rc.{number}", channel="beta")
        assert self.versions(made, "stable", "v1.0.3", 4) == ["v1.0.2", "v1.1.0-rc.3", "v1.0.1"]
        assert self.versions(made, "beta", "v1.1.0-rc.4", 3) == ["v1.1.0-rc.3", "v1.0.2", "v1.1.0-rc.2"]

    def test_a_release_that_cannot_be_read_is_left_out(self, tmp_path):
        """It is no reason not to publish; its first line has the seq all the same."""
        made = release_of(tmp_path, 1)
        release_of(tmp_path, 2)
        path = made.tree / "releases/v1.0.1.manifest"
        path.write_bytes(path.read_bytes().splitlines(True)[0])
        assert self.versions(made, "stable", "v1.0.3") == ["v1.0.2"]


class TestAgain:
    @pytest.fixture
    def two(self, tmp_path):
        """A project with v1.0.1 and v1.0.2 on stable."""
        release_of(tmp_path, 1)
        return release_of(tmp_path, 2)

    def forms(self, settings):
        """The files of the smaller forms, by kind."""
        (z,) = settings.tree.glob(f"blobs/*/{of_text(2)}.z")
        (patch,) = settings.tree.glob("deltas/*")
        return {"z": z, "d": patch}

    def test_the_same_again_changes_nothing(self, two):
        """Also with other settings: a release never changes."""
        before = snapshot(two.tree)
        for options in ({}, {"deltas": 0, "compress": False}, {"deltas": 20}):
            assert not publish(two, "v1.0.2", **options).changed
        assert snapshot(two.tree) == before

    @pytest.mark.parametrize("kind", ["z", "d"])
    @pytest.mark.parametrize("left", [None, b"torn"], ids=["gone", "torn"])
    def test_a_form_that_is_gone_or_damaged_is_mended(self, two, kind, left):
        """As a content is."""
        before = {name: data for name, (data, _) in snapshot(two.tree).items()}
        path = self.forms(two)[kind]
        path.unlink() if left is None else path.write_bytes(left)
        report = audit.verify(two.tree)
        assert len(report.problems + report.warnings) == 1
        publish(two, "v1.0.2")
        assert {name: data for name, (data, _) in snapshot(two.tree).items()} == before

    def test_a_damaged_patch_whose_base_is_gone_is_removed_with_a_warning(self, two):
        """Boards take the whole file where a form is missing, and waste bytes on a damaged one."""
        forms = self.forms(two)
        forms["d"].write_bytes(b"torn")
        (two.tree / Tree("").blob(of_text(1))).unlink()
        (warning,) = publish(two, "v1.0.2").warnings
        size = entry(two)["d"][of_text(1)[:16]]
        assert warning == (
            f"{forms['d']} was damaged or missing and cannot be rebuilt in {size} bytes; boards fetch all of a.py instead"
        )
        assert not forms["d"].exists()

    def test_a_form_that_comes_out_in_another_size_is_removed_with_a_warning(self, two, monkeypatch):
        """Another zlib, and the file that the first one made is damaged."""
        path = self.forms(two)["z"]
        path.write_bytes(b"torn")
        monkeypatch.setattr(delta, "pack", lambda data: b"x")
        (warning,) = publish(two, "v1.0.2").warnings
        assert warning.startswith(f"{path} was damaged or missing and cannot be rebuilt in ") and not path.exists()

    def test_a_rollback_gets_patches_from_what_boards_have_now(self, two):
        """The release that it brings back stays as it was."""
        first = (two.tree / "releases/v1.0.1.manifest").read_bytes()
        done = release.republish(Tree(two.tree), "v1.0.1")
        line = entry(two)
        assert list(line["d"]) == bases(two, 2)
        name = f"deltas/{of_text(2)[:16]}-{of_text(1)[:16]}"
        assert name in done.written
        assert by_detools((two.tree / name).read_bytes(), text(2).encode()) == text(1).encode()
        assert (two.tree / "releases/v1.0.1.manifest").read_bytes() == first
        assert not release.republish(Tree(two.tree), "v1.0.1").changed
        assert problems(two) == []

    def test_a_rollback_without_patches_has_none(self, two):
        """The settings count there too."""
        release.republish(Tree(two.tree), "v1.0.1", deltas=0, compress=False)
        assert list(entry(two)) == ["p", "s", "h"]


class TestDraft:
    def draft(self, folder):
        release_of(folder, 1)
        made = project(folder, {"boot.py": BOOT, "a.py": text(2)})
        file = folder / "v1.0.2.draft"
        publish(made, "v1.0.2", draft=file)
        return made, file

    def put(self, settings, file, signer):
        drafts.sign(file, [signer])
        return drafts.publish(file, [file.with_name(file.name + ".sig")], Tree(settings.tree), "sample")

    def test_the_lines_of_a_draft_name_forms_that_are_there(self, tmp_path):
        """Before any channel names them."""
        made, file = self.draft(tmp_path)
        line = json.loads(file.read_bytes().splitlines()[1])
        assert line["z"] and list(line["d"]) == bases(made, 1)
        assert (made.tree / Tree("").packed(line["h"])).stat().st_size == line["z"]
        assert [p.name for p in made.tree.glob("deltas/*")] == [f"{of_text(1)[:16]}-{of_text(2)[:16]}"]
        assert manifest(made)[0]["version"] == "v1.0.1"
        assert audit.verify(made.tree).unused == 0

    def test_a_draft_made_again_stays_as_it_is(self, tmp_path):
        """Also once its forms are there."""
        made, file = self.draft(tmp_path)
        before = file.read_bytes()
        publish(made, "v1.0.2", draft=file)
        assert file.read_bytes() == before

    @pytest.mark.parametrize("lost", [None, "z", "d"])
    def test_a_draft_on_the_channel_has_all_that_it_names(self, tmp_path, signers, lost):  # noqa: F811
        """What went in between is made again, and the release is the draft to the byte."""
        made, file = self.draft(tmp_path)
        names = {"z": Tree("").packed(of_text(2)), "d": Tree("").patch(of_text(1), of_text(2))}
        if lost:
            (made.tree / names[lost]).unlink()
        self.put(made, file, signers["ES256"])
        assert (made.tree / "releases/v1.0.2.manifest").read_bytes().startswith(file.read_bytes())
        assert entry(made)["d"] and problems(made) == []

    def test_a_draft_that_names_a_form_that_is_lost_is_published_with_a_warning(self, tmp_path, signers):  # noqa: F811
        """Its boards fetch the whole file."""
        made, file = self.draft(tmp_path)
        shutil.rmtree(made.tree / "deltas")
        (made.tree / Tree("").blob(of_text(1))).unlink()
        assert "boards fetch all of a.py instead" in self.put(made, file, signers["ES256"]).warnings[0]
        assert manifest(made)[0]["version"] == "v1.0.2"


class TestVerify:
    @pytest.fixture
    def two(self, tmp_path):
        """A project with v1.0.1 and v1.0.2 on stable."""
        release_of(tmp_path, 1)
        return release_of(tmp_path, 2)

    def path(self, settings, kind):
        if kind == "z":
            return settings.tree / Tree("").packed(of_text(2))
        return settings.tree / Tree("").patch(of_text(1), of_text(2))

    @pytest.mark.parametrize("kind", ["z", "d"])
    @pytest.mark.parametrize(
        ("damage", "expected", "found"),
        [
            pytest.param(lambda data: data[:-1], r"\d+ bytes", r"\d+ bytes", id="short"),
            pytest.param(lambda data: bytes(len(data)), "sha256 .* inside", "no zlib stream.*", id="no-zlib"),
            pytest.param(lambda data: data[:-1] + b"x", "sha256 .* inside", "no zlib stream.*", id="sum"),
        ],
    )
    def test_a_form_that_boards_cannot_use_is_a_problem(self, two, kind, damage, expected, found):
        """One for each, with what was expected and found."""
        path = self.path(two, kind)
        path.write_bytes(damage(path.read_bytes()))
        (problem,) = problems(two)
        assert problem.file == str(path)
        assert re.fullmatch(expected, problem.expected) and re.fullmatch(found, problem.found)

    @pytest.mark.parametrize("kind", ["z", "d"])
    def test_a_form_that_is_missing_is_a_warning(self, two, kind):
        """Boards fetch the whole file."""
        self.path(two, kind).unlink()
        report = audit.verify(two.tree)
        (warning,) = report.warnings
        assert warning == f"{self.path(two, kind)}: no such file; boards fetch all of a.py ({len(text(2))} bytes) instead"
        assert report.problems == []

    @pytest.mark.parametrize("kind", ["z", "d"])
    def test_a_form_of_another_content_is_a_problem(self, two, kind):
        """Right in size and shape, and yet it makes something else."""
        path, size = self.path(two, kind), self.path(two, kind).stat().st_size
        makers = {"z": lambda n: delta.pack(text(n).encode()), "d": lambda n: delta.patch(text(1).encode(), text(n).encode())}
        path.write_bytes(next(m for n in range(3, 99) if len(m := makers[kind](n)) == size))
        (problem,) = problems(two)
        assert problem.expected == f"sha256 {of_text(2)} inside" and problem.found.startswith("sha256 ")

    def test_a_patch_whose_base_is_gone_is_checked_as_far_as_it_goes(self, two):
        """The base is a problem of its own while a release names it."""
        tree = Tree(two.tree)
        for name in ("releases/v1.0.1.manifest", tree.blob(of_text(1)), tree.packed(of_text(1))):
            (two.tree / name).unlink()
        assert problems(two) == []
        path = self.path(two, "d")
        path.write_bytes(bytes(path.stat().st_size))
        assert [(p.file, p.expected) for p in problems(two)] == [(str(path), "a patch")]

    def test_forms_of_no_release_are_counted_as_contents_are(self, two):
        """`ota verify` says how many files nobody asks for."""
        assert (audit.verify(two.tree).forms, audit.verify(two.tree).unused) == (3, 0)
        (two.tree / "deltas/0123456789abcdef-0123456789abcdef").write_bytes(b"")
        (two.tree / "blobs/ab").mkdir(exist_ok=True)
        (two.tree / f"blobs/ab/{'ab' * 32}.z").write_bytes(b"")
        assert audit.verify(two.tree).unused == 2 and problems(two) == []


def test_a_cut_at_any_write_leaves_a_tree_in_which_all_that_is_named_is_there(tmp_path):
    """Forms come before the manifest that names them, and the next try ends it."""
    release_of(tmp_path, 1)
    shutil.copytree(tmp_path / "public", tmp_path / "old")
    made = release_of(tmp_path, 2)
    built, new = release.build(made), {name: data for name, (data, _) in snapshot(made.tree).items()}
    seen = set()
    for at in range(1, 200):
        folder = tmp_path / f"cut{at}"
        shutil.copytree(tmp_path / "old/sample", folder)
        with pytest.MonkeyPatch.context() as patch:
            calls = cutting(patch, at, lambda: (_ for _ in ()).throw(Cut(28, "No space left on device")))
            try:
                release.publish(built, Tree(folder), "v1.0.2")
            except OutsideError as e:
                assert "No space left on device" in str(e)
        report = audit.verify(folder)
        assert report.problems == []
        seen.add((report.channels["stable"]["version"], report.forms))
        release.publish(built, Tree(folder), "v1.0.2")
        assert {name: data for name, (data, _) in snapshot(folder).items()} == new
        if len(calls) < at:
            break
    assert at > 20 and seen == {("v1.0.1", 1), ("v1.0.1", 3), ("v1.0.2", 3)}


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("deltas = -1", "deltas = -1: must be a whole number of releases from 0 (none) to 20"),
            ("deltas = 21", "deltas = 21: must be a whole number of releases from 0 (none) to 20"),
            ("deltas = true", "deltas = True: must be a whole number of releases from 0 (none) to 20"),
            ("compress = 1", "compress = 1: must be true or false"),
        ],
    )
    def test_a_value_that_is_not_allowed_is_named(self, tmp_path, given, message):
        """With the key and the limit."""
        path = tmp_path / "ota.toml"
        path.write_text(f'project = "sample"\n{given}\n')
        with pytest.raises(ConfigError, match=re.escape(f"{path}: {message}")):
            config.read(path)

    def test_five_releases_and_compression_are_the_default(self, tmp_path):
        """Nobody has to ask for small updates."""
        path = tmp_path / "ota.toml"
        path.write_text('project = "sample"\n')
        assert (config.read(path).deltas, config.read(path).compress) == (5, True)
