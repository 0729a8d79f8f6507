"""Signed publications: what is signed and when, what is refused, drafts, and keys that stay out of releases."""

import base64
import contextlib
import functools
import http.server
import json
import re
import shlex
import shutil
import stat
import threading

import pytest
from support import ROOT, run_mp
from test_cli import folder, ota  # noqa: F401
from test_docs import STAGE
from test_keys import ALGS, keys, signers, verify_apart  # noqa: F401
from test_publish import BOOT, cutting, manifest, problems, project, publish, snapshot

from ota_host import audit, drafts, release
from ota_host.errors import HostError, OutsideError
from ota_host.keys import BoardKey, Seal, check_signatures, split
from ota_host.release import Terms
from ota_host.tree import Tree

DAY = 86400


def seal(*signers, keys=(), threshold=1):
    return Seal(signers, tuple(BoardKey.parse(s.board_key) for s in keys), threshold)


def head(made, name="stable.manifest"):
    return (made.tree / name).read_bytes()


def who(raw):
    return [s["key"] for s in split(raw)[1]]


class TestPublish:
    @pytest.mark.parametrize("alg", ALGS)
    def test_the_channel_and_the_release_are_signed_and_say_when_they_were_made(self, tmp_path, signers, alg):
        """`time` stands after `seq`, in whole seconds."""
        signer = signers[alg]
        made = project(tmp_path, {"boot.py": BOOT})
        done = publish(made, "v1.0.0", seal=seal(signer), terms=Terms(expires=1, now=DAY * 20000 + 0.9))
        header = manifest(made)[0]
        assert list(header) == ["ota", "project", "channel", "version", "seq", "time", "expires", "files", "size", "crc"]
        assert (header["time"], done.signed) == (DAY * 20000, [signer.key_id])
        body, (signature,) = split(head(made))
        verify_apart(signer.board_key, body, base64.b64decode(signature["sig"]))
        assert head(made, "releases/v1.0.0.manifest") == head(made)

    @pytest.mark.parametrize("alg", ALGS)
    def test_the_same_again_changes_nothing_a_day_later(self, tmp_path, signers, alg):
        """Not the time, and not the signature, though ES256 would make another one."""
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"})
        publish(made, "v1.0.0", seal=seal(signers[alg]), terms=Terms(rollout=10, now=DAY))
        before = snapshot(made.tree)
        done = publish(made, "v1.0.0", seal=seal(signers[alg]), terms=Terms(rollout=10, now=2 * DAY))
        assert snapshot(made.tree) == before and not done.changed and done.signed == [signers[alg].key_id]
        assert not publish(made, "v1.0.0").changed  # nor without a key

    def test_other_terms_get_a_new_time_and_signature_on_the_channel_only(self, tmp_path, signers):
        """The release stays as it was signed."""
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0", seal=seal(signers["RS256"]), terms=Terms(rollout=10, now=DAY))
        first = head(made)
        done = publish(made, "v1.0.0", seal=seal(signers["RS256"]), terms=Terms(rollout=50, now=DAY + 7))
        short = f"stable.d/{manifest(made)[0]['crc']}.manifest"
        assert done.written == ["stable.manifest", short] and manifest(made)[0]["time"] == DAY + 7
        assert check_signatures(head(made), [signers["RS256"].board_key]) == [signers["RS256"].key_id]
        assert head(made, "releases/v1.0.0.manifest") == first

    def test_an_unsigned_manifest_has_no_time(self, tmp_path):
        """It would prove nothing."""
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0")
        assert "time" not in manifest(made)[0]

    def test_other_terms_without_the_key_are_published_with_a_warning_and_without_a_time(self, tmp_path, signers):
        """Where ota.toml has no `keys`, nobody knows that boards check."""
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0", seal=seal(signers["ES256"]))
        done = publish(made, "v1.0.0", terms=Terms(rollout=50))
        assert "time" not in manifest(made)[0] and who(head(made)) == []
        assert done.warnings[-1].startswith("stable had a signed manifest and this one is not: boards with a SignatureV")

    def test_a_release_from_before_the_key_is_signed_on_its_channel(self, tmp_path, signers):
        """Releases never change, and boards read the channel."""
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0")
        unsigned = head(made)
        publish(made, "v1.0.0", seal=seal(signers["ES256"]))
        assert who(head(made)) == [signers["ES256"].key_id] and "time" in manifest(made)[0]
        assert head(made, "releases/v1.0.0.manifest") == unsigned
        assert problems(made) == []

    def test_a_second_key_is_added_and_the_first_signature_stays(self, tmp_path, signers):
        """To move boards from an old key to a new one."""
        made = project(tmp_path, {"boot.py": BOOT})
        old, new = signers["ES256"], signers["RS256"]
        publish(made, "v1.0.0", seal=seal(old))
        first = head(made)
        publish(made, "v1.0.0", seal=seal(new))
        assert head(made).startswith(first) and who(head(made)) == [old.key_id, new.key_id]
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"})
        publish(made, "v1.0.1", seal=seal(old, new))
        assert who(head(made)) == [old.key_id, new.key_id]

    def test_a_rollback_is_signed_anew(self, tmp_path, signers):
        """With its own seq, version and time."""
        signer = signers["RS256"]
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"})
        publish(made, "v1.0.0", seal=seal(signer), terms=Terms(now=DAY))
        publish(project(tmp_path, {"boot.py": BOOT, "a": "2"}), "v1.0.1", seal=seal(signer), terms=Terms(now=DAY))
        done = release.republish(Tree(made.tree), "v1.0.0", seal=seal(signer), terms=Terms(now=3 * DAY))
        assert (done.version, manifest(made)[0]["time"]) == ("v1.0.0+rollback.3", 3 * DAY)
        for name in ("stable.manifest", "releases/v1.0.0+rollback.3.manifest"):
            assert check_signatures(head(made, name), [signer.board_key]) == [signer.key_id]

    def test_another_channel_gets_a_manifest_of_its_own(self, tmp_path, signers):
        """From beta to stable: signed for the one, it is not good for the other."""
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0", channel="beta", seal=seal(signers["ES256"]), terms=Terms(now=DAY))
        beta = head(made, "beta.manifest")
        release.republish(Tree(made.tree), "v1.0.0", seal=seal(signers["ES256"]), terms=Terms(now=DAY))
        assert manifest(made)[0] == {**json.loads(beta.split(b"\n")[0]), "channel": "stable"}
        assert head(made).split(b"\n")[1:-2] == beta.split(b"\n")[1:-2]
        assert head(made, "releases/v1.0.0.manifest") == beta
        assert check_signatures(head(made), [signers["ES256"].board_key]) == [signers["ES256"].key_id]

    def test_without_a_key_another_channel_gets_no_signature_and_no_channel(self, tmp_path, signers):
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0", channel="beta", seal=seal(signers["ES256"]))
        release.republish(Tree(made.tree), "v1.0.0")
        assert "channel" not in manifest(made)[0] and who(head(made)) == []

    def test_a_draft_for_one_channel_is_not_put_on_another(self, tmp_path, signers):
        made = project(tmp_path, {"boot.py": BOOT})
        path = tmp_path / "draft"
        release.publish(release.build(made), Tree(made.tree), "v1.0.0", channel="beta", draft=path)
        with pytest.raises(HostError, match="is for the channel beta, not stable; make a draft for each"):
            drafts.publish(path, [], Tree(made.tree), made.project, seal=seal(signers["ES256"]))


