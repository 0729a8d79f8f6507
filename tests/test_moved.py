"""Files that were moved: what `ota publish` says of them, and that boards copy or patch what they have."""

import json
import random
import shutil
from hashlib import sha256

import pytest
from servers import nginx, requests
from support import release as write_release
from test_deltas import by_detools, entry, of_text, text
from test_packed import COUNTED
from test_packed import board as counted_board
from test_publish import BOOT, manifest, problems, project, publish
from test_updater import board

from ota_host import differences, preview, prune, release, releases
from ota_host.tree import Tree


def noise(seed, size=5000):
    return random.Random(seed).randbytes(size)


SHARED = b"# What every file begins with: a licence.\n"


def published(folder, *trees, **options):
    """Publish `trees` ({path: content}) as v1.0.0, v1.0.1, …; gives the settings."""
    made = None
    for number, files in enumerate(trees):
        made = project(folder, {"boot.py": BOOT, **files})
        publish(made, f"v1.0.{number}", **options)
    return made


class TestPublish:
    def test_a_renamed_folder_is_named_file_by_file(self, tmp_path):
        """Also beside a file of the same content and another name."""
        old = {"a/1.bin": noise(1), "a/2.bin": noise(2), "0.bin": noise(2)}
        made = published(tmp_path, old, {"b/1.bin": noise(1), "b/2.bin": noise(2)})
        assert [e.get("m") for e in manifest(made)[1:]] == ["a/1.bin", "a/2.bin", None]
        assert not (made.tree / "deltas").exists() and problems(made) == []

    @pytest.mark.parametrize(
        ("new", "moved"),
        [
            pytest.param({"a": noise(1), "b": noise(2)}, {}, id="nothing moved"),
            pytest.param({"a": noise(2), "b": noise(1)}, {"a": "b", "b": "a"}, id="two change places"),
            pytest.param({"a": noise(1), "b": noise(2), "c": noise(1)}, {"c": "a"}, id="a copy of what stays"),
            pytest.param({"a/x": noise(1), "b": noise(2)}, {"a/x": "a"}, id="a file becomes a folder"),
            pytest.param({"a": noise(3), "c": noise(4)}, {}, id="new contents"),
            pytest.param({"c": b"", "d": b"x"}, {}, id="an empty file"),
            pytest.param({"c": b"x = 1234567891"}, {}, id="too short for a patch"),
            pytest.param({"c": SHARED + noise(5, 900).hex().encode()}, {}, id="little in common"),
        ],
    )
    def test_a_file_names_the_path_that_had_its_content(self, tmp_path, new, moved):
        old = {"a": noise(1), "b": noise(2), "e": b"", "f": b"x = 1234567890", "g": SHARED + noise(6, 900).hex().encode()}
        made = published(tmp_path, old, new)
        assert {e["p"]: e["m"] for e in manifest(made)[1:] if "m" in e} == moved
        assert problems(made) == []

    def test_a_moved_and_edited_file_gets_a_patch_from_the_most_similar_one(self, tmp_path):
        """Of the files that are gone; its name counts for less than its content."""
        old = {"lib/a.py": "\n".join(f"x{i} = {i ** 3}" for i in range(300)), "lib/b.py": text(1), "lib/a_stays.py": text(5)}
        made = published(tmp_path, old, {"app/a.py": text(2), "lib/a_stays.py": text(5)})
        line = entry(made, "app/a.py")
        (base,) = line["d"]
        assert line["m"] == "lib/b.py" and line["d"][base] < line["z"] // 4
        packed = (made.tree / Tree("").patch(base, line["h"])).read_bytes()
        assert by_detools(packed, text(1).encode()) == text(2).encode()
        assert problems(made) == []

    def test_the_same_trees_give_the_same_lines_whatever_the_order(self, tmp_path):
        """Two files as similar as each other."""
        old = {"a.py": text(1), "b.py": text(1), "c.py": text(3)}
        lines = []
        for name, files in (("one", old), ("two", dict(reversed(old.items())))):
            (tmp_path / name).mkdir()
            lines.append(entry(published(tmp_path / name, files, {"d.py": text(2)}), "d.py"))
        assert lines[0] == lines[1] and lines[0]["m"] == "a.py"

    def test_boards_with_older_releases_have_patches_from_the_old_path(self, tmp_path):
        """From each content that it had there."""
        made = published(tmp_path, {"a.py": text(1)}, {"a.py": text(2)}, {"b.py": text(2)})
        line = entry(made, "b.py")
        assert line["m"] == "a.py" and list(line["d"]) == [entry(made, "a.py", "releases/v1.0.0.manifest")["h"][:16]]

    def test_the_line_stays_in_the_releases_that_follow(self, tmp_path):
        """So it does not travel again, and boards that missed the first of them copy the file, too."""
        moved = {"b.bin": noise(1), "c.py": text(2)}
        made = published(tmp_path, {"a.bin": noise(1), "a.py": text(1)}, *({**moved, "n": str(n)} for n in range(8)))
        first, last = (manifest(made, f"releases/v1.0.{n}.manifest") for n in (1, 8))
        assert first[1:4] == last[1:4] and [e.get("m") for e in last[1:4]] == ["a.bin", None, "a.py"]
        head = Tree(made.tree).manifest("stable.manifest")
        short = differences.difference(Tree(made.tree).release("v1.0.7"), head)
        assert [json.loads(raw)["p"] for raw in short.splitlines()[1:]] == ["n"]

    def test_a_patch_from_another_channel_takes_no_place_of_those_from_the_old_path(self, tmp_path):
        """Though the line changes for it."""
        made = published(tmp_path, {"a.py": text(1)}, {"c.py": text(2)})
        publish(project(tmp_path, {"boot.py": BOOT, "c.py": text(7)}), "v1.1.0", channel="beta")
        publish(project(tmp_path, {"boot.py": BOOT, "c.py": text(2), "n": ""}), "v1.0.2")
        assert entry(made, "c.py")["m"] == "a.py" and set(entry(made, "c.py")["d"]) == {of_text(n)[:16] for n in (1, 7)}

    def test_a_content_that_only_an_older_release_has_is_found_too(self, tmp_path):
        """Boards with the newest one fetch it, and the preview says so."""
        made = published(tmp_path, {"a.bin": noise(1)}, {})
        files = project(tmp_path, {"boot.py": BOOT, "b.bin": noise(1)})
        tree = preview.DryTree(made.tree)
        shown = preview.preview(tree, "stable", lambda: release.publish(release.build(files), tree, "v1.0.2"))
        assert shown.new == [{"path": "b.bin", "size": 5000, "fetched": 5000}]
        publish(files, "v1.0.2")
        assert entry(made, "b.bin")["m"] == "a.bin"

    def test_a_rollback_moves_the_files_back(self, tmp_path):
        made = published(tmp_path, {"a.bin": noise(1)}, {"b.bin": noise(1)})
        release.republish(Tree(made.tree), "v1.0.0")
        assert entry(made, "a.bin")["m"] == "b.bin" and problems(made) == []

    def test_the_longest_paths_fit_into_a_line(self, tmp_path):
        """Which `ota publish` reads back as a board does."""
        old, new = '"' * 128, '"' * 127 + "x"
        for number, path in enumerate((old, new)):
            data = text(1).encode()
            line = {"p": path, "s": len(data), "h": sha256(data).hexdigest(), "c": 1}
            built = release.Build("sample", [line], {line["h"]: data}, {}, {}, [])
            release.publish(built, Tree(tmp_path / "t"), f"v1.0.{number}")
        assert Tree(tmp_path / "t").manifest("stable.manifest").entries[0]["m"] == old

    def test_what_a_board_fetches_is_counted_without_its_copies(self, tmp_path):
        """By `ota publish --dry-run` and `ota releases`."""
        made = published(tmp_path, {"a.bin": noise(1), "a.py": text(1)})
        files = project(tmp_path, {"boot.py": BOOT, "b.bin": noise(1), "b.py": text(2)})
        tree = preview.DryTree(files.tree)
        shown = preview.preview(tree, "stable", lambda: release.publish(release.build(files), tree, "v1.0.1"))
        publish(files, "v1.0.1")
        (patch,) = entry(made, "b.py")["d"].values()
        assert shown.fetch["delta"] == patch and shown.fetch["raw"] == 5000 + len(text(2))
        assert [(f["path"], f["from"], f["fetched"]) for f in shown.new] == [("b.bin", "a.bin", 0), ("b.py", "a.py", patch)]
        row = releases.listing(made.tree).releases[0]
        assert (row.fetch_files, row.fetch_bytes) == (1, patch)

    def test_prune_keeps_what_a_moved_file_is_patched_from(self, tmp_path):
        """A copy needs nothing of the tree."""
        made = published(tmp_path, {"a.bin": noise(1), "a.py": text(1)}, {"b.bin": noise(1), "b.py": text(2)}, {"n": "1"}, {"n": "2"})
        prune.prune(made.tree, 3)
        assert problems(made) == [] and not (made.tree / "releases/v1.0.0.manifest").exists()
        assert (made.tree / Tree("").blob(of_text(1))).exists()


