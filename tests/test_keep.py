"""`keep` in the header of a manifest: what is the board's own from its first version on, also beside `keep=` of the Updater."""

import pytest
from support import release as serve
from test_publish import BOOT, manifest, project, publish
from test_way_out import COMMON, KINDS, NEXT, A, B, on_board, servers, text

from ota.errors import ManifestError
from ota.manifest import check_header
from ota_host import audit, config, keep, release
from ota_host.errors import ConfigError, HostError
from ota_host.tree import Tree

HEADER = {"ota": 1, "project": "x", "version": "v1.0.0", "seq": 1, "files": 0, "size": 0}


class TestBoard:
    @KINDS
    @pytest.mark.parametrize("kept", [["settings.json", "data"], ["settings.json", "data/"]])
    def test_what_the_header_keeps_is_neither_replaced_nor_removed(self, tmp_path, kind, kept):
        """A file that is not there yet comes; names that only begin alike are not kept."""
        mine = {"settings.json": A, "data/x.csv": A, "data/gone.csv": A, "data2": A}
        one, two = servers(tmp_path, {**COMMON, **mine}, {**NEXT, "settings.json": B, "data/x.csv": B, "data2": B, "data/new": B}, keep=kept)
        facts = on_board(
            """
update(ARGS[0])
put("settings.json")
put("data/x.csv")
said = update(ARGS[1])
tell(said=said, tree=tree(), version=status()["version"])
""",
            one,
            two,
            kind=kind,
        )
        mine = {"settings.json": "mine", "data/x.csv": "mine", "data/gone.csv": A.decode()}
        assert facts == {
            "said": "no error",
            "version": "v1.2.0",
            "tree": {**text({**NEXT, "data2": B, "data/new": B}), **mine},
        }

    def test_the_updaters_own_is_kept_as_well(self, tmp_path):
        servers(tmp_path, {**COMMON, "a": A, "b": A})
        serve(tmp_path / "2", {**NEXT, "a": B, "b": B}, version="v2.0.0", seq=2, keep=["a"])
        facts = on_board("update(ARGS[0])\nupdate(ARGS[1], keep='b')\ntell(tree=tree())", tmp_path / "1", tmp_path / "2")
        assert facts["tree"] == text({**NEXT, "a": A, "b": A})

    @KINDS
    @pytest.mark.parametrize("given_up", ["update(ARGS[1], confirms=False)", "next(s for s in updater(ARGS[1]).steps())"], ids=["undone", "staged"])
    def test_the_boards_own_file_stays_when_the_release_that_would_keep_it_is_given_up(self, tmp_path, kind, given_up):
        """No release ever brought it."""
        trees = [(COMMON, {}), ({**NEXT, "settings.json": b"default"}, {"keep": ["settings.json"]}), (NEXT, {})]
        for seq, (files, header) in enumerate(trees, 1):
            serve(tmp_path / str(seq), files, version=f"v1.{seq}.0", seq=seq, **header)
        facts = on_board(
            f"update(ARGS[0])\nput('settings.json')\n{given_up}\nupdate(ARGS[2])\ntell(tree=tree())",
            *(tmp_path / str(seq) for seq in (1, 2, 3)),
            kind=kind,
        )
        assert facts["tree"] == text({**NEXT, "settings.json": b"mine"})

    def test_what_one_release_kept_the_next_one_may_replace(self, tmp_path):
        """One Updater sees both: the list of a release that was not installed does not stay with it."""
        servers(tmp_path, {**COMMON, "a": A})
        serve(tmp_path / "2", {**NEXT, "a": B}, version="v2.0.0", seq=2, keep=["a"])
        serve(tmp_path / "3", {**NEXT, "a": B}, version="v3.0.0", seq=3)
        facts = on_board(
            """
update(ARGS[0])
u = updater(ARGS[1])
for path, _, _ in u.steps():
    if path == "aaa.py":
        break
from ota.transports.sd import SdTransport
u.transport = SdTransport(ARGS[2])
u.run(reset=False)
boot(2)
confirm()
boot()
tell(tree=tree())
""",
            *(tmp_path / n for n in "123"),
        )
        assert facts["tree"] == text({**NEXT, "a": B})

    def test_on_fat_case_does_not_count(self, tmp_path):
        servers(tmp_path, {**COMMON, "Settings.json": A, "Data/x": A})
        serve(tmp_path / "2", {**NEXT, "Settings.json": B, "Data/x": B}, version="v2.0.0", seq=2, keep=["settings.JSON", "data"])
        facts = on_board("update(ARGS[0])\nupdate(ARGS[1])\ntell(tree=tree())", tmp_path / "1", tmp_path / "2", kind="fat")
        assert facts["tree"] == text({**NEXT, "Settings.json": A, "Data/x": A})

    @pytest.mark.parametrize("kept", [None, "a", {"a": 1}, [1], ["a", None], [["a"]]])
    def test_anything_but_a_list_of_paths_is_refused(self, kept):
        """It would protect nothing."""
        with pytest.raises(ManifestError, match="keep .*: must be a list of strings"):
            check_header({**HEADER, "keep": kept})


