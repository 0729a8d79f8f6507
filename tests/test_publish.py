"""Publishing: what a release holds, what is refused, and that no reader ever finds half of one."""

import ast
import json
import multiprocessing
import os
import shutil
import subprocess

import pytest
import strategies
from hypothesis import HealthCheck, assume, given, settings
from support import ROOT, run_mp

from ota_host import audit, bootcheck, content, release, sources
from ota_host.config import Config
from ota_host.errors import ConfigError, HostError, OutsideError
from ota_host.tree import Tree

BOOT = "import ota\nota.boot()\n"
# What the next boot needs of the library.
LIBRARY = {"lib/ota/__init__.py": "", "lib/ota/bootguard.py": ""}
DAY = 86400


def project(folder, files, **options):
    """The settings of a project whose source folder holds exactly `files` ({path: text or bytes})."""
    source = folder / "src"
    shutil.rmtree(source, ignore_errors=True)
    for path, data in files.items():
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
    return Config(folder=folder, project="sample", **options)


def _is_allowed(path, data):
    try:
        content.check(path, data)
    except HostError:
        return False
    return True


def publish(settings, version, **options):
    """Build and publish."""
    options.setdefault("layout", settings.legacy)
    options.setdefault("channel", settings.channel)
    return release.publish(release.build(settings), Tree(settings.tree), version, **options)


def snapshot(folder):
    """{path: (content, time of the last change)} of all that a reader may ask for."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return {p.relative_to(folder).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def problems(settings):
    return audit.verify(settings.tree).problems


def manifest(settings, name="stable.manifest"):
    """The lines of a manifest, parsed."""
    return [json.loads(line) for line in (settings.tree / name).read_text("utf-8").splitlines()]


class TestManifest:
    def test_a_first_release_has_seq_1_and_its_files_sorted_bytewise(self, tmp_path):
        """The manifest is as the format says, to the byte."""
        made = project(tmp_path, {"boot.py": BOOT, "lib/b.txt": "b", "lib-a.txt": "a", "é.txt": "é"})
        publish(made, "v1.0.0")
        text = (made.tree / "stable.manifest").read_bytes()
        first, *lines = text.decode().splitlines()
        assert first == '{"ota":1,"project":"sample","version":"v1.0.0","seq":1,"files":4,"size":26,"crc":"7306694e"}'
        assert [json.loads(line)["p"] for line in lines] == ["boot.py", "lib-a.txt", "lib/b.txt", "é.txt"]
        assert lines[1] == (
            '{"p":"lib-a.txt","s":1,"h":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}'
        )
        assert (made.tree / "releases/v1.0.0.manifest").read_bytes() == text
        assert problems(made) == []

    def test_seq_is_one_more_than_the_highest_of_all_channels_and_releases(self, tmp_path):
        """No channel and no release that a channel has left can repeat a number."""
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"})
        publish(made, "v1.0.0")
        publish(project(tmp_path, {"boot.py": BOOT, "a": "2"}), "v1.1.0-rc.1", channel="beta")
        done = publish(project(tmp_path, {"boot.py": BOOT, "a": "3"}), "v1.0.1")
        assert (done.seq, manifest(made, "beta.manifest")[0]["seq"]) == (3, 2)

    def test_a_seq_is_not_used_twice_when_its_channel_is_gone(self, tmp_path):
        """A publisher that died before the channel's manifest has used it already."""
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"})
        publish(made, "v1.0.0")
        (made.tree / "stable.manifest").unlink()
        assert publish(project(tmp_path, {"boot.py": BOOT, "a": "2"}), "v1.0.1").seq == 2

    def test_terms_and_requirements_stand_in_the_header_in_the_order_of_the_format(self, tmp_path):
        """Expiry ends with the day; a rollout has a salt."""
        made = project(tmp_path, {"boot.py": BOOT}, platform=["rp2", "esp32"])
        publish(made, "v1.0.0", terms=release.Terms(expires=30, rollout=25, now=DAY * 20000 + 5))
        header = manifest(made)[0]
        assert list(header) == [
            "ota", "project", "version", "seq", "expires", "files", "size", "crc", "requires", "rollout",
        ]  # fmt: skip
        assert header["expires"] == DAY * 20031
        assert header["requires"] == {"platform": ["rp2", "esp32"]}
        assert header["rollout"]["percent"] == 25 and len(header["rollout"]["salt"]) == 16

    def test_an_expiry_that_boards_cannot_count_to_is_refused(self, tmp_path):
        """Boards keep times in 31 bits."""
        made = project(tmp_path, {"boot.py": BOOT})
        with pytest.raises(ConfigError, match="expires = 36500: ends after 19 January 2038"):
            publish(made, "v1.0.0", terms=release.Terms(expires=36500))

    @given(files=strategies.contents)
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_whatever_is_published_verifies_and_reads_back(self, tmp_path_factory, files):
        """Any tree of contents comes out of the server as it went in, unless a content is refused."""
        assume(all(_is_allowed(path, data) for path, data in files.items()))
        made = project(tmp_path_factory.mktemp("p"), {**files, "boot.py": BOOT})
        publish(made, "v1.0.0")
        got = {e["p"]: (made.tree / Tree("").blob(e["h"])).read_bytes() for e in manifest(made)[1:]}
        assert got == {**files, "boot.py": BOOT.encode()}
        assert problems(made) == []