class TestCut:
    def test_a_publisher_that_fails_at_any_write_leaves_signed_manifests_and_the_next_try_ends_it(self, tmp_path, signers):
        """What it had signed is used again, though ES256 would sign anew."""
        es = signers["ES256"]
        trusted = seal(es, keys=[es])
        publish(project(tmp_path, {"boot.py": BOOT, "a": "1"}), "v1.0.0", seal=trusted)
        made = project(tmp_path, {"boot.py": BOOT, "a": "2"})
        built = release.build(made)
        for at in range(1, 200):
            folder = tmp_path / f"cut{at}"
            shutil.copytree(made.tree, folder)

            def fail():
                raise OSError(28, "No space left on device")

            with pytest.MonkeyPatch.context() as patch, contextlib.suppress(OutsideError):
                calls = cutting(patch, at, fail)
                release.publish(built, Tree(folder), "v1.0.1", seal=trusted)
            assert audit.verify(folder, seal=trusted).problems == []
            there = Tree(folder).read("releases/v1.0.1.manifest")
            release.publish(built, Tree(folder), "v1.0.1", seal=trusted)
            assert there in (None, (folder / "stable.manifest").read_bytes())
            assert (folder / "stable.manifest").read_bytes() == (folder / "releases/v1.0.1.manifest").read_bytes()
            if len(calls) < at:
                break
        assert at > 10


