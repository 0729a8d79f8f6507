"""The command `ota`: what it says, what it exits with, and that its reference says the same."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from support import ROOT

from ota_host import cli, config
from ota_host.tree import Tree

def commands(group, prefix=""):
    """{name: command}, those of a group with its name in front."""
    found = {}
    for name, command in group.commands.items():
        is_group = hasattr(command, "commands")
        found.update(commands(command, f"{prefix}{name} ") if is_group else {prefix + name: command})
    return found


COMMANDS = commands(cli.command())



BOOT = "import ota\nota.boot()\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project's folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/boot.py").write_text(BOOT)
    (tmp_path / "src/main.py").write_text("print(1)\n")
    (tmp_path / "ota.toml").write_text('project = "sample"\n')
    return tmp_path


@pytest.fixture
def ota(capfd):
    """Runs the command: ota("publish", …) -> (exit code, standard output, standard error)."""

    def run(*words):
        capfd.readouterr()
        with pytest.raises(SystemExit) as e:
            cli.main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return e.value.code or 0, out, err

    return run


class TestInit:
    def test_it_writes_a_file_that_publish_reads(self, folder, ota):
        """The defaults fit the folder."""
        (folder / "ota.toml").unlink()
        code, out, err = ota("init", "--yes")
        assert (code, err) == (0, "")
        assert out == f"wrote {folder}/ota.toml; next: ota publish --version v1.0.0\n"
        made = config.read(folder / "ota.toml")
        assert (made.project, made.source, made.tree) == (folder.name, "src", folder / "public" / folder.name)
        assert ota("publish", "--version", "v1.0.0")[0] == 0

    def test_each_line_that_is_commented_out_is_a_setting(self, folder, ota):
        """So that removing the # is all there is to do."""
        ota("init", "--yes", "--force")
        text = re.sub(r"^# (\w+ = )", r"\1", (folder / "ota.toml").read_text(), flags=re.M)
        (folder / "ota.toml").write_text(text)
        made = config.read(folder / "ota.toml")
        assert made.compile and made.compile_exclude == ["/apps/*.py"] and made.keep == ["settings.json", "data/"]
        assert made.key and made.keys

    def test_every_answer_is_an_option(self, folder, ota):
        """What is asked at a terminal can be given by a script."""
        (folder / "ota.toml").unlink()
        words = ["--project", 'x', "--source", 'a "b"', "--destination", "out", "--channel", "beta", "--legacy", "subdir"]
        assert ota("init", *words)[0] == 0
        made = config.read(folder / "ota.toml")
        assert (made.project, made.source, made.destination, made.channel, made.legacy) == (
            "x", 'a "b"', "out", "beta", "subdir",
        )  # fmt: skip

    def test_a_terminal_is_asked(self, folder, ota, monkeypatch):
        """An empty answer takes the default."""
        (folder / "ota.toml").unlink()
        answers = iter(["mine", "", "", "prefix"])
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("typer.prompt", lambda text, default: next(answers) or default)
        assert ota("init")[0] == 0
        made = config.read(folder / "ota.toml")
        assert (made.project, made.source, made.destination, made.legacy) == ("mine", "src", "public", "prefix")

    def test_a_folder_without_src_is_its_own_source_without_what_is_not_for_a_board(self, folder, ota):
        """Tests and documents stay out, and ota.toml says so."""
        (folder / "src/boot.py").rename(folder / "boot.py")
        (folder / "src/main.py").unlink()
        (folder / "src").rmdir()
        (folder / "ota.toml").unlink()
        (folder / "README.md").write_text("")
        (folder / "tests").mkdir()
        (folder / "tests/test_x.py").write_text("")
        ota("init", "--yes")
        code, out, _ = ota("publish", "--version", "v1.0.0", "--json")
        assert (code, json.loads(out)["files"]) == (0, 1)

    def test_a_public_folder_of_the_projects_own_is_not_the_destination(self, folder, ota):
        """Its pages are published, and releases go elsewhere, which is said; releases of ours are no reason."""
        (folder / "ota.toml").unlink()
        (folder / "public").mkdir()
        (folder / "public/index.html").write_text("")
        code, out, _ = ota("init", "--yes", "--source", ".")
        assert code == 0 and out.startswith("public/ has files of its own, so releases go to ota-public/\nwrote ")
        (folder / "src/boot.py").rename(folder / "boot.py")
        assert ota("publish", "--version", "v1.0.0")[0] == 0
        text = (folder / "ota-public" / folder.name / "stable.manifest").read_text()
        assert '"public/index.html"' in text and "ota-public" not in text
        assert ota("init", "--yes", "--force")[1].startswith("public/ has files of its own, so releases go to ota-public/")
        assert ota("init", "--yes", "--force", "--destination", "public")[1].startswith("wrote ")

    def test_an_ota_toml_that_is_there_is_kept_without_force(self, folder, ota):
        """Exit code 2, and not a byte changes."""
        assert ota("init", "--yes") == (2, "", f"error: {folder}/ota.toml: already exists; use --force to overwrite it\n")
        assert (folder / "ota.toml").read_text() == 'project = "sample"\n'
        assert ota("init", "--yes", "--force")[0] == 0
        assert config.read().source == "src"

    def test_an_answer_that_is_not_allowed_writes_nothing(self, folder, ota):
        """A project's name is part of a URL."""
        (folder / "ota.toml").unlink()
        code, _, err = ota("init", "--project", "a/b")
        assert (code, err.startswith("error: project = 'a/b': must be 1 to 64 of the characters")) == (2, True)
        assert not (folder / "ota.toml").exists()