class TestSources:
    def test_globs_are_those_of_gitignore_and_hidden_files_stay_out(self, tmp_path):
        """`exclude` may take back with `!` what is left out by itself."""
        files = dict.fromkeys(
            [".git/config", ".keep", "__pycache__/m.pyc", "a.pyc", "boot.py", "docs/x.md", "lib/net.py", "ota.toml"], ""
        )
        made = project(tmp_path, files, exclude=["docs/", "!.keep"])
        assert list(sources.collect(made).files) == [".keep", "boot.py", "lib/net.py"]
        made = project(tmp_path, files, include=["/*.py", "docs"])
        assert list(sources.collect(made).files) == ["boot.py", "docs/x.md"]

    def test_the_destination_inside_the_source_folder_is_no_source(self, tmp_path):
        """A second publication does not publish the first."""
        made = project(tmp_path, {"boot.py": BOOT}, destination="src/public")
        publish(made, "v1.0.0")
        assert list(sources.collect(made).files) == ["boot.py"]

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            pytest.param("a:b", "has ':'", id="colon"),
            pytest.param("a\\b", "has '\\\\\\\\'", id="backslash"),
            pytest.param("x" * 129, "is over 128 bytes", id="too-long"),
            pytest.param("main.py.ota-new", "ends in a staging suffix", id="staging-suffix"),
        ],
    )
    def test_a_path_that_no_board_takes_is_refused_by_name(self, tmp_path, path, reason):
        """Nothing is published, and the message has the path and the rule."""
        made = project(tmp_path, {"boot.py": BOOT, path: "x"})
        with pytest.raises(HostError, match=f"manifest: path .*{reason}"):
            publish(made, "v1.0.0")
        assert not made.tree.exists()

    @pytest.mark.parametrize(
        "paths", [("lib/Net.py", "lib/net.py"), ("Lib/a.py", "lib/b.py")], ids=["files", "folders"]
    )
    def test_names_that_differ_only_in_case_are_refused(self, paths):
        """FAT would take them for one."""
        with pytest.raises(HostError, match="paths '.ib.*' and 'lib.*' differ only in case: FAT"):
            sources.check_case(paths)

    def test_no_file_at_all_is_refused(self, tmp_path):
        """An empty release would delete everything on every board."""
        made = project(tmp_path, {"boot.py": BOOT}, include=["*.txt"])
        with pytest.raises(ConfigError, match="source = 'src': the globs leave no file of"):
            sources.collect(made)