class TestTrust:
    def test_nothing_that_too_few_of_the_keys_signed_gets_on_a_channel(self, tmp_path, signers):
        """Not a byte is written."""
        rs, es = signers["RS256"], signers["ES256"]
        made = project(tmp_path, {"boot.py": BOOT})
        for signing, found in [((), "0 that verify"), ((rs,), f"1 that verify: {rs.key_id}")]:
            expected = f"stable.manifest: expected signatures of 2 of the keys {rs.key_id}, {es.key_id}, found {found}; boards"
            with pytest.raises(HostError, match=expected):
                publish(made, "v1.0.0", seal=seal(*signing, keys=[rs, es], threshold=2))
        assert not (made.tree / "blobs").exists() and not (made.tree / "stable.manifest").exists()
        publish(made, "v1.0.0", seal=seal(rs, es, keys=[rs, es], threshold=2))
        assert set(who(head(made))) == {rs.key_id, es.key_id}

    def test_a_key_that_boards_do_not_trust_does_not_count(self, tmp_path, signers):
        """The wrong file on the command line is found before any board has it."""
        made = project(tmp_path, {"boot.py": BOOT})
        with pytest.raises(HostError, match=f"of 1 of the keys {signers['ES256'].key_id}, found 0 that verify"):
            publish(made, "v1.0.0", seal=seal(signers["other"], keys=[signers["ES256"]]))

    def test_one_key_twice_is_one(self, tmp_path, signers):
        """A threshold counts keys, not signatures."""
        rs, es = signers["RS256"], signers["ES256"]
        made = project(tmp_path, {"boot.py": BOOT})
        with pytest.raises(HostError, match="found 1 that verify"):
            publish(made, "v1.0.0", seal=seal(rs, rs, keys=[rs, es], threshold=2))

    def test_other_terms_and_a_rollback_need_the_keys_too(self, tmp_path, signers):
        """What was signed before says nothing about these."""
        es = signers["ES256"]
        trusted = seal(keys=[es])
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"})
        publish(made, "v1.0.0", seal=seal(es, keys=[es]))
        assert not publish(made, "v1.0.0", seal=trusted).changed
        with pytest.raises(HostError, match="found 0 that verify"):
            publish(made, "v1.0.0", seal=trusted, terms=Terms(rollout=5))
        made = project(tmp_path, {"boot.py": BOOT, "a": "2"})
        publish(made, "v1.0.1", seal=seal(es, keys=[es]))
        before = snapshot(made.tree)
        with pytest.raises(HostError, match="found 0 that verify"):
            release.republish(Tree(made.tree), "v1.0.0", seal=trusted)
        assert snapshot(made.tree) == before

    def test_the_audit_finds_what_boards_would_refuse(self, tmp_path, signers):
        """Too few signatures, and one that does not verify, each by its file."""
        es = signers["ES256"]
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0", seal=seal(es), terms=Terms(now=DAY))
        found = lambda trusted: [(p.file.split("sample/")[-1], p.found) for p in audit.verify(made.tree, seal=trusted).problems]  # noqa: E731
        assert found(seal(keys=[es])) == []
        assert found(seal(keys=[signers["other"]])) == [("stable.manifest", "0 that verify")]
        path = made.tree / "stable.manifest"
        path.write_bytes(path.read_bytes().replace(b'"time":86400', b'"time":86401'))
        short = f"stable.d/{manifest(made)[0]['crc']}.manifest", "that of another manifest"
        assert found(None) == [short]
        assert found(seal(keys=[es])) == [("stable.manifest", "one that does not verify"), ("stable.manifest", "0 that verify"), short]


class TestSecrets:
    def test_the_secret_of_hs256_in_a_file_of_the_release_is_refused(self, tmp_path, signers):
        """Such as in main.py, which the web server then serves; also without the name of the algorithm before it."""
        hs = signers["HS256"]
        made = project(tmp_path, {"boot.py": BOOT, "main.py": f"KEYS = ['HS256:' + {hs.board_key[6:]!r}]\n"})
        for who_knows in (seal(hs), seal(keys=[hs])):
            with pytest.raises(HostError, match=f"^main.py: holds the secret of the HS256 key {hs.key_id}: who") as e:
                publish(made, "v1.0.0", seal=who_knows)
            assert hs.board_key[6:] not in str(e.value)
        assert not (made.tree / "blobs").exists()
        publish(project(tmp_path, {"boot.py": BOOT, "main.py": f"{signers['RS256'].board_key!r}"}), "v1.0.0", seal=seal(hs))

    @pytest.fixture
    def spilled(self, folder, monkeypatch):  # noqa: F811
        """The project's folder, with the password in the environment."""
        monkeypatch.setenv("OTA_KEY_PASSWORD", "sesame")
        return folder

    @pytest.mark.parametrize("place", ["src/release.key", "public/release.key", "link/release.key"])
    def test_a_key_file_where_boards_or_the_web_get_it_is_refused(self, spilled, keys, ota, place):  # noqa: F811
        """On the command line, in ota.toml, for a new one; also by way of a link."""
        for name in ("src", "public"):
            (spilled / name).mkdir(exist_ok=True)
        (spilled / "link").symlink_to("src")
        words = ["keygen", place, "--alg", "ES256"]
        assert ota(*words)[0] == 2 and not (spilled / place).exists()
        shutil.copy(keys["ES256"], spilled / place)
        why = "the web server serves it" if "public" in place else "every board would get it"
        for config, words in [("", ["--key", place]), (f'key = ["{place}"]\n', [])]:
            (spilled / "ota.toml").write_text('project = "sample"\n' + config)
            code, out, err = ota("publish", "--version", "v1.0.0", *words)
            assert (code, out) == (2, "") and f"{place}: is inside {spilled}/" in err and err.endswith(f": {why}; keep it elsewhere\n")
        assert not (spilled / "public/sample").exists()

    def test_a_private_key_in_ota_toml_is_in_no_message(self, spilled, keys, ota):  # noqa: F811
        """Pasted where a public one belongs."""
        text = keys["HS256"].with_name("HS256.pub").read_text().strip()
        for value in (f'["{text}"]', f'"{text}"', f'["{text[:-1]}"]', f'["{text[6:]}"]'):
            for name in ("keys", "key"):
                (spilled / "ota.toml").write_text(f'project = "sample"\n{name} = {value}\n')
                code, out, err = ota("publish", "--version", "v1.0.0")
                is_file_name = name == "key" and "HS256" not in value and value[0] == "["
                assert code == 2 and (is_file_name or text[6:-4] not in out + err), err