class TestConfig:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param('sorce = "x"', "sorce = 'x': unknown key; did you mean source? Allowed: project, ", id="unknown"),
            pytest.param('project = "a b"', "project = 'a b': must be 1 to 64 of the characters A-Z", id="project"),
            pytest.param('project = ".."', "project = '..': must be 1 to 64 of the characters A-Z", id="dots"),
            pytest.param("source = 1", "source = 1: must be a folder, as text", id="source"),
            pytest.param('include = "*"', "include = '*': must be a list of texts, none empty", id="include"),
            pytest.param("exclude = [1]", "exclude = [1]: must be a list of texts, none empty", id="exclude"),
            pytest.param('legacy = "yes"', 'legacy = \'yes\': must be "none", "prefix" or "subdir"', id="legacy"),
            pytest.param("legacy = []", 'legacy = []: must be "none", "prefix" or "subdir"', id="legacy-type"),
            pytest.param("compile = 1", "compile = 1: must be true or false", id="compile"),
            pytest.param("expires = -1", "expires = -1: must be a whole number of days from 0 (never)", id="expires"),
            pytest.param("expires = true", "expires = True: must be a whole number of days from 0 (never)", id="bool"),
            pytest.param("channel = [", "is not TOML: ", id="syntax"),
            pytest.param('channel = "beta"', "project: is missing; must be 1 to 64 of the characters", id="missing"),
        ],
    )
    def test_a_wrong_ota_toml_is_one_line_with_file_key_value_and_what_is_allowed(self, folder, ota, text, message):
        """Exit code 2, whatever the command was to do."""
        (folder / "ota.toml").write_text(text)
        code, out, err = ota("publish", "--version", "v1.0.0")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"error: ota.toml: {message}")

    def test_bytes_that_are_no_text_are_no_toml(self, folder, ota):
        """Not a traceback."""
        (folder / "ota.toml").write_bytes(b'project = "\xff"')
        assert ota("verify")[2].startswith("error: ota.toml: is not TOML: ")

    def test_none_at_all_says_how_to_get_one(self, folder, ota):
        """The first thing that a newcomer sees."""
        (folder / "ota.toml").unlink()
        assert ota("publish") == (2, "", "error: ota.toml: no such file; `ota init` writes one\n")

    def test_another_one_can_be_named_and_its_paths_are_relative_to_it(self, folder, ota, monkeypatch):
        """A build job need not change the folder."""
        monkeypatch.chdir("/")
        assert ota("publish", "--config", folder / "ota.toml", "--version", "v1.0.0")[0] == 0
        assert (folder / "public/sample/stable.manifest").exists()