class TestCompile:
    def test_a_source_that_micropython_cannot_compile_stops_everything(self, tmp_path):
        """File, line and reason, before anything is written."""
        made = project(tmp_path, {"boot.py": BOOT, "lib/net.py": "x = 1\ndef f(:\n"})
        with pytest.raises(HostError, match=r"^lib/net.py, line 2: SyntaxError: invalid syntax \(MicroPython cannot compile this file; leave out"):
            publish(made, "v1.0.0")
        assert not made.tree.exists()

    def test_compiled_ships_bytecode_for_all_but_boot_and_main(self, tmp_path):
        """The manifest says which boards can run it."""
        files = {"boot.py": BOOT, "main.py": "import net\n", "lib/net.py": "x = 1\n", "data/boot.py": "y = 1\n"}
        made = project(tmp_path, files, compile=True)
        publish(made, "v1.0.0")
        header, *entries = manifest(made)
        assert [e["p"] for e in entries] == ["boot.py", "data/boot.mpy", "lib/net.mpy", "main.py"]
        assert header["requires"] == {"mpy": 6}
        code = (made.tree / Tree("").blob(entries[2]["h"])).read_bytes()
        assert code[:2] == b"M\x06" and code[2] == 0  # of no architecture

    def test_compiled_code_runs_on_the_real_micropython(self, tmp_path):
        """What is shipped is what the board imports."""
        made = project(tmp_path, {"boot.py": BOOT, "net.py": "ANSWER = 42\n"}, compile=True)
        built = release.build(made)
        entry = next(e for e in built.entries if e["p"] == "net.mpy")
        (tmp_path / "net.mpy").write_bytes(built.contents[entry["h"]])
        assert run_mp("import net; print(net.ANSWER)", path=[tmp_path]).stdout == "42\n"

    def test_machine_code_goes_to_the_board_as_source(self, tmp_path):
        """@native compiles for one processor only, so it is checked and left as it is."""
        files = {"boot.py": BOOT, "fast.py": "import micropython\n@micropython.native\ndef f():\n    return 1\n"}
        built = release.build(project(tmp_path, files, compile=True))
        assert [e["p"] for e in built.entries] == ["boot.py", "fast.py"]
        assert built.warnings == ["fast.py has machine code in it and goes to the board as source"]

    def test_two_files_for_one_name_are_refused(self, tmp_path):
        """net.py and net.mpy would be the same module."""
        made = project(tmp_path, {"boot.py": BOOT, "net.py": "", "net.mpy": b"M\x06\0\x1f"}, compile=True)
        with pytest.raises(HostError, match="net.py compiles to net.mpy, which the source folder has too"):
            release.build(made)

    def test_mpy_files_of_two_formats_are_refused(self, tmp_path):
        """No board runs both."""
        made = project(tmp_path, {"boot.py": BOOT, "a.mpy": b"M\x05\0\x1f", "b.mpy": b"M\x06\0\x1f"})
        with pytest.raises(HostError, match="a.mpy has .mpy version 5 and b.mpy has 6: no board runs both"):
            release.build(made)