class TestDraft:
    """Two folders: one publishes and has no key, the other signs and has nothing else."""

    @pytest.fixture
    def away(self, tmp_path_factory, keys):
        folder = tmp_path_factory.mktemp("away")
        shutil.copy(keys["RS256"], folder / "release.key")
        (folder / "password").write_text("sesame\n")
        return folder

    def sign(self, ota, away, draft, *words):
        shutil.copy(draft, away / "draft")
        return ota("sign", away / "draft", "--key", away / "release.key", "--password-file", away / "password", *words)

    def test_it_goes_there_and_back(self, folder, ota, away, signers):  # noqa: F811
        """What boards get is what the draft said, signed."""
        signer = signers["RS256"]
        (folder / "ota.toml").write_text(f'project = "sample"\nkeys = ["{signer.board_key}"]\n')
        code, out, err = ota("publish", "--version", "v1.0.0", "--draft", "next", "--rollout", "20")
        assert (code, err) == (0, "")
        assert out == "drafted sample v1.0.0 (seq 1) on stable: 2 files, 31 bytes; next: ota sign next --key KEY\n"
        tree = folder / "public/sample"
        assert not (tree / "stable.manifest").exists() and not (tree / "releases").exists()
        draft = (folder / "next").read_bytes()
        code, out, err = self.sign(ota, away, folder / "next")
        digest = release.sha256(draft).hexdigest()
        assert (code, err) == (0, "")
        assert out == (
            f"sample v1.0.0 (seq 1): 2 files, 31 bytes, sha256 {digest}\n"
            f"wrote {away}/draft.sig, signed by {signer.key_id}\n"
        )
        shutil.copy(away / "draft.sig", folder)
        words = "publish", "--manifest", "next", "--signature", "draft.sig"
        code, out, err = ota(*words)
        assert (code, err) == (0, "") and f"signed by {signer.key_id}" in out
        signed = (tree / "stable.manifest").read_bytes()
        assert signed == draft + (away / "draft.sig").read_bytes() == (tree / "releases/v1.0.0.manifest").read_bytes()
        assert ota("verify")[0] == 0
        assert ota(*words)[1].startswith("nothing to do: ") and (tree / "stable.manifest").read_bytes() == signed
        assert not json.loads(ota("publish", "--version", "v1.0.0", "--json")[1])["changed"]

    def test_signing_twice_changes_nothing_and_does_not_lose_the_signature_of_another(self, folder, ota, away, keys):  # noqa: F811
        """Each signer has a file of its own."""
        ota("publish", "--version", "v1.0.0", "--draft", "next")
        self.sign(ota, away, folder / "next")
        before = (away / "draft.sig").read_bytes()
        assert f"nothing to do: {away}/draft.sig already exists" in self.sign(ota, away, folder / "next")[1]
        code, _, err = ota("sign", away / "draft", "--key", keys["other"])
        assert code == 1 and "draft.sig: has a signature of" in err and err.endswith("which would be lost; give --out\n")
        assert (away / "draft.sig").read_bytes() == before
        assert ota("sign", away / "draft", "--key", keys["other"], "--out", away / "two.sig")[0] == 0
        words = ["--signature", away / "draft.sig", "--signature", away / "two.sig"]
        done = json.loads(ota("publish", "--manifest", "next", *words, "--json")[1])
        assert len(done["signed"]) == 2
        assert done["warnings"] == ["the signatures of next were not checked: ota.toml has no `keys`"]

    def test_the_same_draft_again_is_the_same_file(self, folder, ota, monkeypatch):  # noqa: F811
        """So a build job that runs again does not void a signature."""
        monkeypatch.setattr("time.time", lambda: 1e9)
        ota("publish", "--version", "v1.0.0", "--draft", "next")
        before = (folder / "next").read_bytes()
        assert b'"seq":1,"time":1000000000,' in before
        monkeypatch.setattr("time.time", lambda: 1e9 + 5)
        assert not json.loads(ota("publish", "--version", "v1.0.0", "--draft", "next", "--json")[1])["changed"]
        assert (folder / "next").read_bytes() == before
        ota("publish", "--version", "v1.0.0", "--draft", "next", "--rollout", "5")
        assert b'"time":1000000005,' in (folder / "next").read_bytes()

    def test_other_terms_of_a_release_can_be_drafted(self, folder, ota, away, signers):  # noqa: F811
        """The release stays, and an older draft of it is not put over a newer one."""
        (folder / "ota.toml").write_text(f'project = "sample"\nkeys = ["{signers["RS256"].board_key}"]\n')
        for i, rollout in enumerate([10, 50]):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("time.time", lambda at=1e9 + i: at)
                ota("publish", "--version", "v1.0.0", "--draft", f"d{i}", "--rollout", rollout)
            self.sign(ota, away, folder / f"d{i}", "--out", folder / f"d{i}.sig")
            assert ota("publish", "--manifest", f"d{i}", "--signature", f"d{i}.sig")[0] == 0
        header = json.loads((folder / "public/sample/stable.manifest").read_text().splitlines()[0])
        assert (header["rollout"]["percent"], header["time"], header["seq"]) == (50, 1000000001, 1)
        assert b'"percent":10' in (folder / "public/sample/releases/v1.0.0.manifest").read_bytes()
        code, _, err = ota("publish", "--manifest", "d0", "--signature", "d0.sig")
        expected = "error: d0: time 1000000000 was overtaken: stable has the same release of time 1000000001\n"
        assert (code, err) == (1, expected)

    def test_a_draft_that_was_overtaken_is_refused(self, folder, ota, away, keys):  # noqa: F811
        """Its seq is another release's by now."""
        ota("publish", "--version", "v1.0.0", "--draft", "next")
        self.sign(ota, away, folder / "next", "--out", folder / "sig")
        (folder / "src/main.py").write_text("print(2)\n")
        ota("publish", "--version", "v1.0.1", "--key", keys["other"])
        words = "publish", "--manifest", "next", "--signature", "sig"
        assert ota(*words) == (1, "", "error: next: seq 1 was overtaken: the next is 2; make a new draft\n")
        (folder / "src/main.py").write_text("print(3)\n")
        ota("publish", "--version", "v1.0.0", "--channel", "beta")
        code, _, err = ota(*words)
        assert (code, err) == (1, "error: next: version v1.0.0 is published already with seq 2 or other content\n")

    @pytest.mark.parametrize("is_known", [True, False])
    def test_a_signature_of_another_draft_is_refused(self, folder, ota, away, signers, is_known):  # noqa: F811
        """Where the key is known by name, and at the latest by the threshold."""
        key = signers["RS256" if is_known else "other"]
        (folder / "ota.toml").write_text(f'project = "sample"\nkeys = ["{key.board_key}"]\n')
        ota("publish", "--version", "v1.0.0", "--draft", "one")
        ota("publish", "--version", "v1.0.1", "--draft", "two")
        self.sign(ota, away, folder / "one", "--out", folder / "sig")
        code, _, err = ota("publish", "--manifest", "two", "--signature", "sig")
        expected = f"error: sig: the signature of {key.key_id} is not of two: that has sha256" if is_known else "found 0 that verify"
        assert code == 1 and expected in err
        assert not (folder / "public/sample/stable.manifest").exists()

    def test_a_draft_that_was_changed_is_refused(self, folder, ota, away, signers):  # noqa: F811
        """Between the two machines."""
        (folder / "ota.toml").write_text(f'project = "sample"\nkeys = ["{signers["RS256"].board_key}"]\n')
        ota("publish", "--version", "v1.0.0", "--draft", "next")
        self.sign(ota, away, folder / "next", "--out", folder / "sig")
        draft = (folder / "next").read_text()
        (folder / "next").write_text(draft.replace("v1.0.0", "v9.0.0"))
        assert "is not of next" in ota("publish", "--manifest", "next", "--signature", "sig")[2]

    def test_a_content_that_is_gone_is_refused(self, folder, ota, away):  # noqa: F811
        """Boards are not sent to what they cannot get."""
        ota("publish", "--version", "v1.0.0", "--draft", "next")
        self.sign(ota, away, folder / "next", "--out", folder / "sig")
        shutil.rmtree(folder / "public/sample/blobs")
        code, _, err = ota("publish", "--manifest", "next", "--signature", "sig")
        assert code == 1 and "the content of boot.py is gone: no such file" in err

    def test_a_compiled_release_with_the_legacy_layout_says_what_it_cannot_do(self, folder, ota, away):  # noqa: F811
        """A draft has no sources."""
        ota("publish", "--version", "v1.0.0", "--draft", "next")
        self.sign(ota, away, folder / "next", "--out", folder / "sig")
        assert ota("publish", "--manifest", "next", "--signature", "sig", "--legacy", "prefix")[0] == 0
        assert (folder / "public/sample/version").read_text() == "v1.0.0"
        assert (folder / "public/sample/v1.0.0_main.py").read_text() == "print(1)\n"

    def test_another_project_s_draft_is_refused(self, folder, ota, away):  # noqa: F811
        """A tree is of one project."""
        ota("publish", "--version", "v1.0.0", "--draft", "next")
        self.sign(ota, away, folder / "next", "--out", folder / "sig")
        (folder / "ota.toml").write_text('project = "other"\n')
        code, _, err = ota("publish", "--manifest", "next", "--signature", "sig")
        assert (code, err) == (1, "error: next: project is 'sample', ota.toml has 'other'\n")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(["--manifest", "next"], "next: is not signed: give --signature or --key", id="unsigned"),
            pytest.param(["--signature", "sig"], "--signature does not go without --manifest", id="alone"),
            pytest.param(["--manifest", "next", "--version", "v1.0.0"], "--version does not go with --manifest: the draft", id="version"),
            pytest.param(["--manifest", "next", "--rollout", "5"], "--rollout does not go with --manifest: the draft", id="terms"),
            pytest.param(["--manifest", "next", "--expires", "0"], "--expires does not go with --manifest: the draft", id="never"),
            pytest.param(["--manifest", "next", "--from", "v1.0.0"], "--from does not go with --manifest: the draft", id="from"),
            pytest.param(["--draft", "d", "--key", "k"], "--key does not go with --draft: `ota sign` signs it", id="both"),
            pytest.param(["--draft", "public/d"], "--draft public/d: is inside ", id="served"),
            pytest.param(["--draft", "src/d"], "--draft src/d: is inside ", id="source"),
            pytest.param(["--manifest", "none"], "none: no such file", id="none"),
            pytest.param(["--manifest", "next", "--signature", "none"], "none: no such file", id="no-signature"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, folder, ota, words, message):  # noqa: F811
        """Exit code 2, one line."""
        ota("publish", "--version", "v1.0.0", "--draft", "next")
        code, out, err = ota("publish", *words)
        assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith(f"error: {message}")

    def test_a_rollback_can_be_drafted(self, folder, ota, away, signers):  # noqa: F811
        """It needs a signature as any other."""
        for i in range(2):
            (folder / "src/main.py").write_text(f"print({i})\n")
            ota("publish", "--version", f"v1.0.{i}")
        assert ota("rollback", "--draft", "next")[0] == 0
        self.sign(ota, away, folder / "next", "--out", folder / "sig")
        out = ota("publish", "--manifest", "next", "--signature", "sig")[1]
        assert out.startswith("published sample v1.0.0+rollback.3 (seq 3)")
        assert ota("verify")[0] == 0