class TestPublish:
    def test_it_says_what_it_did_and_when_there_was_nothing_to_do(self, folder, ota):
        """A line to read; one of JSON for a script."""
        words = "publish", "--version", "v1.0.0"
        said = "published sample v1.0.0 (seq 1) on stable: 2 files, 31 bytes, 2 of the contents new\n"
        said += "largest: boot.py (22 bytes), main.py (9 bytes)\n"
        assert ota(*words) == (0, said, "")
        assert ota(*words) == (0, "nothing to do: sample v1.0.0 (seq 1) on stable is published already\n", "")
        code, out, err = ota(*words, "--json")
        assert (code, err, json.loads(out)) == (0, "", {
            "project": "sample", "channel": "stable", "version": "v1.0.0", "seq": 1, "files": 2, "size": 31,
            "written": [], "warnings": [], "signed": [], "draft": "", "changed": False,
        })  # fmt: skip

    def test_options_win_over_ota_toml(self, folder, ota):
        """Each of them reaches the manifest."""
        words = ["--channel", "beta", "--compile", "--platform", "rp2", "--platform", "esp32", "--rollout", "12.5"]
        assert ota("publish", "--version", "v1.0.0", *words, "--expires", "1", "--legacy", "prefix")[0] == 0
        header = json.loads((folder / "public/sample/beta.manifest").read_text().splitlines()[0])
        assert header["requires"] == {"platform": ["rp2", "esp32"]}
        assert header["rollout"]["percent"] == 12.5 and "expires" in header
        assert (folder / "public/sample/v1.0.0_main.py").exists()

    def test_another_channel_does_not_reach_legacy_devices_unasked(self, folder, ota):
        """They all read the one `version` file."""
        (folder / "ota.toml").write_text('project = "sample"\nlegacy = "prefix"\n')
        ota("publish", "--version", "v1.0.0-rc.1", "--channel", "beta")
        assert not (folder / "public/sample/version").exists()
        ota("publish", "--version", "v1.0.0-rc.1")
        assert (folder / "public/sample/version").read_text() == "v1.0.0-rc.1"

    @pytest.mark.parametrize(
        ("change", "words", "code", "message"),
        [
            pytest.param(None, ["--version", "1.0"], 2, "invalid version '1.0': 2 numbers, not major.minor.patch; a version", id="version"),
            pytest.param(None, [], 2, "no version: give --version, or `version` in ota.toml", id="no-version"),
            pytest.param(None, ["--version", "v1.0.0", "--channel", "a/b"], 2, "--channel 'a/b': must be", id="channel"),
            pytest.param("print(1)", ["--version", "v1.0.0"], 1, "boot.py does not call ota.boot()", id="boot"),
            pytest.param("def", ["--version", "v1.0.0"], 1, "boot.py, line 1: SyntaxError", id="syntax"),
            pytest.param(None, ["--from", "v0.1.0"], 1, "there is no release v0.1.0; there are: none", id="from"),
            pytest.param(None, ["--from", "v1.0.0", "--compile"], 2, "--compile does not go with --from", id="both"),
        ],
    )
    def test_what_cannot_be_published_is_one_line_and_a_code(self, folder, ota, change, words, code, message):
        """1 for what is bad or refused, 2 for what cannot be meant; never a traceback."""
        if change:
            (folder / "src/boot.py").write_text(change)
        got, out, err = ota("publish", *words)
        assert (got, out, err.count("\n")) == (code, "", 1)
        assert message in err

    def test_a_tree_that_cannot_be_written_is_code_3(self, folder, ota):
        """The file system is outside of what was asked for."""
        (folder / "public").write_text("a file")
        code, _, err = ota("publish", "--version", "v1.0.0")
        assert (code, err) == (3, f"error: {folder}/public/sample: Not a directory\n")

    def test_a_wrong_option_is_code_2_and_one_line(self, folder, ota):
        """As every command of its kind."""
        code, out, err = ota("publish", "--rollout", "101")
        assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("error: invalid value for '--rollout': ")
        assert ota("publish", "--nonsense") == (2, "", "error: no such option: --nonsense; see ota publish --help\n")
        assert ota("nonsense") == (2, "", "error: no such command 'nonsense'; see ota --help\n")
        assert ota("keygen") == (2, "", "error: missing argument 'FILE'; see ota keygen --help\n")


    def test_the_numbers_are_of_what_they_name(self, folder, ota):
        """Compressed forms and patches are not contents; one file is no plural."""
        (folder / "src/main.py").unlink()
        (folder / "src/boot.py").write_text(BOOT + "# x\n" * 100)
        said = "published sample v1.0.0 (seq 1) on stable: 1 file, 422 bytes, 1 of the contents new\n"
        assert ota("publish", "--version", "v1.0.0")[1].startswith(said)

    def test_an_ota_toml_with_a_byte_order_mark_is_read(self, folder, ota):
        """Editors on Windows write one; UTF-16 is one line of error."""
        (folder / "ota.toml").write_bytes(b"\xef\xbb\xbfproject = \"sample\"\r\n")
        assert ota("publish", "--version", "v1.0.0")[0] == 0
        (folder / "ota.toml").write_bytes('project = "sample"\n'.encode("utf-16"))
        assert ota("publish") == (2, "", "error: ota.toml: is UTF-16; save the file as UTF-8\n")