class TestBoot:
    @pytest.mark.parametrize(
        "source",
        [
            pytest.param("import ota\nota.boot()", id="import"),
            pytest.param("from ota import boot\nboot()", id="from"),
            pytest.param("import ota as o; o.boot()", id="alias"),
            pytest.param("from ota import boot as b\nb()", id="from-alias"),
            pytest.param("from ota.bootguard import boot\nboot()", id="module"),
            pytest.param("import ota.bootguard as g\ng.boot('/flash')", id="module-alias"),
            pytest.param("try:\n    import ota\n    ota.boot()\nexcept Exception:\n    pass", id="try"),
            pytest.param("import ota\nif 1:\n    x = ota.boot()", id="if"),
        ],
    )
    def test_a_call_that_runs_on_import_is_found(self, source):
        """However it is written."""
        assert bootcheck.calls_boot(ast.parse(source))

    @pytest.mark.parametrize(
        "source",
        [
            pytest.param("import ota", id="no-call"),
            pytest.param("import ota\nota.boot", id="no-parentheses"),
            pytest.param("import ota\ndef f():\n    ota.boot()", id="in-a-function"),
            pytest.param("import ota\nf = lambda: ota.boot()", id="in-a-lambda"),
            pytest.param("import atom as ota\nota.boot()", id="another-module"),
            pytest.param("import ota\nota.confirm()", id="another-function"),
            pytest.param("# ota.boot()", id="comment"),
        ],
    )
    def test_a_call_that_does_not_run_is_not_found(self, source):
        """Only what runs while boot.py runs counts."""
        assert not bootcheck.calls_boot(ast.parse(source))

    def test_a_boot_py_without_the_call_is_refused(self, tmp_path):
        """Boards would never finish an install again."""
        with pytest.raises(HostError, match=r"^boot.py does not call ota.boot\(\) when it is imported: .* first lines$"):
            release.build(project(tmp_path, {"boot.py": "print(1)\n"}))

    @pytest.mark.parametrize(("more", "is_whole"), [
        pytest.param("if 1:\n\ta = 1\n        b = 2\n", True, id="tab-and-spaces"),
        pytest.param("def f():\n    match = 1\n    x = f'{a' 'b'!x}'\n", False, id="neither"),
    ])  # fmt: skip
    def test_a_boot_py_that_only_micropython_can_parse_is_searched(self, more, is_whole):
        """By line where it must be; a call inside a function still does not count."""
        source = (BOOT + more).encode()
        assert bootcheck.is_whole(source) == is_whole
        assert bootcheck.calls_boot(bootcheck.parse("boot.py", source)) == 2
        source = f"import ota\ndef f():\n    import net\n    ota.boot()\n{more}".encode()
        tree = bootcheck.parse("boot.py", source)
        assert not bootcheck.calls_boot(tree)
        assert "net" in [name for name, _ in bootcheck._imports(tree, "")]

    def test_a_boot_py_that_was_searched_by_line_is_a_warning(self, tmp_path, monkeypatch):
        """As with quotes of one kind inside an f-string, before Python 3.12."""
        monkeypatch.setattr(bootcheck, "_whole", lambda source: None)
        (warning,) = release.build(project(tmp_path, {"boot.py": BOOT})).warnings
        assert warning.startswith("boot.py: this PC's Python cannot parse it, though MicroPython can, so it was only")

    def test_no_boot_py_is_a_warning(self, tmp_path):
        """A board keeps the one that it was set up with."""
        built = release.build(project(tmp_path, {"main.py": ""}))
        assert built.warnings == ["there is no boot.py: boards keep the one they have, and it must call ota.boot()"]

    def test_a_legacy_boot_py_that_calls_ota_update_is_a_warning(self, tmp_path):
        """Its promise is weaker, and the message says how to mend that."""
        files = {"boot.py": "import micropython_ota\nmicropython_ota.ota_update('h', 'p', ['boot.py'])\n"}
        built = release.build(project(tmp_path, files, legacy="prefix"))
        assert "put `import ota; ota.boot()` on the first lines of boot.py" in built.warnings[0]
        with pytest.raises(HostError, match="does not call ota.boot"):
            release.build(project(tmp_path, files))

    def test_what_boot_py_imports_before_the_call_is_critical(self, tmp_path):
        """Followed through packages, relative imports and lib/; nothing after the call counts."""
        files = {
            "boot.py": "import board\nfrom drv import led\nimport ota\nota.boot()\nimport app\n",
            "board.py": "def f():\n    import pins\n",
            "lib/pins.py": "",
            "drv/__init__.py": "",
            "drv/led.py": "from .base import Base\nfrom . import const\n",
            "drv/base.py": "class Base: pass\n",
            "drv/const.py": "",
            "drv/motor.py": "",
            "app.py": "",
            **LIBRARY,
        }
        expected = ["board.py", "drv/__init__.py", "drv/base.py", "drv/const.py", "drv/led.py", "lib/pins.py"]
        made = project(tmp_path, files)
        publish(made, "v1.0.0")
        assert [e["p"] for e in manifest(made)[1:] if "c" in e] == expected
        (warning,) = release.build(made).warnings
        assert warning.startswith("boot.py imports files of the project before ota.boot()") and "lib/pins.py" in warning
        compiled = release.build(project(tmp_path, files, compile=True)).entries
        assert [e["p"] for e in compiled if "c" in e] == [p[:-2] + "mpy" for p in expected]

    def test_the_board_takes_the_same_names_for_critical(self):
        """The list of the host is that of the board."""
        from ota.bootguard import critical

        for path in (*bootcheck.VITAL, "ota/x.py", "lib/ota/x/y.py", "app.py", "lib/app.py", "lib/main.py", "otaku.py"):
            assert bootcheck.is_vital(path) == critical(path, {}, {}), path