class TestCommands:
    @pytest.mark.parametrize("alg", ALGS)
    def test_a_new_key_signs_a_release_that_verifies(self, folder, ota, tmp_path_factory, monkeypatch, alg):  # noqa: F811
        """The whole way as the how-to has it."""
        monkeypatch.setenv("OTA_KEY_PASSWORD", "sesame")
        safe = tmp_path_factory.mktemp("safe")
        code, out, err = ota("keygen", safe / "k", "--alg", alg, "--bits", "2048")
        board_key = (safe / "k.pub").read_text().strip()
        key = BoardKey.parse(board_key)
        assert code == 0 and key.alg == alg and f"key id     {key.id}\n" in out
        assert stat.S_IMODE((safe / "k").stat().st_mode) == 0o600
        if alg == "HS256":
            assert board_key[6:] not in out + err
            assert err == f"warning: {safe}/k.pub contains the secret itself: anyone who can read it, or any board that has it, can sign releases\n"
        else:
            assert f'SignatureVerifier(["{board_key}"])\n' in out and err == ""
        assert ota("pubkey", safe / "k")[1] == ota("pubkey", safe / "k.pub")[1] == board_key + "\n"
        told = json.loads(ota("pubkey", safe / "k", "--json")[1])
        assert told == {"alg": alg, "key_id": key.id, "board_key": board_key}
        (folder / "ota.toml").write_text(f'project = "sample"\nkey = ["{safe}/k"]\nkeys = ["{safe}/k.pub"]\n')
        code, out, err = ota("publish", "--version", "v1.0.0")
        assert (code, err) == (0, "") and f"signed by {key.id}" in out
        assert ota("verify")[0] == 0
        path = folder / "public/sample/stable.manifest"
        path.write_bytes(path.read_bytes().replace(b'"size":31', b'"size":31 '))
        assert ota("verify")[0] == 1

    def test_a_threshold_above_the_keys_is_refused(self, folder, ota, keys):  # noqa: F811
        """Nothing could ever be published."""
        text = keys["ES256"].with_name("ES256.pub").read_text().strip()
        (folder / "ota.toml").write_text(f'project = "sample"\nkeys = ["{text}"]\nthreshold = 2\n')
        assert ota("publish", "--version", "v1.0.0") == (2, "", "error: threshold = 2, but `keys` has 1\n")

    def test_a_relative_key_of_ota_toml_is_relative_to_it(self, folder, ota, keys, monkeypatch):  # noqa: F811
        """As its other paths."""
        (folder / "safe").mkdir()
        shutil.copy(keys["other"], folder / "safe/k")
        (folder / "ota.toml").write_text('project = "sample"\nkey = ["safe/k"]\n')
        monkeypatch.chdir("/")
        assert "signed by" in ota("publish", "--config", folder / "ota.toml", "--version", "v1.0.0")[1]

    def test_a_pem_public_key_made_elsewhere_becomes_a_board_key(self, folder, ota, signers):  # noqa: F811
        """For a key that never was on this machine."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = BoardKey.parse(signers["ES256"].board_key).public()
        (folder / "k.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        assert ota("pubkey", "k.pem") == (0, signers["ES256"].board_key + "\n", "")

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            pytest.param(["keygen", "k", "--bits", "1024", "--no-password"], 2, "bits = 1024: must be one of 2048, 3072, 4096", id="bits"),
            pytest.param(["keygen", "ota.toml/k", "--no-password"], 3, "ota.toml/k: cannot be written: ota.toml is a file, not a folder", id="folder"),
            pytest.param(["keygen", "ota.toml", "--no-password"], 2, "ota.toml: already exists, and keys are never overwritten", id="taken"),
            pytest.param(["keygen", "k", "--no-password", "--password-file", "p"], 2, "--password-file cannot be used with --no-", id="both"),
            pytest.param(["pubkey", "none"], 2, "key none: no such file; create it with `ota keygen none`", id="pubkey"),
            pytest.param(["pubkey", "ota.toml"], 2, "key ota.toml: not a private key", id="no-key"),
            pytest.param(["sign", "ota.toml", "--key", "k"], 1, "ota.toml: manifest: line 1: is not a JSON object", id="no-manifest"),
            pytest.param(["sign", "ota.toml"], 2, "no key given; use --key", id="no-key-given"),
            pytest.param(["publish", "--version", "v1.0.0", "--key", "none"], 2, "key none: no such file", id="publish"),
        ],
    )
    def test_what_cannot_be_done_is_one_line_and_a_code(self, folder, ota, words, code, message):  # noqa: F811
        """And leaves nothing behind."""
        before = sorted(folder.rglob("*"))
        got, out, err = ota(*words)
        assert (got, out, err.count("\n")) == (code, "", 1) and err.startswith(f"error: {message}"), err
        assert sorted(folder.rglob("*")) == before

    def test_a_wrong_password_publishes_nothing(self, folder, ota, keys, monkeypatch):  # noqa: F811
        """And is in no message."""
        monkeypatch.setenv("OTA_KEY_PASSWORD", "not-sesame")
        code, out, err = ota("publish", "--version", "v1.0.0", "--key", keys["RS256"])
        assert (code, out) == (1, "") and err == f"error: key {keys['RS256']}: wrong password, or the file is damaged\n"
        assert not (folder / "public").exists()

    def test_signing_does_not_look_at_the_project(self, folder, ota, signers, keys, tmp_path_factory, monkeypatch):  # noqa: F811
        """The other machine has a draft and a key, nothing else."""
        ota("publish", "--version", "v1.0.0", "--draft", "next")
        away = tmp_path_factory.mktemp("away")
        shutil.copy(folder / "next", away)
        monkeypatch.chdir(away)
        told = json.loads(ota("sign", "next", "--key", keys["other"], "--json")[1])
        draft = (away / "next").read_bytes()
        assert told == {
            "project": "sample", "version": "v1.0.0", "seq": 1, "files": 2, "size": 31,
            "sha256": release.sha256(draft).hexdigest(), "signed": [signers["other"].key_id],
            "file": "next.sig", "changed": True,
        }  # fmt: skip
        assert check_signatures(draft + (away / "next.sig").read_bytes(), [signers["other"].board_key])
        assert drafts.sign("next", [signers["other"]])[2] is False


BOARD = """
import json, os
from ota import SdTransport, LittlefsStorage, SignatureVerifier, Updater, OtaError
server, board, keys, threshold = json.loads(os.getenv("ARGS"))
try:
    verifier = SignatureVerifier(json.loads(keys), int(threshold))
    updater = Updater(SdTransport(server), storage=LittlefsStorage(board), verifier=verifier)
    updater.stage(updater.check())
    print("ready" if updater.ready else "no")