class TestDryRun:
    """`ota publish --dry-run`."""

    @pytest.fixture
    def changed(self, folder, ota):
        """v1.0.0 is published; since then a file changed, one came and one went."""
        (folder / "src/old.txt").write_text("x")
        (folder / "src/main.py").write_text("".join(f"print({i})\n" for i in range(200)))
        ota("publish", "--version", "v1.0.0")
        (folder / "src/old.txt").unlink()
        (folder / "src/main.py").write_text("".join(f"print({i})\n" for i in range(201)))
        (folder / "src/new.txt").write_text("y" * 200)
        return folder

    def snapshot(self, folder):
        return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*")}

    def test_it_lists_what_would_change_and_what_boards_would_fetch_and_writes_nothing(self, changed, ota):
        """The numbers are those of the publication that follows."""
        before = self.snapshot(changed)
        code, out, err = ota("publish", "--version", "v1.0.1", "--dry-run")
        assert (code, err, self.snapshot(changed)) == (0, "", before)
        head, *files, unchanged, fetches, largest, end = out.splitlines()
        assert head == "would publish sample v1.0.1 (seq 2) on stable: 3 files, 2.3 kB"
        assert files == ["  new      new.txt  (200 bytes)", "  changed  main.py  (2.1 kB, was 2.1 kB)", "  removed  old.txt  (was 1 byte)"]
        assert (unchanged, end) == ("  1 file unchanged since v1.0.0", "nothing was written")
        assert largest == "largest: main.py (2.1 kB), new.txt (200 bytes), boot.py (22 bytes)"
        made = json.loads(ota("publish", "--version", "v1.0.1", "--dry-run", "--json")[1])
        ota("publish", "--version", "v1.0.1")
        header, *lines = map(json.loads, (changed / "public/sample/stable.manifest").read_text().splitlines())
        main, new = lines[1:]
        assert made["fetch"] == {
            "raw": main["s"] + new["s"], "compressed": main["z"] + new["z"], "delta": min(main["d"].values()) + new["z"],
        }  # fmt: skip
        assert fetches == "a board with v1.0.0 fetches {raw} bytes; {compressed} compressed; {delta} with deltas".format(**made["fetch"])
        assert made["seq"] == header["seq"] == 2

    def test_its_json_has_the_same(self, changed, ota):
        """One object, for a script."""
        made = json.loads(ota("publish", "--version", "v1.0.1", "--dry-run", "--json")[1])
        assert [file["path"] for file in made["new"] + made["changed"] + made["removed"]] == ["new.txt", "main.py", "old.txt"]
        assert made["changed"][0]["before"] == 2090 and made["changed"][0]["size"] == 2101
        assert (made["previous"], made["unchanged"], made["largest"][0]) == ("v1.0.0", 1, {"path": "main.py", "size": 2101})

    def test_it_needs_no_version_no_key_and_no_folder(self, folder, ota):
        """A first look, before there is anything; the warning says what publish will ask for."""
        (folder / "ota.toml").write_text('project = "sample"\nkey = ["~/gone.key"]\n')
        before = self.snapshot(folder)
        code, out, err = ota("publish", "--dry-run")
        assert (code, self.snapshot(folder)) == (0, before)
        assert err.startswith("warning: no version: give --version, ")
        assert out.startswith("would publish sample (no version yet) (seq 1) on stable: 2 files, 31 bytes\n  new      boot.py")
        assert "  stable has no release yet\na board with none of it fetches 31 bytes; 31 compressed; 31 with deltas\n" in out

    def test_a_signed_channel_is_no_matter(self, folder, ota):
        """Boards trust keys that are not at hand: no refusal, no warning, no question for a password."""
        ota("keygen", folder / "../k", "--no-password", "--bits", "2048")
        (folder / "ota.toml").write_text('project = "sample"\nkeys = ["../k.pub"]\n')
        assert ota("publish", "--version", "v1.0.0", "--key", folder / "../k")[0] == 0
        (folder / "src/main.py").write_text("print(2)\n")
        code, out, err = ota("publish", "--version", "v1.0.1", "--dry-run")
        assert (code, err) == (0, "") and "  changed  main.py" in out

    def test_what_publish_refuses_it_refuses_too(self, changed, ota):
        """Other content under a published version; a path that boards cannot hold."""
        before = self.snapshot(changed)
        code, _, err = ota("publish", "--version", "v1.0.0", "--dry-run")
        assert code == 1 and "v1.0.0 is published already with other content (main.py, new.txt, old.txt)" in err
        assert self.snapshot(changed) == before

    def test_an_old_release_can_be_looked_at_before_it_is_published_again(self, changed, ota):
        """With --from."""
        ota("publish", "--version", "v1.0.1")
        before = self.snapshot(changed)
        out = ota("publish", "--from", "v1.0.0", "--dry-run")[1]
        assert out.startswith("would publish sample v1.0.0+rollback.3 (seq 3) on stable: 3 files")
        assert "  removed  new.txt  (was 200 bytes)" in out and self.snapshot(changed) == before

    def test_it_goes_with_no_draft(self, folder, ota):
        """Nothing would be written."""
        assert ota("publish", "--dry-run", "--draft", "x") == (2, "", "error: --draft does not go with --dry-run\n")