class TestAgain:
    def test_the_same_content_under_the_same_version_changes_nothing(self, tmp_path):
        """Not a byte, not a time, not a seq."""
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"}, legacy="prefix")
        terms = release.Terms(expires=30, rollout=10)
        first = publish(made, "v1.0.0", terms=terms)
        before = snapshot(made.tree)
        again = publish(made, "v1.0.0", terms=terms)
        assert snapshot(made.tree) == before
        assert (first.changed, again.changed, again.seq) == (True, False, 1)

    def test_other_content_under_the_same_version_is_refused(self, tmp_path):
        """What differs is named, and nothing is written."""
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"})
        publish(made, "v1.0.0")
        before = snapshot(made.tree)
        project(tmp_path, {"boot.py": BOOT, "a": "2", "b": ""})
        with pytest.raises(HostError, match=r"version v1.0.0 is published already with other content \(a, b\)"):
            publish(made, "v1.0.0")
        assert snapshot(made.tree) == before

    def test_other_requirements_under_the_same_version_are_refused(self, tmp_path):
        """For whom a release is belongs to it."""
        publish(project(tmp_path, {"boot.py": BOOT}), "v1.0.0")
        with pytest.raises(HostError, match=r"already with requires \{\}, this one has \{'platform': \['rp2'\]\}"):
            publish(project(tmp_path, {"boot.py": BOOT}, platform=["rp2"]), "v1.0.0")

    def test_a_rollout_is_raised_with_the_same_seq_and_salt(self, tmp_path):
        """Boards that have it stay, boards that drew it still draw it, and the release stays as it was."""
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0", terms=release.Terms(rollout=25))
        first = manifest(made)[0]
        done = publish(made, "v1.0.0", terms=release.Terms(rollout=50))
        header = manifest(made)[0]
        assert done.written == ["stable.manifest", f"stable.d/{first['crc']}.manifest"]
        assert header == {**first, "rollout": {"percent": 50, "salt": first["rollout"]["salt"]}}
        assert manifest(made, "releases/v1.0.0.manifest")[0] == first
        publish(made, "v1.0.0", terms=release.Terms(rollout=100))
        assert "rollout" not in manifest(made)[0]
        assert problems(made) == []

    def test_a_release_that_its_channel_has_left_behind_is_left_alone(self, tmp_path):
        """A build job that runs again for an old tag moves nobody."""
        old = {"boot.py": BOOT, "a": "1"}
        publish(project(tmp_path, old), "v1.0.0")
        made = project(tmp_path, {"boot.py": BOOT, "a": "2"})
        publish(made, "v1.0.1")
        before = snapshot(made.tree)
        done = publish(project(tmp_path, old), "v1.0.0")
        assert snapshot(made.tree) == before
        assert done.warnings == [
            "stable has v1.0.1 since then, and keeps it; `ota rollback v1.0.0` goes back"
        ]

    def test_a_damaged_content_is_mended(self, tmp_path):
        """Publishing again writes what the tree has lost."""
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"})
        publish(made, "v1.0.0")
        blob = made.tree / Tree("").blob(manifest(made)[1]["h"])
        blob.write_bytes(b"torn")
        assert len(problems(made)) == 1
        publish(made, "v1.0.0")
        assert problems(made) == []

    def test_a_lower_version_is_a_warning(self, tmp_path):
        """Boards go by seq, so a slip of the finger would reach them."""
        publish(project(tmp_path, {"boot.py": BOOT, "a": "1"}), "v1.0.10")
        done = publish(project(tmp_path, {"boot.py": BOOT, "a": "2"}), "v1.0.9")
        assert done.warnings[0].startswith("v1.0.9 sorts before v1.0.10, which stable has now")

    def test_a_release_without_the_library_after_one_with_it_is_refused(self, tmp_path):
        """Boards would delete what updates them."""
        publish(project(tmp_path, {"boot.py": BOOT, **LIBRARY}), "v1.0.0")
        with pytest.raises(HostError, match="no file of the library, and v1.0.0 on stable has: boards would delete it"):
            publish(project(tmp_path, {"boot.py": BOOT}), "v1.0.1")

    def test_another_project_in_the_same_folder_is_refused(self, tmp_path):
        """A tree is of one project."""
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0")
        (tmp_path / "public/sample").rename(tmp_path / "public/other")
        other = Config(folder=tmp_path, project="other")
        with pytest.raises(HostError, match="project is 'sample', not 'other'; publish to another folder"):
            publish(other, "v1.0.1")


