"""`keep` in the header of a manifest: what is the board's own from its first version on, also beside `keep=` of the Updater."""

import pytest
from support import release
from test_way_out import COMMON, KINDS, NEXT, A, B, on_board, servers, text

from ota.errors import ManifestError
from ota.manifest import check_header

HEADER = {"ota": 1, "project": "x", "version": "v1.0.0", "seq": 1, "files": 0, "size": 0}


class TestBoard:
    @KINDS
    @pytest.mark.parametrize("keep", [["settings.json", "data"], ["settings.json", "data/"]])
    def test_what_the_header_keeps_is_neither_replaced_nor_removed(self, tmp_path, kind, keep):
        """A file that is not there yet comes; names that only begin alike are not kept."""
        mine = {"settings.json": A, "data/x.csv": A, "data/gone.csv": A, "data2": A}
        one, two = servers(tmp_path, {**COMMON, **mine}, {**NEXT, "settings.json": B, "data/x.csv": B, "data2": B, "data/new": B}, keep=keep)
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
        kept = {"settings.json": "mine", "data/x.csv": "mine", "data/gone.csv": A.decode()}
        assert facts == {
            "said": "no error",
            "version": "v1.2.0",
            "tree": {**text({**NEXT, "data2": B, "data/new": B}), **kept},
        }

    def test_the_updaters_own_is_kept_as_well(self, tmp_path):
        servers(tmp_path, {**COMMON, "a": A, "b": A})
        release(tmp_path / "2", {**NEXT, "a": B, "b": B}, version="v2.0.0", seq=2, keep=["a"])
        facts = on_board("update(ARGS[0])\nupdate(ARGS[1], keep='b')\ntell(tree=tree())", tmp_path / "1", tmp_path / "2")
        assert facts["tree"] == text({**NEXT, "a": A, "b": A})

    def test_what_one_release_kept_the_next_one_may_replace(self, tmp_path):
        """One Updater sees both: the list of a release that was not installed does not stay with it."""
        servers(tmp_path, {**COMMON, "a": A})
        release(tmp_path / "2", {**NEXT, "a": B}, version="v2.0.0", seq=2, keep=["a"])
        release(tmp_path / "3", {**NEXT, "a": B}, version="v3.0.0", seq=3)
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
        release(tmp_path / "2", {**NEXT, "Settings.json": B, "Data/x": B}, version="v2.0.0", seq=2, keep=["settings.JSON", "data"])
        facts = on_board("update(ARGS[0])\nupdate(ARGS[1])\ntell(tree=tree())", tmp_path / "1", tmp_path / "2", kind="fat")
        assert facts["tree"] == text({**NEXT, "Settings.json": A, "Data/x": A})

    @pytest.mark.parametrize("keep", [None, "a", {"a": 1}, [1], ["a", None], [["a"]]])
    def test_anything_but_a_list_of_paths_is_refused(self, keep):
        """It would protect nothing."""
        with pytest.raises(ManifestError, match="keep .*: must be a list of strings"):
            check_header({**HEADER, "keep": keep})