class TestRollback:
    def test_it_goes_back_and_says_to_what(self, folder, ota):
        """And once more, there is nothing to do."""
        ota("publish", "--version", "v1.0.0")
        (folder / "src/main.py").write_text("print(2)\n")
        ota("publish", "--version", "v1.0.1")
        code, out, err = ota("rollback")
        assert (code, err) == (0, "")
        assert out.startswith("published sample v1.0.0+rollback.3 (seq 3) on stable: 2 files")
        assert ota("rollback", "v1.0.0")[1].startswith("nothing to do: sample v1.0.0+rollback.3 (seq 3) on stable")
        assert ota("rollback")[::2] == (1, f"error: {folder}/public/sample: there is no release before v1.0.0\n")
        assert ota("publish", "--from", "v1.0.1", "--json")[0] == 0
        assert ota("rollback", "v1.0.0", "--version", "v1.0.2")[1].startswith("published sample v1.0.2 (seq 5)")


class TestVerify:
    def test_a_good_tree_is_code_0(self, folder, ota):
        """Of one project, and of the folder above."""
        ota("publish", "--version", "v1.0.0")
        for place in (["public"], ["public/sample"], []):
            code, out, err = ota("verify", *place)
            assert (code, err) == (0, "")
            assert "1 release, 2 files, 0 compressed or delta variants, 0 unreferenced files" in out
        report = json.loads(ota("verify", "--json")[1])
        assert report["ok"] and report["projects"][0]["channels"]["stable"]["version"] == "v1.0.0"

    def test_what_is_wrong_is_named_with_what_was_expected_and_found(self, folder, ota):
        """One line for each, and exit code 1."""
        ota("publish", "--version", "v1.0.0", "--legacy", "prefix")
        tree = folder / "public/sample"
        names = {e["p"]: tree / "blobs" / e["h"][:2] / e["h"] for e in self.entries(tree)}
        names["boot.py"].write_bytes(b"x" * 22)
        names["main.py"].unlink()
        (tree / "v1.0.0_main.py").write_text("")
        code, _, err = ota("verify", "public")
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        wrong = "sha256 " + __import__("hashlib").sha256(b"x" * 22).hexdigest()
        expected = [
            f"error: public/sample/blobs/{names['boot.py'].parent.name}/{names['boot.py'].name}: "
            f"expected sha256 {names['boot.py'].name}, found {wrong}",
            f"error: public/sample/blobs/{names['main.py'].parent.name}/{names['main.py'].name}: "
            "expected 9 bytes, found no such file",
            f"error: public/sample/v1.0.0_main.py: expected sha256 {names['main.py'].name}, found sha256 {empty}",
        ]
        *lines, last = err.splitlines()
        assert (code, sorted(lines)) == (1, sorted(expected))
        assert last == "`ota verify --fix` repairs what the rest of the tree allows"
        report = json.loads(ota("verify", "public", "--json")[1])
        assert not report["ok"] and len(report["projects"][0]["problems"]) == 3

    def entries(self, tree):
        return [json.loads(line) for line in (tree / "stable.manifest").read_text().splitlines()[1:]]

    @pytest.mark.parametrize(
        ("name", "text", "expected", "found"),
        [
            pytest.param("stable.manifest", "", "a manifest that boards accept", "manifest: line 1: is cut short", id="empty"),
            pytest.param("version", "v9.9.9", "the version of a release", "v9.9.9, which is not in releases/", id="legacy"),
            pytest.param("version", "<html>", "a version of Semantic Versioning", "'<html>'", id="page"),
            pytest.param("releases/v1.0.0.manifest", None, "releases/v1.0.0.manifest beside it", "no such file", id="gone"),
        ],
    )
    def test_a_manifest_or_version_that_leads_nowhere_is_a_problem(self, folder, ota, name, text, expected, found):
        """Boards would ask for what is not there."""
        ota("publish", "--version", "v1.0.0")
        path = folder / "public/sample" / name
        path.unlink() if text is None else path.write_text(text)
        code, _, err = ota("verify")
        assert code == 1
        assert f"expected {expected}, found {found}" in err

    def test_a_channel_that_differs_from_its_release_is_a_problem(self, folder, ota):
        """A version is one content and one seq."""
        ota("publish", "--version", "v1.0.0")
        path = folder / "public/sample/stable.manifest"
        path.write_text(path.read_text().replace('"seq":1', '"seq":2'))
        assert "expected seq 1 as in the release v1.0.0, found seq 2" in ota("verify")[2]

    def test_a_channel_with_other_files_than_its_release_is_a_problem(self, folder, ota):
        """Even when every content is there."""
        ota("publish", "--version", "v1.0.0")
        path = folder / "public/sample/stable.manifest"
        first, boot, _ = path.read_text().splitlines(True)
        entry = {**json.loads(boot), "p": "main.py"}
        header = json.dumps({**json.loads(first), "size": 44, "crc": None}).replace(', "crc": null', "") + "\n"
        path.write_text(header + boot + json.dumps(entry) + "\n")
        assert "stable.manifest: expected the files of the release v1.0.0, found others" in ota("verify")[2]

    def test_a_folder_without_releases_is_code_2(self, folder, ota):
        """A slip in the path is not a good tree."""
        assert ota("verify", "src") == (2, "", "error: src: holds no release; `ota publish` writes one\n")
        assert ota("verify", "none") == (2, "", "error: none: no such folder\n")