FOLDER = {f"assets/{n}.bin": noise(n) for n in range(10)}


def test_a_renamed_folder_of_50_kb_costs_a_board_no_request_for_a_file(tmp_path):
    """One request: the difference of the manifest."""
    made = published(tmp_path, FOLDER)
    shutil.copytree(made.tree, tmp_path / "old")
    new = {"boot.py": BOOT, **{path.replace("assets/", "data/"): data for path, data in FOLDER.items()}}
    publish(project(tmp_path, new), "v1.0.1")
    (tmp_path / "public").rename(tmp_path / "www")
    script = """
from hashlib import sha256
from ota.transports.http import HttpTransport
power_up()
install(ARGS[0])
u = updater("")
u.transport = HttpTransport(ARGS[1], retries=0)
u.run(reset=False)
boot(2)
confirm()
tell(tree={p: sum(ramflash.read(p)) for p in ramflash.tree()})
"""
    with nginx(tmp_path, "listen 127.0.0.1:{port};") as port:
        facts = counted_board(script, tmp_path / "old", f"http://127.0.0.1:{port}/sample")
        asked = [r[2] for r in requests(tmp_path)]
    assert [name.rsplit("/", 1)[0] for name in asked] == ["/sample/stable.d"]
    assert facts["tree"] == {p: sum(d.encode() if isinstance(d, str) else d) for p, d in new.items()}


