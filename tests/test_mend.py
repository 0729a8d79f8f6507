"""A served tree in use: damage and its repair, `ota prune`, `ota releases`, and what publishing warns of."""

import json
import shutil
from hashlib import sha256

import pytest
from support import told_by
from test_cli import folder, ota  # noqa: F401
from test_deltas import text
from test_keys import keys, signers  # noqa: F401
from test_publish import BOOT, manifest, project, publish, snapshot
from test_signed import seal

from ota_host import audit, drafts, mend, prune, release, releases
from ota_host.config import Config
from ota_host.errors import HostError
from ota_host.release import Rules
from ota_host.terms import Terms
from ota_host.tree import Tree

DAMAGE = {
    "empty": lambda data: b"",
    "garbage": lambda data: b"\0\xff" * 40,
    "cut": lambda data: data[: len(data) * 2 // 3],
    "a bit of a file line": lambda data: data.replace(b'"s":', b'"s";', 1),
    "a page": lambda data: b"<html>not found</html>",
}


def files_of(number):
    return {"boot.py": BOOT, "a.py": text(number), f"only{number}.txt": str(number)}


def release_of(path, number, **options):
    made = project(path, files_of(number))
    publish(made, f"v1.0.{number}", **options)
    return made


def contents(path):
    """All that a reader may ask for, without times."""
    return {name: data for name, (data, _) in snapshot(path).items()}


def fixed(made, trusted=None):
    """What is wrong after `ota verify --fix`."""
    mend.fix(made.tree, trusted)
    return audit.verify(made.tree, seal=trusted).problems


@pytest.fixture(scope="module", params=["unsigned", "signed"])
def trusted(request, signers):  # noqa: F811
    return seal(signers["ES256"]) if request.param == "signed" else None


@pytest.fixture(scope="module")
def template(tmp_path_factory, trusted):
    path = tmp_path_factory.mktemp("two")
    release_of(path, 1, seal=trusted, layout="prefix")
    made = release_of(path, 2, seal=trusted, layout="prefix", terms=Terms(rollout=10))
    publish(made, "v1.0.2", seal=trusted, layout="prefix", terms=Terms(rollout=30))
    return path


@pytest.fixture
def two(tmp_path, template):
    """v1.0.1 and v1.0.2, whose rollout was raised afterwards."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Config(folder=tmp_path, project="sample")


class TestManifests:
    @pytest.mark.parametrize("damage", DAMAGE)
    def test_a_channels_manifest_comes_back_to_the_byte(self, two, trusted, damage):
        """With its terms and its signatures, which nobody makes again."""
        before = contents(two.tree)
        path = two.tree / "stable.manifest"
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
        assert fixed(two, trusted) == [] and contents(two.tree) == before

    @pytest.mark.parametrize("damage", ["empty", "garbage", "a page"])
    def test_without_its_differences_it_is_that_of_a_release(self, two, trusted, damage):
        """With a word about its terms, of which the newest are lost."""
        shutil.rmtree(two.tree / "stable.d")
        path = two.tree / "stable.manifest"
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
        (done,) = mend.fix(two.tree, trusted)
        assert done.how.endswith("v1.0.2.manifest; check its rollout and expiry, which may have been changed")
        assert audit.verify(two.tree, seal=trusted).problems == []
        assert path.read_bytes() == (two.tree / "releases/v1.0.2.manifest").read_bytes()

    @pytest.mark.parametrize("damage", ["cut", "a bit of a file line"])
    def test_a_rollout_that_was_changed_never_goes_back_to_what_it_was(self, two, trusted, damage):
        """A stopped release would go on. Where the signature is lost, only publishing again can sign the same terms."""
        before = contents(two.tree)["stable.manifest"]
        shutil.rmtree(two.tree / "stable.d")
        path = two.tree / "stable.manifest"
        path.write_bytes(DAMAGE[damage](before))
        left = [p.remedy for p in fixed(two, trusted)]
        assert left == (["publish a release to stable again"] if trusted else [])
        done = publish(two, "v1.0.2", seal=trusted)
        assert not trusted or "its first line is whole (v1.0.2), and it is replaced on those terms" in done.warnings[0]
        assert Tree(two.tree).manifest("stable.manifest").body == before[: len(Tree(two.tree).manifest("stable.manifest").body)]
        assert audit.verify(two.tree, seal=trusted).problems == []

    @pytest.mark.parametrize("damage", [*DAMAGE, "gone"])
    def test_a_releases_manifest_is_that_of_its_channel(self, two, trusted, damage):
        """Which has the same files and seq."""
        path = two.tree / "releases/v1.0.2.manifest"
        path.unlink() if damage == "gone" else path.write_bytes(DAMAGE[damage](path.read_bytes()))
        assert fixed(two, trusted) == []
        assert path.read_bytes() == (two.tree / "stable.manifest").read_bytes()

    def test_both_at_once_come_back_from_a_difference(self, two, trusted):
        """Of boards that have the release before, if its lines say enough."""
        for name in ("stable.manifest", "releases/v1.0.2.manifest"):
            (two.tree / name).write_bytes(b"")
        assert fixed(two, trusted) == [] and manifest(two)[0]["rollout"]["percent"] == 30

    @pytest.mark.parametrize(
        ("name", "damage"),
        [
            ("stable.manifest", lambda whole: whole[:-20] + b"AAAA" + whole[-16:]),
            ("stable.manifest", lambda whole: whole[: whole.index(b'{"sig"')]),
            ("stable.manifest", lambda whole: whole[:-9] + b"\n"),
            ("releases/v1.0.1.manifest", lambda whole: whole[:-20] + b"AAAA" + whole[-16:]),
            ("releases/v1.0.1.manifest", lambda whole: whole[:-9] + b"\n"),
        ],
    )
    def test_a_wrong_signature_is_damage_when_the_keys_are_known(self, tmp_path, signers, name, damage):  # noqa: F811
        """The right one is in the release, or in the channel."""
        trusted = seal(signers["ES256"], keys=(signers["ES256"],))
        made = release_of(tmp_path, 1, seal=trusted)
        whole = (made.tree / name).read_bytes()
        (made.tree / name).write_bytes(damage(whole))
        assert len(audit.verify(made.tree, seal=trusted).problems) >= 1
        assert fixed(made, trusted) == [] and (made.tree / name).read_bytes() == whole

    def test_a_channel_of_several_has_the_signatures_of_its_release(self, tmp_path, signers):  # noqa: F811
        """Of which the difference for what the channel has is the first line alone."""
        release_of(tmp_path, 1, seal=seal(signers["ES256"]), channel="beta")
        made = release_of(tmp_path, 2, seal=seal(signers["ES256"]))
        for path in sorted((made.tree / "stable.d").iterdir(), key=lambda p: -p.stat().st_size)[:-1]:
            path.unlink()
        path = made.tree / "stable.manifest"
        whole = path.read_bytes()
        path.write_bytes(b"")
        assert fixed(made) == [] and path.read_bytes() == whole

    def test_a_channel_of_several_gets_no_release_by_guess(self, tmp_path):
        """The newest release may be that of another channel; the message says what to do."""
        release_of(tmp_path, 1)
        made = release_of(tmp_path, 2, channel="beta")
        shutil.rmtree(made.tree / "stable.d")
        (made.tree / "stable.manifest").write_bytes(b"")
        (problem,) = fixed(made)
        assert problem.file.endswith("stable.manifest") and problem.remedy == "publish a release to stable again"
        assert (made.tree / "stable.manifest").read_bytes() == b""

    def test_an_unsigned_one_never_takes_the_place_of_a_signed_one(self, tmp_path, signers):  # noqa: F811
        """What is left of a signed manifest without its signature is of no use, and publishing without a key warns."""
        made = release_of(tmp_path, 1, seal=seal(signers["ES256"]), terms=Terms(rollout=10))
        publish(made, "v1.0.1", seal=seal(signers["ES256"]), terms=Terms(rollout=20))
        path = made.tree / "stable.manifest"
        path.write_bytes(path.read_bytes()[:-40])
        assert len(fixed(made)) == 1
        assert any("stable had a signed manifest and this one is not" in w for w in publish(made, "v1.0.1").warnings)

    @pytest.mark.parametrize("damage", ["empty", "cut"])
    @pytest.mark.parametrize("name", ["stable.manifest", "releases/v1.0.2.manifest"])
    def test_publishing_again_mends_it(self, two, trusted, name, damage):
        """And says so in a line."""
        path = two.tree / name
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
        done = publish(two, "v1.0.2", seal=trusted)
        assert f"{path} was damaged or missing; restored from " in done.warnings[0]
        assert audit.verify(two.tree, seal=trusted).problems == [] and manifest(two)[0]["seq"] == 2

    def test_publishing_again_mends_what_nothing_else_in_the_tree_has(self, tmp_path):
        """The channel and its only release, both garbage."""
        made = release_of(tmp_path, 1)
        for name in ("stable.manifest", "releases/v1.0.1.manifest"):
            (made.tree / name).write_bytes(b"")
        done = publish(made, "v1.0.1")
        assert "stable.manifest is damaged: nothing in the tree shows which release stable had" in done.warnings[0]
        assert audit.verify(made.tree).problems == []

    def test_the_next_release_is_newer_than_any_that_cannot_be_read(self, two, trusted):
        """Each damaged manifest may have had a seq of its own."""
        for name in ("stable.manifest", "releases/v1.0.2.manifest", "releases/v1.0.1.manifest"):
            (two.tree / name).write_bytes(b"")
        shutil.rmtree(two.tree / "stable.d")
        assert publish(project(two.folder, files_of(3)), "v1.0.3", seal=trusted).seq > 2

    def test_an_old_release_that_is_published_again_for_its_manifest_moves_no_board(self, two, trusted):
        """It gets the seq that is free, below that of the channel."""
        path = two.tree / "releases/v1.0.1.manifest"
        path.write_bytes(b"")
        done = publish(project(two.folder, files_of(1)), "v1.0.1", seal=trusted)
        assert done.seq == 1 and manifest(two)[0]["version"] == "v1.0.2"
        assert audit.verify(two.tree, seal=trusted).problems == []

    def test_a_rollback_works_from_a_damaged_channel(self, two, trusted):
        """Not one of the two commands points to the other."""
        (two.tree / "stable.manifest").write_bytes(b"")
        done = release.republish(Tree(two.tree), "v1.0.1", seal=trusted)
        assert (done.version, done.seq) == ("v1.0.1+rollback.3", 3)
        assert audit.verify(two.tree, seal=trusted).problems == []

    def test_a_rollback_from_a_channel_that_nothing_can_mend_gets_a_new_seq(self, tmp_path):
        """Boards never install what is older."""
        release_of(tmp_path, 1)
        release_of(tmp_path, 2)
        made = release_of(tmp_path, 3, channel="beta")
        shutil.rmtree(made.tree / "stable.d")
        (made.tree / "stable.manifest").write_bytes(b"")
        assert release.republish(Tree(made.tree), "v1.0.1").seq > 3


class TestContents:
    def lines(self, made):
        return {e["p"]: e for e in manifest(made)[1:] if "p" in e}

    @pytest.mark.parametrize("left", [None, b"", b"torn"])
    def test_a_content_comes_from_its_zlib_form_a_patch_or_a_legacy_file(self, two, trusted, left):
        """Whichever is there; and back."""
        before = contents(two.tree)
        tree, entry = Tree(two.tree), self.lines(two)["a.py"]
        (base,) = entry["d"]
        blob, packed = two.tree / tree.blob(entry["h"]), two.tree / tree.packed(entry["h"])
        legacy = two.tree / "v1.0.2_a.py"
        for lost in ([blob], [blob, packed], [blob, packed, legacy], [blob, packed, two.tree / tree.patch(base, entry["h"])]):
            for path in lost:
                path.unlink() if left is None else path.write_bytes(left)
            assert fixed(two, trusted) == [] and contents(two.tree) == before, lost

    def test_a_content_that_a_patch_makes_of_a_mended_one_is_mended_too(self, tmp_path):
        """Whichever comes first."""
        for number in range(1, 6):
            made = release_of(tmp_path, number)
        before = contents(made.tree)
        for path in made.tree.glob("blobs/*/*"):
            # Only the oldest of the large ones has its zlib form left.
            if path.stat().st_size > 100 and path.name != sha256(text(1).encode()).hexdigest() + ".z":
                path.unlink()
        assert fixed(made) == [] and contents(made.tree) == before

    def test_what_no_other_file_has_is_named_with_the_release_to_publish_again(self, two, trusted):
        """And then publishing it mends it."""
        tree, entry = Tree(two.tree), self.lines(two)["only2.txt"]
        (two.tree / tree.blob(entry["h"])).write_bytes(b"x")
        (two.tree / "v1.0.2_only2.txt").unlink()
        found = fixed(two, trusted)
        assert {p.remedy for p in found} == {
            "publish v1.0.2 again from the same sources", "publish the release again with --legacy",
        }  # fmt: skip
        publish(two, "v1.0.2", seal=trusted, layout="prefix")
        assert audit.verify(two.tree, seal=trusted).problems == []

    def test_a_broken_patch_that_cannot_be_made_again_is_removed(self, two, trusted):
        """Boards fetch the whole file."""
        tree, entry = Tree(two.tree), self.lines(two)["a.py"]
        (base,) = entry["d"]
        old = sha256(text(1).encode()).hexdigest()
        for name in (tree.blob(old), tree.packed(old), tree.patch(base, entry["h"]), "v1.0.1_a.py", "releases/v1.0.1.manifest"):
            (two.tree / name).write_bytes(b"x")
        assert [p.file for p in fixed(two, trusted)] == [str(two.tree / "releases/v1.0.1.manifest")]
        assert not (two.tree / tree.patch(base, entry["h"])).exists()

    @pytest.mark.parametrize("left", [b"", b"<html>", b"v9.9.9"])
    def test_the_legacy_version_is_that_of_the_files_that_are_there(self, two, trusted, left):
        """Of a channel's release."""
        (two.tree / "version").write_bytes(left)
        assert fixed(two, trusted) == [] and (two.tree / "version").read_bytes() == b"v1.0.2"

    def test_a_damaged_difference_is_made_again(self, two, trusted):
        """As it was."""
        before = contents(two.tree)
        for path in (two.tree / "stable.d").iterdir():
            path.write_bytes(b"x")
        assert fixed(two, trusted) == [] and contents(two.tree) == before

    def test_a_good_tree_is_not_touched(self, two, trusted):
        """Not even a time."""
        before = snapshot(two.tree)
        assert mend.fix(two.tree, trusted) == [] and snapshot(two.tree) == before


class TestCommand:
    def test_it_says_what_it_repaired_and_what_is_left(self, folder, ota):  # noqa: F811
        """Exit code 1 as long as something stays broken."""
        ota("publish", "--version", "v1.0.0")
        tree = folder / "public/sample"
        (tree / "stable.manifest").write_bytes(b"")
        assert ota("verify")[0] == 1
        code, out, err = ota("verify", "--fix")
        assert (code, err) == (0, "") and f"{tree}/stable.manifest: restored from stable.d/" in out
        blob = next(tree.glob("blobs/*/*"))
        blob.write_bytes(b"")
        code, _, err = ota("verify", "--fix")
        assert code == 1 and "; publish v1.0.0 again from the same sources\n" in err
        (project,) = json.loads(ota("verify", "--fix", "--json")[1])["projects"]
        assert project["problems"][0]["remedy"] and project["fixed"] == []


class TestSigners:
    def test_a_release_that_no_signer_of_the_one_before_signs_is_a_warning(self, tmp_path, signers):  # noqa: F811
        """Boards trust only that one yet."""
        old, new = signers["ES256"], signers["other"]
        release_of(tmp_path, 1, seal=seal(old))
        (warning,) = release_of_warnings(tmp_path, 2, seal(new))
        assert warning.startswith(f"v1.0.1 on stable is signed by {old.key_id}, and this release only by {new.key_id}:")
        assert "sign with both (--key OLD --key NEW)" in warning

    def test_a_release_that_both_keys_sign_is_none(self, tmp_path, signers):  # noqa: F811
        """Nor is the next one, signed by the new key alone."""
        old, new = signers["ES256"], signers["other"]
        release_of(tmp_path, 1, seal=seal(old))
        assert release_of_warnings(tmp_path, 2, seal(old, new)) == []
        assert release_of_warnings(tmp_path, 3, seal(new)) == []


def release_of_warnings(path, number, trusted):
    made = project(path, files_of(number))
    return publish(made, f"v1.0.{number}", seal=trusted).warnings


class TestSize:
    def test_a_release_above_what_a_board_can_hold_is_a_warning(self, tmp_path, monkeypatch):
        """With the largest files; a release that fits is none."""
        monkeypatch.setattr("ota_host.put.LARGEST", 1_500_000)
        made = project(tmp_path, {"boot.py": BOOT, "big.bin": bytes(2_000_000), "b.txt": "x"})
        (warning,) = publish(made, "v1.0.0").warnings
        assert "v1.0.0 takes 2.0 MB on a board" in warning and "largest files: big.bin (2.0 MB); leave out" in warning
        assert publish(project(tmp_path, {"boot.py": BOOT}), "v1.0.1").warnings == []


@pytest.fixture(scope="module")
def nine_made(tmp_path_factory):
    path = tmp_path_factory.mktemp("nine")
    for number in range(1, 10):
        release_of(path, number, layout="prefix")
    return path


class TestPrune:
    @pytest.fixture
    def nine(self, tmp_path, nine_made):
        """Nine releases on stable."""
        shutil.copytree(nine_made, tmp_path, dirs_exist_ok=True)
        return Config(folder=tmp_path, project="sample")

    @pytest.mark.parametrize(("keep", "kept"), [(0, [8, 9]), (1, [8, 9]), (3, [7, 8, 9]), (20, range(1, 10))])
    def test_the_newest_stay_and_always_the_channels_last_two(self, tmp_path, nine, keep, kept):
        """A board may be fetching the one before; the tree is whole afterwards, and takes the next release."""
        done = prune.prune(nine.tree, keep)
        assert done.kept == [f"v1.0.{n}" for n in kept] == sorted(Tree(nine.tree).versions())
        report = audit.verify(nine.tree)
        assert (report.problems, report.warnings, report.unused) == ([], [], 0)
        assert sorted(p.name for p in nine.tree.glob("v1.0.?_a.py")) == [f"v1.0.{n}_a.py" for n in kept]
        assert prune.prune(nine.tree, 20).removed == []
        release_of(tmp_path, 10, layout="prefix")
        assert audit.verify(nine.tree).problems == []

    def test_the_bases_of_kept_patches_stay(self, nine):
        """So that a damaged patch can be rebuilt."""
        prune.prune(nine.tree, 0)
        bases = [path.name.split("-")[0] for path in nine.tree.glob("deltas/*")]
        assert bases and all(list(nine.tree.glob(f"blobs/{base[:2]}/{base}*")) for base in bases)

    def test_what_the_legacy_devices_have_and_had_stays(self, tmp_path):
        """Their release may be long behind that of the channel."""
        for number in range(1, 8):
            made = release_of(tmp_path, number, layout="prefix" if number < 4 else "none")
        assert prune.prune(made.tree, 0).kept == ["v1.0.2", "v1.0.3", "v1.0.6", "v1.0.7"]
        assert sorted(p.name for p in made.tree.glob("v1.0.?_a.py")) == ["v1.0.2_a.py", "v1.0.3_a.py"]
        assert audit.verify(made.tree).problems == []

    def test_a_dry_run_says_the_same_and_removes_nothing(self, nine):
        """Names and bytes."""
        before = snapshot(nine.tree)
        planned = prune.prune(nine.tree, 2, dry_run=True)
        assert snapshot(nine.tree) == before
        sizes = sum(len(before[name][0]) for name in planned.removed)
        done = prune.prune(nine.tree, 2)
        assert (done.removed, done.bytes) == (planned.removed, planned.bytes) and done.bytes == sizes > 0
        assert set(snapshot(nine.tree)) == set(before) - set(done.removed)

    def test_what_every_channel_has_and_had_before_stays(self, tmp_path, trusted):
        """A release of stable under many of beta; unsigned, also what stable may have had."""
        release_of(tmp_path, 1, seal=trusted)
        release_of(tmp_path, 2, channel="beta", seal=trusted)
        release_of(tmp_path, 3, seal=trusted)
        for number in range(4, 10):
            made = release_of(tmp_path, number, channel="beta", seal=trusted)
        kept = prune.prune(made.tree, 0).kept
        # Beta's differences lead on to five releases.
        assert kept == [f"v1.0.{n}" for n in ([1, 2, 3, 8, 9] if trusted else [1, 2, 3, 5, 6, 7, 8, 9])]
        assert audit.verify(made.tree).problems == []

    def test_files_that_ota_did_not_write_stay(self, tmp_path):
        for number in range(1, 5):
            made = release_of(tmp_path, number)
        mine = [made.tree / "v1.0.1_firmware.uf2", made.tree / "v1.0.1/notes.html", made.tree / "v1.0.10_main.py"]
        for path in mine:
            path.parent.mkdir(exist_ok=True)
            path.write_text("mine")
        assert "v1.0.1" in prune.prune(made.tree, 1).releases
        assert all(path.exists() for path in mine)

    def test_the_contents_of_a_draft_stay_until_something_overtakes_it(self, tmp_path, signers):  # noqa: F811
        """Then it can be published no more."""
        release_of(tmp_path, 1)
        made = release_of(tmp_path, 2, draft=tmp_path / "next")
        (row, _) = releases.listing(made.tree).releases
        assert (row.version, row.state) == ("v1.0.2", "draft")
        assert prune.prune(made.tree, 0).removed == []
        release_of(tmp_path, 3)
        assert any("blobs/" in name for name in prune.prune(made.tree, 0).removed)
        assert [row.state for row in releases.listing(made.tree).releases] == ["live", "replaced"]

    def test_a_draft_that_is_on_its_channel_is_a_draft_no_more(self, tmp_path, signers):  # noqa: F811
        """It is the release."""
        made = release_of(tmp_path, 1, draft=tmp_path / "next")
        drafts.sign(tmp_path / "next", [signers["ES256"]])
        drafts.publish(tmp_path / "next", [tmp_path / "next.sig"], Tree(made.tree), "sample")
        assert [row.state for row in releases.listing(made.tree).releases] == ["live"]
        assert not (made.tree / ".drafts").exists()

    def test_a_damaged_manifest_stops_it(self, nine):
        """What it needs is not known."""
        (nine.tree / "releases/v1.0.4.manifest").write_bytes(b"")
        with pytest.raises(HostError, match=r"v1.0.4.manifest: .*`ota verify --fix` repairs what it can$"):
            prune.prune(nine.tree, 0)

    def test_files_that_no_publisher_wrote_stay(self, nine):
        """Whatever somebody put there."""
        for name in ("blobs/README", "blobs/aa/notes.txt", "v1.0.1-notes.txt", "other/x"):
            (nine.tree / name).parent.mkdir(parents=True, exist_ok=True)
            (nine.tree / name).write_text("mine")
        assert not [name for name in prune.prune(nine.tree, 0).removed if "otes" in name or "README" in name or "other" in name]

    def test_a_board_that_is_fetching_the_release_before_gets_all_of_it(self, tmp_path):
        """The tree is pruned in the middle of its update."""
        for number in (1, 2):
            made = release_of(tmp_path, number, layout="none")
            shutil.copytree(made.tree, tmp_path / f"tree{number}")
        release_of(tmp_path, 3)
        prune.prune(made.tree, 0)
        script = """
from world import *
power_up(blocks=128)
install(ARGS[0])
u = updater(ARGS[1])
steps = u.steps()
next(steps)
u.transport = updater(ARGS[2]).transport
for _ in steps:
    pass
boot()
confirm()
tell(version=status()["version"], tree=ramflash.tree())
"""
        facts = told_by(script, tmp_path / "tree1", tmp_path / "tree2", made.tree)
        assert facts["version"] == "v1.0.2" and facts["tree"] == files_of(2)

    def test_the_command_prints_what_goes_and_how_much(self, folder, ota):  # noqa: F811
        """With --dry-run each file."""
        for number in range(3):
            (folder / "src/main.py").write_text(f"print({number})\n" * 40)
            ota("publish", "--version", f"v1.0.{number}")
        code, out, _ = ota("prune", "--keep", "0", "--dry-run")
        assert code == 0 and out.startswith("releases/v1.0.0.manifest\nblobs/")
        assert "of 1 releases (v1.0.0); kept v1.0.1, v1.0.2\n" in out.splitlines(True)[-1] and "would remove" in out
        assert ota("prune", "--keep", "0")[1].startswith("removed 3 files, ")
        assert json.loads(ota("prune", "--json")[1])["removed"] == []
        assert ota("prune", folder / "public")[0] == 2


class TestReleases:
    def test_it_says_what_is_where_since_when_and_how_large(self, tmp_path):
        """Newest first."""
        release_of(tmp_path, 1)
        release_of(tmp_path, 2, terms=Terms(rollout=25))
        made = release_of(tmp_path, 3, channel="beta")
        third, second, first = releases.listing(made.tree).releases
        assert [row.state for row in (third, second, first)] == ["live", "live", "replaced"]
        assert second.channels == {"stable": {"rollout": 25, "expires": 0}} and list(third.channels) == ["beta"]
        assert (second.files, second.bytes, second.base) == (3, len(text(2)) + len(BOOT) + 1, "v1.0.1")
        line = next(e for e in manifest(made)[1:] if e.get("p") == "a.py")
        assert (second.fetch_files, second.fetch_bytes) == (2, 1 + min(line["d"].values()))
        assert first.fetch_files == 3 and first.base == ""

    def test_a_signed_release_was_made_when_it_says(self, tmp_path, signers):  # noqa: F811
        """The time of a file changes when it is copied."""
        made = release_of(tmp_path, 1, seal=seal(signers["ES256"]), terms=Terms(now=86400), allow=Rules(clock=True))
        assert releases.listing(made.tree).releases[0].published == 86400

    def test_a_release_that_a_rollback_went_back_past_is_withdrawn(self, tmp_path):
        """Until it is brought back; also when the old release is gone."""
        for number in (1, 2):
            made = release_of(tmp_path, number)
        release.republish(Tree(made.tree), "v1.0.1")
        states = {row.version: row.state for row in releases.listing(made.tree).releases}
        assert states == {"v1.0.1+rollback.3": "live", "v1.0.2": "withdrawn", "v1.0.1": "replaced"}
        prune.prune(made.tree, 0)
        assert [row.state for row in releases.listing(made.tree).releases] == ["live", "withdrawn"]
        release.republish(Tree(made.tree), "v1.0.2")
        assert "withdrawn" not in [row.state for row in releases.listing(made.tree).releases if row.version == "v1.0.2"]

    def test_the_command_lists_them_and_names_damaged_ones(self, folder, ota):  # noqa: F811
        """As a table, or as JSON."""
        ota("publish", "--version", "v1.0.0")
        ota("publish", "--version", "v1.0.0", "--rollout", "10")
        code, out, err = ota("releases")
        assert (code, err) == (0, "") and "v1.0.0" in out and "stable (10 %)" in out
        found = json.loads(ota("releases", "--json")[1])
        assert found["project"] == "sample" and found["releases"][0]["version"] == "v1.0.0"
        (folder / "public/sample/releases/v1.0.0.manifest").write_text("")
        assert "releases/v1.0.0.manifest is damaged and not in this list" in ota("releases")[2]


class TestTuf:
    @pytest.fixture
    def framework(self, folder, ota, keys):  # noqa: F811
        """Two channels; v1.0.0 is what boards with a TufVerifier get, though stable has two later releases."""
        for number in (0, 1, 2):
            (folder / "src/main.py").write_text(f"print({number})\n")
            ota("publish", "--version", f"v1.0.{number}")
            if not number:
                ota("publish", "--version", "v1.0.0", "--channel", "beta", "--rollout", "5")
                roles = [word for role in ("root", "targets", "online") for word in (f"--{role}-key", keys["other"])]
                assert ota("tuf", "init", *roles, "--key", keys["other"])[0] == 0
        return folder / "public/sample"

    def test_what_tuf_leads_boards_to_is_not_pruned(self, framework):
        """Until the next `ota tuf publish`."""
        shutil.rmtree(framework / "stable.d")
        (framework / "beta.manifest").unlink()
        assert prune.prune(framework, 0).kept == ["v1.0.0", "v1.0.1", "v1.0.2"]
        assert audit.verify(framework).unused == 0

    def test_a_channel_comes_back_from_its_copy_for_tuf(self, framework):
        """To the byte, with the rollout of beta."""
        path = framework / "beta.manifest"
        before = path.read_bytes()
        shutil.rmtree(framework / "beta.d")
        path.write_bytes(b"")
        (done,) = mend.fix(framework)
        assert path.read_bytes() == before and "restored from tuf/targets/" in done.how