class TestHelp:
    def test_the_version_is_that_of_the_package(self, ota):
        """One source: setup.cfg."""
        version = re.search(r"^version = (\S+)$", (ROOT / "setup.cfg").read_text(), re.M)[1]
        assert ota("--version") == (0, f"ota {version}\n", "")

    @pytest.mark.parametrize("name", sorted(["", *COMMANDS, "tuf"]))
    def test_h_is_help_everywhere_and_values_have_names(self, ota, name):
        """FOLDER, not a type of Python."""
        code, out, err = ota(*name.split(), "-h")
        assert (code, err) == (0, "") and out.startswith(f"Usage: ota {name}".strip())
        assert not re.search(r"<(str|path|int|float|list)|\b(TEXT|PATH|INTEGER|FLOAT)\b", out)

    def test_a_shell_completes_commands_and_options(self, folder):
        """As the reference tells to install it."""
        env = {**os.environ, "_OTA_COMPLETE": "complete_bash", "COMP_WORDS": "ota publish --roll", "COMP_CWORD": "2"}
        done = subprocess.run([sys.executable, "-m", "ota_host.cli"], env=env, capture_output=True, text=True)
        assert done.stdout.split() == ["--rollout"]


def test_the_command_runs_as_a_program(folder):
    """The entry point that pip installs."""
    done = subprocess.run([sys.executable, "-m", "ota_host.cli", "verify", "x"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: x: no such folder\n")


def test_ctrl_c_is_code_130_without_a_traceback(folder):
    """Here while it waits for another publisher."""
    with Tree(folder / "public/sample").locked():
        program = "import ota_host.cli as c; print(1, flush=True); c.main(['publish', '--version', 'v1.0.0'])"
        command = [sys.executable, "-c", program]
        # A shell's background job would hand down that SIGINT is ignored.
        heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
        process.stdout.readline()  # all is loaded
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in err


class TestReference:
    """docs/reference/cli.md against the program."""

    text = (ROOT / "docs/reference/cli.md").read_text("utf-8")

    def section(self, heading):
        found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", self.text, re.M | re.S)
        assert found, f"no section {heading}"
        return found[1]

    def commands(self):
        return COMMANDS

    def test_it_has_every_command_and_no_other(self):
        """One section each."""
        assert set(re.findall(r"^## `ota (.+)`$", self.text, re.M)) == set(self.commands())

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_a_section_lists_exactly_the_options_and_arguments(self, name):
        """A row of the table each, with every spelling."""
        rows = set(re.findall(r"^\| `(.+?)` \|", self.section(f"`ota {name}`"), re.M))
        real = set()
        for param in self.commands()[name].params:
            if param.name != "help":
                is_option = param.param_type_name == "option"
                spelled = [*param.opts, *param.secondary_opts] if is_option else [param.metavar or param.name.upper()]
                real.add(", ".join(spelled))
        assert rows == real

    def test_it_has_every_key_of_ota_toml_and_no_other(self):
        """With its default."""
        rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", self.section("ota.toml"), re.M))
        made = config.Config(folder=ROOT, project="x")
        assert list(rows) == list(config.KEYS)
        for key, shown in rows.items():
            value = getattr(made, key)
            expected = "required" if key == "project" else f"`{json.dumps(value)}`"
            assert shown == expected, key

    def test_it_has_the_exit_codes_of_the_errors(self):
        """The number of every kind of error."""
        from ota_host.errors import ConfigError, HostError, OutsideError

        rows = set(re.findall(r"^\| (\d+) \|", self.section("Exit codes"), re.M))
        assert rows == {"0", "130", *(str(e.code) for e in (HostError, ConfigError, OutsideError))}