LINES = b"".join(b"line %d = %d\n" % (i, i * i) for i in range(900))
OLD = {"boot.py": b"boot", "a.txt": LINES, "conf": b"conf " * 99, "sub/k.txt": b"k" * 900, "x.txt": b"x" * 700, "y.txt": b"y" * 700}
NEW = {
    "boot.py": b"boot", "b/a.txt": LINES.replace(b"line 400 ", b"LINE 400 "), "conf/new": b"conf " * 99, "sub": b"k" * 900,
    "x.txt": b"y" * 700, "y.txt": b"x" * 700,
}  # fmt: skip
MOVES = {"b/a.txt": "a.txt", "conf/new": "conf", "sub": "sub/k.txt", "x.txt": "y.txt", "y.txt": "x.txt"}


@pytest.fixture
def servers(tmp_path):
    """A release, and one that has its files under other paths, one of them with a change."""
    write_release(tmp_path / "one", OLD)
    write_release(tmp_path / "two", NEW, version="v1.0.1", seq=2, before=OLD, moves=MOVES)
    return tmp_path / "one", tmp_path / "two"


def as_text(files):
    return {path: data.decode() for path, data in files.items()}


def kinds(asked):
    return [name.split("/")[0] for name, _ in asked]


@pytest.mark.parametrize("kind", ["lfs2", "fat"])
def test_files_that_change_places_or_kind_come_from_the_board_itself(servers, kind):
    """Each from the live file, before any is moved; what was edited on the way comes as its delta; an undo brings all back."""
    facts = board(
        COUNTED.replace("power_up()", f"power_up({kind!r})")
        + """
updater(ARGS[1]).run(reset=False)
boot(2)
new = {p: d for p, d in ramflash.tree().items() if "ota-" not in p}
boot(4)
tell(asked=asked, new=new, old=ramflash.tree(), told=[e[0] for e in EVENTS])
""",
        *servers,
    )
    assert kinds(facts["asked"]) == ["stable.manifest", "deltas"] and "fallback" not in facts["told"]
    assert facts["new"] == as_text(NEW) and facts["old"] == as_text(OLD)