class TestPublisher:
    def test_it_stands_in_the_header_in_plain_form(self, tmp_path):
        """Signed with the rest of it, and still there when the terms change."""
        made = project(tmp_path, {"boot.py": BOOT}, keep=["./save/*", "/settings.json", "save/"])
        done = publish(made, "v1.0.0")
        assert done.warnings == [keep.OLDER]
        assert manifest(made)[0]["keep"] == ["save", "settings.json"]
        assert publish(made, "v1.0.0", terms=release.Terms(rollout=10)).warnings == []
        assert list(manifest(made)[0])[-2:] == ["keep", "rollout"]

    def test_the_warning_about_older_libraries_comes_once(self, tmp_path):
        made = project(tmp_path, {"boot.py": BOOT, "a": "1"})
        assert publish(made, "v1.0.0").warnings == []
        for version, content, warnings in (("v1.0.1", "2", [keep.OLDER]), ("v1.0.2", "3", [])):
            assert publish(project(tmp_path, {"boot.py": BOOT, "a": content}, keep=["a"]), version).warnings == warnings

    def test_a_version_stands_for_one_keep(self, tmp_path):
        publish(project(tmp_path, {"boot.py": BOOT}), "v1.0.0")
        with pytest.raises(HostError, match=r"published already with keep \[\], this one has \['a'\]; give it a new version"):
            publish(project(tmp_path, {"boot.py": BOOT}, keep=["a"]), "v1.0.0")

    def test_a_rollback_keeps_what_either_release_keeps(self, tmp_path):
        """Else it would take back the files that only the newer release knows to be the board's."""
        for version, content, keeps in (("v1.0.0", "1", ["old"]), ("v1.0.1", "2", ["new"])):
            made = project(tmp_path, {"boot.py": BOOT, "a": content}, keep=keeps)
            publish(made, version)
        release.republish(Tree(made.tree), "v1.0.0", keeps=made.keep)
        assert manifest(made)[0]["keep"] == ["new", "old"]

    def test_a_channel_that_keeps_other_paths_than_its_release_is_a_problem_and_mended(self, tmp_path):
        made = project(tmp_path, {"boot.py": BOOT}, keep=["a"])
        publish(made, "v1.0.0")
        path = made.tree / "stable.manifest"
        right = path.read_bytes()
        path.write_bytes(right.replace(b'"keep":["a"]', b'"keep":["b"]'))
        found = audit.verify(made.tree).problems
        assert found[0].expected == "keep ['a'] as in the release v1.0.0"
        publish(made, "v1.0.0")
        assert path.read_bytes() == right

    def test_a_header_that_boards_cannot_read_is_refused_before_anything_is_written(self, tmp_path):
        made = project(tmp_path, {"boot.py": BOOT}, keep=[f"data/{n:03}.json" for n in range(70)])
        refusal = r"the first line of the manifest has \d+ bytes, boards read 1024; `keep` in ota.toml takes 1120 of them for 70 paths: name"
        with pytest.raises(HostError, match=refusal):
            publish(made, "v1.0.0")
        assert not (made.tree / "releases").exists()

    @pytest.mark.parametrize("value", ['"a"', "[1]", '[""]', '["*.json"]', '["a?"]', '["a[0]"]', '["../a"]', '["a//b"]', '["/"]', '[".ota/a"]'])
    def test_what_would_protect_nothing_is_refused(self, tmp_path, value):
        (tmp_path / "ota.toml").write_text(f'project = "x"\nkeep = {value}\n')
        with pytest.raises(ConfigError, match="keep = .*: must be a list of paths on the board, such as"):
            config.read(tmp_path / "ota.toml")