class TestRollback:
    @pytest.fixture
    def two(self, tmp_path):
        """A project with v1.0.0 and v1.0.1 on stable, and the legacy layout."""
        publish(project(tmp_path, {"boot.py": BOOT, "a": "1"}, legacy="subdir"), "v1.0.0")
        made = project(tmp_path, {"boot.py": BOOT, "a": "2"}, legacy="subdir")
        publish(made, "v1.0.1")
        return made

    def test_the_release_before_gets_a_new_seq_and_a_version_of_its_own(self, two):
        """The files are those of v1.0.0 to the byte."""
        tree = Tree(two.tree)
        done = release.republish(tree, release.previous(tree, "stable"), layout="subdir")
        assert (done.version, done.seq) == ("v1.0.0+rollback.3", 3)
        assert manifest(two)[1:] == manifest(two, "releases/v1.0.0.manifest")[1:]
        assert (two.tree / "version").read_bytes() == b"v1.0.0"  # legacy devices go by the old tag
        assert problems(two) == []

    def test_made_twice_changes_nothing_the_second_time(self, two):
        """The channel has that content already."""
        tree = Tree(two.tree)
        release.republish(tree, "v1.0.0", layout="subdir")
        before = snapshot(two.tree)
        assert not release.republish(tree, "v1.0.0", layout="subdir").changed
        assert snapshot(two.tree) == before

    def test_the_one_before_is_the_last_before_the_content_that_the_channel_has(self, two):
        """From v1.0.2 to v1.0.1, and from there to v1.0.0, though rollbacks have higher seqs."""
        tree = Tree(two.tree)
        publish(project(two.folder, {"boot.py": BOOT, "a": "3"}), "v1.0.2")
        assert release.previous(tree, "stable") == "v1.0.1"
        release.republish(tree, "v1.0.1")
        assert release.previous(tree, "stable") == "v1.0.0"

    def test_there_is_nothing_before_the_first_release(self, two):
        """Also when its content is back by a rollback."""
        tree = Tree(two.tree)
        release.republish(tree, "v1.0.0")
        with pytest.raises(HostError, match="there is no release before v1.0.0"):
            release.previous(tree, "stable")

    def test_forward_again_has_one_rollback_in_its_name(self, two):
        """Names do not grow with every turn."""
        tree = Tree(two.tree)
        release.republish(tree, "v1.0.0")
        assert release.republish(tree, "v1.0.1").version == "v1.0.1+rollback.4"
        assert release.republish(tree, "v1.0.0+rollback.3").version == "v1.0.0+rollback.5"

    def test_an_unknown_release_is_refused_with_those_that_there_are(self, two):
        """The message helps to choose."""
        with pytest.raises(HostError, match="there is no release v0.9.0; there are: v1.0.0, v1.0.1"):
            release.republish(Tree(two.tree), "v0.9.0")

    def test_a_release_whose_content_is_damaged_is_refused(self, two):
        """Boards are not sent to what they cannot get."""
        (two.tree / Tree("").blob(manifest(two, "releases/v1.0.0.manifest")[1]["h"])).unlink()
        with pytest.raises(HostError, match="the content of a is gone: no such file"):
            release.republish(Tree(two.tree), "v1.0.0")
        assert manifest(two)[0]["version"] == "v1.0.1"

    def test_a_channel_that_is_behind_gets_the_release_itself(self, two):
        """From beta to stable: the same version and the same seq."""
        beta = project(two.folder, {"boot.py": BOOT, "a": "3"})
        publish(beta, "v1.1.0", channel="beta")
        done = release.republish(Tree(two.tree), "v1.1.0")
        names = [name for name in done.written if not name.startswith("stable.d/")]
        assert (done.version, done.seq, names, len(done.written)) == ("v1.1.0", 3, ["stable.manifest"], 4)
        assert (two.tree / "stable.manifest").read_bytes() == (two.tree / "beta.manifest").read_bytes()

    def test_with_more_channels_the_release_has_to_be_named(self, two):
        """Nobody is sent to another channel's release by accident."""
        publish(two, "v1.0.1", channel="beta")
        with pytest.raises(HostError, match="the channels beta, stable share the releases, so name the one"):
            release.previous(Tree(two.tree), "stable")

    def test_a_version_of_ones_own_is_taken(self, two):
        """`ota publish --from v1.0.0 --version v1.0.2`."""
        done = release.republish(Tree(two.tree), "v1.0.0", version="v1.0.2", layout="subdir")
        assert (done.version, done.seq) == ("v1.0.2", 3)
        assert (two.tree / "version").read_bytes() == b"v1.0.2"
        assert problems(two) == []


class TestLegacy:
    @pytest.mark.parametrize(("layout", "name"), [("prefix", "v1.0.0_lib/net.py"), ("subdir", "v1.0.0/lib/net.py")])
    def test_the_layout_of_micropython_ota_stands_beside(self, tmp_path, layout, name):
        """`version` has no newline, as its publishers wrote it."""
        made = project(tmp_path, {"boot.py": BOOT, "lib/net.py": "x = 1\n"}, legacy=layout)
        publish(made, "v1.0.0")
        assert (made.tree / name).read_bytes() == b"x = 1\n"
        assert (made.tree / "version").read_bytes() == b"v1.0.0"
        assert problems(made) == []

    def test_its_devices_get_sources_when_the_release_is_compiled(self, tmp_path):
        """They ask for .py by name."""
        made = project(tmp_path, {"boot.py": BOOT, "net.py": "x = 1\n"}, legacy="prefix", compile=True)
        publish(made, "v1.0.0")
        assert (made.tree / "v1.0.0_net.py").read_bytes() == b"x = 1\n"
        assert problems(made) == []

    def test_a_file_that_is_there_with_other_content_is_never_replaced(self, tmp_path):
        """An old device may be in the middle of fetching it."""
        made = project(tmp_path, {"boot.py": BOOT}, legacy="prefix")
        made.tree.mkdir(parents=True)
        (made.tree / "v1.0.0_boot.py").write_text("old")
        with pytest.raises(HostError, match="v1.0.0_boot.py: is there with other content"):
            publish(made, "v1.0.0")
        assert not (made.tree / "blobs").exists()

    def test_a_publication_without_it_says_what_its_devices_still_get(self, tmp_path):
        """They are not forgotten in silence."""
        publish(project(tmp_path, {"boot.py": BOOT}, legacy="prefix"), "v1.0.0")
        done = publish(project(tmp_path, {"boot.py": BOOT, "a": ""}), "v1.0.1")
        assert done.warnings == ["the legacy file `version` still says 'v1.0.0': this is not for those devices"]