AT_THE_SOURCE = {
    "nothing": "os.remove('a.txt')",
    "something else of the same length": "ramflash.write('a.txt', bytes(len(DATA)))",
    "its start": "ramflash.write('a.txt', DATA[:-1])",
    "more than it": "ramflash.write('a.txt', DATA + b'.')",
    "an empty file": "ramflash.write('a.txt', b'')",
    "a folder": "os.remove('a.txt')\nos.mkdir('a.txt')",
    "a file that cannot be read": """
from ota.storage import Storage
class Broken:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def readinto(self, buffer):
        raise OSError(5)
def _open(self, path, mode, _really=Storage._open):
    return Broken() if path == "a.txt" and mode == "rb" and asked else _really(self, path, mode)
Storage._open = _open
""",
}


@pytest.mark.parametrize("script", AT_THE_SOURCE.values(), ids=AT_THE_SOURCE.keys())
@pytest.mark.parametrize("edit", [False, True], ids=["copied", "patched"])
def test_whatever_is_at_the_old_path_the_hash_decides(tmp_path, script, edit):
    """The file is fetched then, in one request."""
    data = LINES.replace(b"line 400 ", b"LINE 400 ") if edit else LINES
    write_release(tmp_path / "one", {"boot.py": b"boot", "a.txt": LINES})
    write_release(
        tmp_path / "two", {"boot.py": b"boot", "b.txt": data}, seq=2, before={"a.txt": LINES}, moves={"b.txt": "a.txt"}
    )
    facts = board(
        COUNTED + "DATA = ramflash.read('a.txt')\n" + script + "\ninstall(ARGS[1])\ntell(asked=asked, new=ramflash.tree())",
        tmp_path / "one",
        tmp_path / "two",
    )
    assert kinds(facts["asked"]) == ["stable.manifest", "blobs"]
    assert facts["new"]["b.txt"] == data.decode()


def test_an_update_that_stops_in_a_copy_goes_on_with_a_copy(tmp_path):
    """Of what was copied in part nothing is asked for either."""
    write_release(tmp_path / "one", {"boot.py": b"boot", "a.bin": bytes(30000)})
    write_release(tmp_path / "two", {"boot.py": b"boot", "b.bin": bytes(30000)}, seq=2, moves={"b.bin": "a.bin"})
    facts = board(
        COUNTED
        + """
steps = updater(ARGS[1]).steps()
for path, done, size in steps:
    if path == "b.bin" and size and done > 9000:
        break
steps.close()
part = os.stat("b.bin.ota-new")[6]
install(ARGS[1])
tell(asked=asked, part=part, b=sum(ramflash.read("b.bin")), size=os.stat("b.bin")[6])
""",
        tmp_path / "one",
        tmp_path / "two",
    )
    assert 0 < facts["part"] < 30000 and facts["size"] == 30000 and facts["b"] == 0
    assert set(kinds(facts["asked"])) == {"stable.manifest"}


def test_without_hashes_nothing_is_copied(servers):
    """A NoneVerifier has nothing that says whether it fits."""
    facts = board(
        COUNTED + "from ota.verifiers import NoneVerifier\ninstall(ARGS[1], verifier=NoneVerifier())\ntell(asked=asked, new=ramflash.tree())",
        *servers,
    )
    assert kinds(facts["asked"]) == ["stable.manifest", *["blobs"] * 5]
    assert facts["new"] == as_text(NEW)


def test_a_board_without_deflate_copies_all_the_same(tmp_path):
    write_release(tmp_path / "one", {"boot.py": b"boot", "a.txt": LINES})
    write_release(tmp_path / "two", {"boot.py": b"boot", "b.txt": LINES}, seq=2, before={}, moves={"b.txt": "a.txt"})
    script = "sys.modules['ota.patch'] = None\ninstall(ARGS[1])\ntell(asked=asked, told=[e[0] for e in EVENTS])"
    facts = board(COUNTED + "import sys\n" + script, tmp_path / "one", tmp_path / "two")
    assert kinds(facts["asked"]) == ["stable.manifest"] and "fallback" not in facts["told"]