except OtaError as e:
    print(type(e).__name__)
"""


class TestOnTheBoard:
    """What the host signs, read by the library on the real MicroPython."""

    def take(self, made, folder, *signers, threshold=1):
        board = folder / "board"
        shutil.rmtree(board, ignore_errors=True)
        board.mkdir()
        keys = json.dumps([s.board_key for s in signers])
        return run_mp(BOARD, made.tree, board, keys, threshold, path=[folder]).stdout.strip()

    @pytest.mark.parametrize("alg", ALGS)
    def test_it_takes_a_release_that_its_key_signed_and_no_other(self, tmp_path, signers, alg):
        """Nor one whose manifest was changed on the server."""
        made = project(tmp_path, {"boot.py": BOOT, "main.py": "print(1)\n"})
        publish(made, "v1.0.0", seal=seal(signers[alg]))
        assert self.take(made, tmp_path, signers[alg]) == "ready"
        assert self.take(made, tmp_path, signers["other"]) == "SignatureError"
        path = made.tree / "stable.manifest"
        path.write_bytes(path.read_bytes().replace(b'"v1.0.0"', b'"v9.0.0"'))
        assert self.take(made, tmp_path, signers[alg]) == "SignatureError"

    def test_it_counts_several_signatures_as_the_host_does(self, tmp_path, signers):
        """Three lines of them, two of which it knows."""
        rs, es, hs = (signers[alg] for alg in ALGS)
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0", seal=seal(signers["other"], es, rs))
        for known, threshold in [((rs, es), 2), ((rs, es, hs), 2), ((rs, hs), 1), ((rs, hs), 2)]:
            trusted = seal(keys=known, threshold=threshold)
            expected = "SignatureError" if trusted.problem(head(made), "") else "ready"
            assert self.take(made, tmp_path, *known, threshold=threshold) == expected, (known, threshold)


PAGE = (ROOT / "docs/how-to/sign-releases.md").read_text("utf-8")


def fenced(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


class TestHowTo:
    """docs/how-to/sign-releases.md, done as it says."""

    def test_its_commands_run_in_their_order(self, folder, ota, tmp_path_factory, monkeypatch):  # noqa: F811
        """With its ota.toml; the keys of Anna and Ben are made before."""
        home = tmp_path_factory.mktemp("home")
        (home / "keys").mkdir()
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("OTA_KEY_PASSWORD", "sesame")
        for name in ("anna", "ben"):
            assert ota("keygen", f"~/keys/{name}.key", "--alg", "ES256")[0] == 0
        (toml,) = fenced("toml")
        two = "".join((home / f"keys/{n}.key.pub").read_text() for n in ("anna", "ben"))
        (home / "two").write_text(two)
        for block in fenced("sh"):
            # What the page says for several keys, in words.
            config = 'project = "sample"\nkeys = ["~/two"]\nthreshold = 2\n' if "anna" in block else toml
            for line in block.splitlines():
                words = shlex.split(line)
                if words[0] != "ota" or "pkcs11" in line:
                    continue
                if words[1] == "publish" and "--version" in words:
                    (folder / "src/main.py").write_text(f"print({line!r})\n")
                (folder / "ota.toml").write_text(config if words[1] != "keygen" else 'project = "sample"\n')
                code, _, err = ota(*words[1:])
                # The page goes from one example's key to those of the next.
                changes = "is signed by" in err and "v1.2.0" in line
                assert (code, err if not changes else "") == (0, ""), line
        signed = (folder / "public/sample/stable.manifest").read_bytes()
        assert json.loads(signed.splitlines()[0])["version"] == "v1.3.0"
        assert who(signed) == [BoardKey.parse((home / f"keys/{n}.key.pub").read_text()).id for n in ("anna", "ben")]

    @pytest.mark.parametrize("number", [0, 1], ids=["list", "file"])
    def test_its_programs_take_a_signed_release_and_no_other(self, tmp_path, signers, number, web):
        """On the real MicroPython, over HTTP."""
        url, root = web
        made = project(tmp_path, {"boot.py": BOOT}, destination=str(root))
        publish(made, "v1.0.0", seal=seal(signers["RS256"]))
        text = fenced("python")[number].replace("http://192.168.2.100", url)
        text = text.replace("RS256:…", signers["RS256"].board_key)
        files = f"with open('ota.keys', 'w') as f: f.write({signers['RS256'].board_key + chr(10)!r})\n"
        assert run_mp(STAGE + files + text).stdout == "reset\n"
        publish(project(tmp_path, {"boot.py": BOOT, "a": ""}, destination=str(root)), "v1.0.1")
        done = run_mp(STAGE + files + text, check=False)
        assert done.returncode and "SignatureError: 0 of 1 signatures hold for v1.0.1" in done.stderr + done.stdout


@pytest.fixture
def web(tmp_path):
    """The address of a web server, and the folder that it serves."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

    (tmp_path / "www").mkdir()
    handler = functools.partial(Handler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d" % server.server_port, tmp_path / "www"
        server.shutdown()