class TestVersion:
    def git(self, folder, *words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)

    def test_the_given_one_wins_over_ota_toml_and_git(self, tmp_path):
        """The nearest to the hand."""
        made = project(tmp_path, {"boot.py": BOOT}, version="v2.0.0")
        assert release.choose_version("v3.0.0", made) == "v3.0.0"
        assert release.choose_version(None, made) == "v2.0.0"

    def test_a_git_tag_counts_when_the_files_are_those_of_the_tag(self, tmp_path):
        """Otherwise the same tag would name two contents."""
        made = project(tmp_path, {"boot.py": BOOT})
        with pytest.raises(ConfigError, match="no version: give --version, or `version` in ota.toml, or a git tag"):
            release.choose_version(None, made)
        self.git(tmp_path, "init", "-q")
        self.git(tmp_path, "add", ".")
        self.git(tmp_path, "commit", "-qm", "x")
        self.git(tmp_path, "tag", "v1.2.3")
        assert release.choose_version(None, made) == "v1.2.3"
        (tmp_path / "src/boot.py").write_text(BOOT + "\n")
        with pytest.raises(ConfigError, match="no version: boot.py differs from the git tag v1.2.3"):
            release.choose_version(None, made)

    @pytest.mark.parametrize("version", ["1.0", "v1", "latest", "v1.0.0/../x", "v01.0.0", ""])
    def test_what_is_not_semantic_versioning_is_refused(self, version):
        """Also because it becomes a file name."""
        with pytest.raises(ConfigError, match="^invalid version .*; a version is one of Semantic Versioning, such as v1.0.0$"):
            release.check_version(version)


def test_two_manifests_of_one_size_never_have_the_same_second(tmp_path):
    """Servers that make tags of size and time tell them apart."""
    times, sizes = set(), set()
    for i in range(5):
        made = project(tmp_path, {"boot.py": BOOT, "a": str(i)})
        publish(made, f"v1.0.{i}")
        found = (made.tree / "stable.manifest").stat()
        times.add(int(found.st_mtime))
        sizes.add(found.st_size)
    assert (len(times), len(sizes)) == (5, 1)


class Cut(OSError):
    pass


def cutting(monkeypatch, at, act):
    """Call `act` instead of the `at`-th call that changes or secures the disk; returns the list of calls."""
    calls = []
    for name in ("replace", "fsync", "mkdir"):

        def wrapped(*args, _real=getattr(os, name), _name=name, **kwargs):
            calls.append(_name)
            if len(calls) == at:
                act()
            return _real(*args, **kwargs)

        monkeypatch.setattr(os, name, wrapped)
    return calls


class TestCut:
    """A publisher that dies at any point leaves the old release or the new one, for both kinds of devices."""

    @pytest.fixture
    def trees(self, tmp_path):
        """A tree with v1.0.0, one with v1.0.1 on top, and the build of v1.0.1."""
        publish(project(tmp_path, {"boot.py": BOOT, "a": "1", "b": "1"}, legacy="prefix"), "v1.0.0")
        shutil.copytree(tmp_path / "public", tmp_path / "old")
        made = project(tmp_path, {"boot.py": BOOT, "a": "2", "c": "2"}, legacy="prefix")
        publish(made, "v1.0.1")
        return tmp_path / "old/sample", made.tree, release.build(made)

    def contents(self, folder):
        return {path: data for path, (data, _) in snapshot(folder).items()}

    def attempt(self, folder, built):
        return release.publish(built, Tree(folder), "v1.0.1", layout="prefix")

    def check(self, folder):
        """The tree verifies; says of which release the channel and the legacy devices are."""
        report = audit.verify(folder)
        assert report.problems == []
        return report.channels["stable"]["version"], (folder / "version").read_text()

    def test_an_error_at_any_write_leaves_old_or_new_and_the_next_try_ends_it(self, trees, tmp_path):
        """As many runs as there are writes; the last has no error."""
        old, new, built = trees
        seen = set()
        for at in range(1, 200):
            folder = tmp_path / f"cut{at}"
            shutil.copytree(old, folder)
            with pytest.MonkeyPatch.context() as patch:
                calls = cutting(patch, at, lambda: (_ for _ in ()).throw(Cut(28, "No space left on device")))
                try:
                    self.attempt(folder, built)
                except OutsideError as e:
                    assert "No space left on device" in str(e)
            seen.add(self.check(folder))
            self.attempt(folder, built)
            assert self.contents(folder) == self.contents(new)
            if len(calls) < at:
                break
        assert at > 20 and seen == {("v1.0.0", "v1.0.0"), ("v1.0.0", "v1.0.1"), ("v1.0.1", "v1.0.1")}

    def test_a_kill_at_any_write_leaves_old_or_new_and_the_next_try_ends_it(self, trees, tmp_path):
        """Nothing runs after the kill, so nothing is tidied up: the next publisher does that."""
        old, new, built = trees
        context = multiprocessing.get_context("fork")
        for at in range(1, 200):
            folder = tmp_path / f"kill{at}"
            shutil.copytree(old, folder)

            def run(folder=folder, at=at):
                with pytest.MonkeyPatch.context() as patch:
                    cutting(patch, at, lambda: os._exit(9))
                    self.attempt(folder, built)
                os._exit(0)

            child = context.Process(target=run)
            child.start()
            child.join(60)
            self.check(folder)
            self.attempt(folder, built)
            assert self.contents(folder) == self.contents(new)
            assert not (folder / ".tmp").exists()
            assert child.exitcode in (0, 9)
            if child.exitcode == 0:
                break
        assert at > 20


class TestTwoPublishers:
    def test_at_once_get_different_seqs_and_whole_trees(self, tmp_path):
        """Each waits for the other."""
        made = project(tmp_path, {"boot.py": BOOT})
        builds = []
        for i in range(4):
            built = release.build(project(tmp_path, {"boot.py": BOOT, "a": str(i) * 1000}))
            builds.append((built, f"v1.0.{i}"))
        context = multiprocessing.get_context("fork")
        children = [
            context.Process(target=release.publish, args=(b, Tree(made.tree), v)) for b, v in builds
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
        assert [child.exitcode for child in children] == [0] * 4
        assert [m.seq for m in Tree(made.tree).releases()] == [1, 2, 3, 4]
        assert manifest(made)[0]["seq"] == 4
        assert problems(made) == []

    def test_one_that_does_not_end_is_an_error(self, tmp_path):
        """After a time, not for ever."""
        tree = Tree(tmp_path / "t")
        with tree.locked(), pytest.raises(OutsideError, match="another publisher holds the lock for over 0.1 s"):
            with Tree(tmp_path / "t").locked(0.1):
                pass




class TestHistory:
    @given(actions=strategies.publications)
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_whatever_is_done_a_tree_keeps_its_rules(self, tmp_path_factory, actions):
        """Releases never change, a channel's seq never falls, and everything verifies."""
        folder = tmp_path_factory.mktemp("h")
        made, tree = Config(folder=folder, project="sample"), Tree(folder / "public/sample")
        kept, last = {}, {}
        for what, number, channel in actions:
            try:
                if what == "publish":
                    data = b"%d" % number
                    digest = release.sha256(data).hexdigest()
                    entries = [{"p": "a", "s": 1, "h": digest}]
                    built = release.Build("sample", entries, {digest: data}, {"a": data}, {}, [])
                    release.publish(built, tree, f"v1.0.{number}", channel=channel, layout="prefix")
                else:
                    release.republish(tree, f"v1.0.{number}", channel=channel, layout="prefix")
            except HostError as e:
                assert "there is no release" in str(e)
            for version in tree.versions():
                assert kept.setdefault(version, tree.release(version).raw) == tree.release(version).raw
            for name, head in tree.channels().items():
                assert head.seq >= last.get(name, 0)
                last[name] = head.seq
            if tree.folder.exists():
                assert problems(made) == []


def test_the_host_imports_only_the_pure_modules_of_the_board():
    """What runs on a board may not depend on a PC's Python, nor the other way round."""
    for path in (ROOT / "ota_host").rglob("*.py"):
        pure = {"version", "manifest", "merge", "plan", "errors"}
        if path == ROOT / "ota_host/proof/cuts.py":  # runs on MicroPython
            continue
        if path.name == "testing.py":  # tests plug-ins, which run on both
            pure |= {"storage", "transports", "verifiers"}
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "ota":
                assert node.module.partition(".")[2] in pure, path
            if isinstance(node, ast.Import):
                # The package as such: `ota deploy` copies it to boards.
                assert not [a for a in node.names if a.name.startswith("ota.")], path
