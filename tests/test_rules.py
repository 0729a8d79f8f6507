"""What `ota publish` refuses or warns of because boards would not end in one whole release, and what it lets pass."""

import ast
import functools
import os
import re
import subprocess

import pytest
from support import MICROPYTHON, run_mp
from test_cli import folder, ota  # noqa: F401
from test_keys import keys, signers  # noqa: F401
from test_publish import BOOT, DAY, LIBRARY, manifest, project, publish, snapshot
from test_signed import seal

from ota_host import clock, imports, library, mpy, release, sources
from ota_host.errors import HostError
from ota_host.release import Rules, Terms
from ota_host.tree import Tree

FROZEN = Rules(library="frozen")


@functools.cache
def form_of(form):
    return library.files(library.Form(form), ["HttpTransport"])


def lib(form, folder="lib/"):
    """The library as a project would bring it: path -> content."""
    return {folder + path: data for path, data in form_of(form).items()}


def refused(made, version="v1.0.0", **options):
    """The message with which a publication is refused; nothing of the tree has changed."""
    before = snapshot(made.tree)
    with pytest.raises(HostError) as e:
        publish(made, version, **options)
    assert snapshot(made.tree) == before
    return str(e.value)


class TestLibrary:
    @pytest.mark.parametrize("form", ["source", "mpy", "core"])
    @pytest.mark.parametrize("folder", ["", "lib/"])
    def test_a_whole_library_is_published_in_each_of_its_forms(self, tmp_path, form, folder):
        """In both places that boards look at."""
        publish(project(tmp_path, {"boot.py": BOOT, **lib(form, folder)}), "v1.0.0")

    @pytest.mark.parametrize("name", imports.NEEDED)
    @pytest.mark.parametrize("form", ["source", "mpy", "core"])
    @pytest.mark.parametrize("folder", ["", "lib/"])
    def test_a_library_without_what_the_next_boot_needs_is_refused(self, tmp_path, form, folder, name):
        """The module is named."""
        files = {p: d for p, d in lib(form, folder).items() if imports.stem(p) != f"{folder}ota/{name}"}
        said = refused(project(tmp_path, {"boot.py": BOOT, **files}))
        assert f"this release has no {folder}ota/{name}.py or .mpy: they could never install or undo" in said

    @pytest.mark.parametrize("name", imports.NEEDED)
    def test_the_next_boot_needs_each_of_these_modules(self, tmp_path, name):
        """On the real MicroPython `ota.boot()` fails without one, when there is something to do, and works with no other."""
        state = "import os\nos.mkdir('.ota')\nopen('.ota/state', 'w').close()\n" * (not (tmp_path / ".ota").exists())
        there = tmp_path / "ota"
        there.mkdir()
        for needed in imports.NEEDED:
            (there / f"{needed}.py").write_bytes(library.source(needed))
        boot = "import ota\nprint(ota.boot())"
        assert run_mp(state + boot, cwd=tmp_path, path=[""]).stdout == "None\n"
        (there / f"{name}.py").unlink()
        done = run_mp(boot, cwd=tmp_path, path=[""], check=False)
        assert done.returncode or "ImportError" in done.stdout

    def test_one_of_both_forms_of_a_module_is_enough(self, tmp_path):
        """A board takes either."""
        files = {**LIBRARY, "lib/ota/bootguard.mpy": lib("mpy")["lib/ota/bootguard.mpy"]}
        del files["lib/ota/bootguard.py"]
        publish(project(tmp_path, {"boot.py": BOOT, **files}), "v1.0.0")

    def test_compiled_by_the_publisher_it_is_whole_too(self, tmp_path):
        """What counts is what boards get."""
        publish(project(tmp_path, {"boot.py": BOOT, **lib("source")}, compile=True), "v1.0.0")

    @pytest.mark.parametrize(
        ("form", "name", "by"),
        [
            pytest.param("source", "updater", "names", id="updater"),
            pytest.param("source", "trial", "names", id="trial"),
            pytest.param("source", "policy", "[a-z/_]+", id="late-import"),
            pytest.param("source", "storage/littlefs", "storage/__init__", id="sub-package"),
            pytest.param("source", "errors", "[a-z/_]+", id="errors"),
            pytest.param("mpy", "updater", "names", id="updater-mpy"),
            pytest.param("mpy", "manifest", "[a-z/_]+", id="late-import-mpy"),
            pytest.param("core", "core", "[a-z/_]+", id="core"),
            pytest.param("core", "trial", "names", id="trial-of-core"),
        ],
    )
    def test_a_library_without_a_module_that_it_imports_is_refused(self, tmp_path, form, name, by):
        """Also one that is loaded in the middle of an update: the board could never update again."""
        files = {p: d for p, d in lib(form).items() if imports.stem(p) != f"lib/ota/{name}"}
        said = refused(project(tmp_path, {"boot.py": BOOT, **files}))
        assert re.match(rf"lib/ota/{by}\.m?py imports lib/ota/{name}.py, and the release does not", said)

    def test_what_no_module_that_is_left_imports_may_be_left_out(self, tmp_path):
        """The legacy functions and TUF are in the table of names only."""
        files = {p: d for p, d in lib("source").items() if "legacy" not in p and "/tuf/" not in p and "attempts" not in p}
        publish(project(tmp_path, {"boot.py": BOOT, **files}), "v1.0.0")

    def test_a_rollback_to_half_a_library_is_refused(self, tmp_path):
        """Releases of an older publisher may be so."""
        made = project(tmp_path, {"boot.py": BOOT, **LIBRARY})
        half = release.build(project(tmp_path, {"boot.py": BOOT, "lib/ota/__init__.py": ""}))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(imports, "NEEDED", ())
            release.publish(half, Tree(made.tree), "v1.0.0")
        publish(project(tmp_path, {"boot.py": BOOT, **LIBRARY}), "v1.0.1")
        with pytest.raises(HostError, match="this release has no lib/ota/bootguard.py or .mpy"):
            release.republish(Tree(made.tree), "v1.0.0")

    @pytest.mark.parametrize(("old", "new"), [("lib/", ""), ("", "lib/")])
    def test_a_library_that_moves_between_its_two_places_is_refused(self, tmp_path, old, new):
        """As soon as a file is staged in ota/, boards import that folder, which is not whole."""
        whole = {path[len("lib/") :]: "" for path in LIBRARY}
        publish(project(tmp_path, {"boot.py": BOOT, **{old + p: "" for p in whole}}), "v1.0.0")
        said = refused(project(tmp_path, {"boot.py": BOOT, **{new + p: "" for p in whole}}), "v1.0.1")
        assert f"v1.0.0 on stable has the library in {old}ota/, this release in {new}ota/: a board would" in said

    def test_a_first_library_in_the_root_folder_is_a_warning(self, tmp_path):
        """Boards of `ota deploy` have it in lib/ota/, and would find half a package in ota/ at their next boot."""
        whole = {path[len("lib/") :]: "" for path in LIBRARY}
        done = publish(project(tmp_path, {"boot.py": BOOT, **whole}), "v1.0.0")
        assert done.warnings[-1].startswith("the release brings the library in ota/: a board that has it in lib/ota/")
        again = publish(project(tmp_path, {"boot.py": BOOT, **whole, "a": ""}), "v1.0.1")
        assert again.warnings == []
        assert publish(project(tmp_path / "other", {"boot.py": BOOT, **LIBRARY}), "v1.0.0").warnings == []


class TestFrozen:
    def test_a_library_in_the_firmware_lets_releases_drop_it(self, tmp_path):
        """Boards have the one of their firmware."""
        publish(project(tmp_path, {"boot.py": BOOT, **LIBRARY}), "v1.0.0")
        made = project(tmp_path, {"boot.py": BOOT})
        assert 'put library = "frozen" into ota.toml' in refused(made, "v1.0.1")
        publish(made, "v1.0.1", allow=FROZEN)
        assert [e["p"] for e in manifest(made)[1:]] == ["boot.py"]

    @pytest.mark.parametrize("path", ["ota/__init__.py", "ota/bootguard.mpy", "ota/data.json", "lib/ota/__init__.py"])
    def test_a_folder_of_the_name_of_a_library_in_the_firmware_is_refused(self, tmp_path, path):
        """In the root folder it would hide the firmware's, in lib/ it would only take room."""
        content = b"M\x06\0\x1f" if path.endswith(".mpy") else ""
        said = refused(project(tmp_path, {"boot.py": BOOT, path: content}), allow=FROZEN)
        assert said.startswith(f'{path}: ota.toml says library = "frozen", and ')

    @pytest.mark.parametrize("path", ["ota.py", "ota.mpy", "lib/ota.py"])
    def test_a_module_of_the_name_is_refused(self, tmp_path, path):
        """As where the library is in files."""
        content = b"M\x06\0\x1f" if path.endswith(".mpy") else ""
        assert refused(project(tmp_path, {"boot.py": BOOT, path: content}), allow=FROZEN).startswith(f"{path}: boards")

    def test_ota_toml_says_it_to_every_publication(self, folder, ota):  # noqa: F811
        """`ota publish` and `ota rollback`."""
        for path in LIBRARY:
            (folder / "src" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "src" / path).write_text("")
        assert ota("publish", "--version", "v1.0.0")[0] == 0
        (folder / "ota.toml").write_text('project = "sample"\nlibrary = "frozen"\n')
        assert ota("publish", "--version", "v1.0.1")[2].startswith("error: lib/ota/__init__.py: ota.toml says library =")
        for path in LIBRARY:
            (folder / "src" / path).unlink()
        assert ota("publish", "--version", "v1.0.1")[0] == 0
        (folder / "src/main.py").write_text("print(2)\n")
        assert ota("publish", "--version", "v1.0.2")[0] == 0
        assert ota("rollback", "v1.0.1")[0] == 0
        assert ota("rollback", "v1.0.0")[2].startswith("error: lib/ota/__init__.py: ota.toml says library =")


class TestOtherPackage:
    @pytest.mark.parametrize("path", ["ota.py", "ota.mpy", "lib/ota.py", "lib/ota.mpy", "OTA.py", "lib/ota"])
    def test_a_module_of_the_projects_own_called_ota_is_refused_by_name(self, tmp_path, path):
        """Boards would import it in place of the library; FAT folds case."""
        content = b"M\x06\0\x1f" if path.endswith(".mpy") else "class Updater:\n    pass\n"
        said = refused(project(tmp_path, {"boot.py": BOOT, path: content}))
        assert said.startswith(f"{path}: boards would take it for the update library") and "rename it" in said

    @pytest.mark.parametrize("path", ["ota/__init__.py", "lib/ota/__init__.py", "ota/data.csv", "lib/ota/x/y.py", "Ota/x.py"])
    def test_another_package_called_ota_is_refused_by_name(self, tmp_path, path):
        """Any folder of that name is a package for MicroPython."""
        said = refused(project(tmp_path, {"boot.py": BOOT, path: "class Updater:\n    pass\n"}))
        assert said.startswith(f"{path}: boards import the update library from ") and "rename a package" in said

    @pytest.mark.parametrize("path", ["otaku.py", "ota_config.py", "app/ota.py", "lib/app/ota/__init__.py", "ota.json"])
    def test_a_name_that_no_import_of_ota_finds_is_published(self, tmp_path, path):
        """Below another package, or no module."""
        publish(project(tmp_path, {"boot.py": BOOT, path: "x = 1\n"}), "v1.0.0")

    def test_a_board_imports_such_a_module_in_place_of_the_library(self, tmp_path):
        """Which is why: in the order in which MicroPython looks."""
        for path, text in lib("source").items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(text)
        look = "import sys\nsys.path[:] = ['', '.frozen', 'lib']\nimport ota\nprint(hasattr(ota, 'boot'))"
        assert run_mp(look, cwd=tmp_path).stdout == "True\n"
        (tmp_path / "ota.py").write_text("")
        assert run_mp(look, cwd=tmp_path).stdout == "False\n"
        (tmp_path / "ota.py").unlink()
        (tmp_path / "ota").mkdir()
        assert run_mp(look, cwd=tmp_path).stdout == "False\n"


class TestHiding:
    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("json/cities.json", "json/cities.json: on a board the folder json/ hides MicroPython's own module json,"),
            ("random/a/b.txt", "random/a/b.txt: on a board the folder random/ hides MicroPython's own module random,"),
            ("lib/os/__init__.py", "lib/os/__init__.py: on a board the folder lib/os/ hides MicroPython's own module os,"),
            ("lib/binascii.py", "lib/binascii.py: on a board lib/binascii.py hides MicroPython's own module binascii,"),
            ("asyncio.py", "asyncio.py: on a board asyncio.py hides MicroPython's own module asyncio,"),
            ("time.mpy", "time.mpy: on a board time.mpy hides MicroPython's own module time,"),
        ],
    )
    def test_a_name_of_a_built_in_module_is_a_warning_that_names_the_file(self, tmp_path, path, said):
        """It is published all the same: it may be meant."""
        made = project(tmp_path, {"boot.py": BOOT, path: b"M\x06\0\x1f" if path.endswith(".mpy") else ""})
        (warning,) = publish(made, "v1.0.0").warnings
        assert warning.startswith(said) and warning.endswith("rename it, unless it is there to replace " + said.split()[-1][:-1])

    def test_a_folder_is_named_once_with_its_first_file(self, tmp_path):
        """Not every file of it."""
        files = {f"json/{i}.json": "1" for i in range(5)}
        assert len(publish(project(tmp_path, {"boot.py": BOOT, **files}), "v1.0.0").warnings) == 1

    @pytest.mark.parametrize("path", ["json.txt", "app/json.py", "lib/app/time.py", "jsonx/a.py", "gc.py", "ujson/a.py", "math/a"])
    def test_a_name_that_hides_nothing_is_no_warning(self, tmp_path, path):
        """Below another package, no module, or a module that MicroPython takes before any file."""
        assert publish(project(tmp_path, {"boot.py": BOOT, path: ""}), "v1.0.0").warnings == []

    def test_the_list_is_what_a_folder_hides_on_the_real_micropython(self, tmp_path):
        """Every name of it is hidden by a folder, and of the others of this port none."""
        port = "__import__ _thread array asyncio binascii builtins cmath collections cryptolib deflate errno framebuf gc "
        port += "hashlib heapq io json machine math micropython os platform random re select socket ssl struct sys time "
        port += "tls uctypes vfs ujson uos utime"
        names = {*port.split(), *imports.BUILT_IN}
        for name in names:
            (tmp_path / name).mkdir()
        look = f"""
import sys
sys.path[:] = ["", ".frozen"]
print([n for n in {sorted(names)!r} if hasattr(__import__(n), "__path__")])
"""
        hidden = set(ast.literal_eval(run_mp(look, cwd=tmp_path).stdout))
        assert hidden == imports.BUILT_IN | {"__import__"}


class TestEarlyImports:
    EARLY = "import settings\nimport ota\nota.boot()\n"

    def one(self, tmp_path, **more):
        """v1.0.0, whose boot.py imports settings.py before the call."""
        files = {"boot.py": self.EARLY, "settings.py": "A = 1\n", "app.py": "X = 1\n", **more}
        publish(project(tmp_path, files), "v1.0.0")
        return files

    def test_boot_py_and_what_it_imports_early_may_not_change_together(self, tmp_path):
        """Both are named, with what to do."""
        files = self.one(tmp_path)
        made = project(tmp_path, {**files, "boot.py": self.EARLY + "x = 1\n", "settings.py": "A = 2\n"})
        said = refused(made, "v1.0.1")
        assert said.startswith("boot.py, settings.py run before ota.boot(), and more than one of them differs from v1.0.0")
        assert "Move ota.boot() to the first lines of boot.py" in said and "--allow-early-imports" in said

    def test_two_early_modules_may_not_change_together(self, tmp_path):
        """One may import the other, and fail with its old or its new form."""
        files = self.one(tmp_path, **{"settings.py": "from lib_x import Y\n", "lib/lib_x.py": "Y = 1\n"})
        made = project(tmp_path, {**files, "settings.py": "from lib_x import Z\n", "lib/lib_x.py": "Z = 1\n"})
        assert refused(made, "v1.0.1").startswith("lib/lib_x.py, settings.py run before ota.boot()")

    @pytest.mark.parametrize("path", ["settings.mpy", "lib/settings.py", "settings/__init__.py"])
    def test_a_module_that_comes_by_another_path_has_changed(self, tmp_path, path):
        """In between, a board takes the one or the other for it."""
        files = self.one(tmp_path)
        del files["settings.py"]
        content = lib("mpy")["lib/ota/errors.mpy"] if path.endswith(".mpy") else "A = 1\n"
        said = refused(project(tmp_path, {**files, "boot.py": self.EARLY + "x = 1\n", path: content}), "v1.0.1")
        assert said.startswith(f"boot.py, {path} run before ota.boot()")
        publish(project(tmp_path, {**files, path: content}), "v1.0.1")

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"boot.py": EARLY + "x = 1\n"}, id="boot.py"),
            pytest.param({"settings.py": "A = 2\n", "app.py": "X = 2\n"}, id="module"),
            pytest.param({"boot.py": EARLY + "x = 1\n", "app.py": "X = 2\n"}, id="boot.py-and-late"),
            pytest.param({"boot.py": "import more\n" + EARLY, "more.py": "B = 1\n"}, id="boot.py-and-new-module"),
            pytest.param({"boot.py": BOOT, "settings.py": None}, id="boot.py-and-module-that-goes"),
            pytest.param({"boot.py": BOOT, "app.py": "X = 2\n"}, id="call-moves-to-the-top"),
        ],
    )
    def test_one_change_among_what_runs_early_is_published(self, tmp_path, changes):
        """A board has it or does not; what is new comes first, and what goes goes last."""
        files = {**self.one(tmp_path), **changes}
        publish(project(tmp_path, {p: d for p, d in files.items() if d is not None}), "v1.0.1")

    def test_it_goes_ahead_when_asked_to(self, tmp_path):
        """By an option of the command."""
        files = self.one(tmp_path)
        made = project(tmp_path, {**files, "boot.py": self.EARLY + "x = 1\n", "settings.py": "A = 2\n"})
        publish(made, "v1.0.1", allow=Rules(early_imports=True))

    def test_compiled_modules_count(self, tmp_path):
        """By the names that they have on the board."""
        files = {"boot.py": self.EARLY, "settings.py": "A = 1\n"}
        publish(project(tmp_path, files, compile=True), "v1.0.0")
        made = project(tmp_path, {"boot.py": self.EARLY + "x = 1\n", "settings.py": "A = 2\n"}, compile=True)
        assert refused(made, "v1.0.1").startswith("boot.py, settings.mpy run before ota.boot()")

    def test_a_boot_py_that_releases_begin_to_bring_counts_as_changed(self, tmp_path):
        """What boards have until then is unknown."""
        publish(project(tmp_path, {"settings.py": "A = 1\n"}), "v1.0.0")
        made = project(tmp_path, {"boot.py": self.EARLY, "settings.py": "A = 2\n"})
        assert refused(made, "v1.0.1").startswith("boot.py, settings.py run before ota.boot()")

    def test_the_command_has_the_option_for_a_release_and_for_a_rollback(self, folder, ota):  # noqa: F811
        """Going back is as unsafe as going on."""
        for i in (1, 2):
            (folder / "src/boot.py").write_text(self.EARLY + f"x = {i}\n")
            (folder / "src/settings.py").write_text(f"A = {i}\n")
            words = "publish", "--version", f"v1.0.{i}"
            if i == 2:
                assert ota(*words)[::2] == (1, ota(*words)[2]) and "settings.py run before" in ota(*words)[2]
                words += ("--allow-early-imports",)
            assert ota(*words)[0] == 0
        code, _, err = ota("rollback")
        assert code == 1 and err.startswith("error: boot.py, settings.py run before ota.boot()")
        assert ota("rollback", "--allow-early-imports")[0] == 0


def native(tmp_path, march, version=None):
    """A .mpy with native code for `march` (bytes), of another native interface when `version` is given."""
    source = tmp_path / "native.py"
    source.write_text("@micropython.viper\ndef f(x: int) -> int:\n    return x + 1\n")
    cross = MICROPYTHON.parent / "mpy-cross"
    subprocess.run([cross, "-march=" + march, "-o", tmp_path / "native.mpy", source], check=True)
    code = bytearray((tmp_path / "native.mpy").read_bytes())
    if version is not None:
        code[2] = code[2] & ~3 | version
    return bytes(code)


class TestNativeCode:
    @pytest.mark.parametrize(
        ("march", "boards"),
        [
            ("armv6m", [4, 5, 6, 7, 8]),
            ("armv7m", [5, 6, 7, 8]),
            ("armv7em", [6, 7, 8]),
            ("armv7emsp", [7, 8]),
            ("armv7emdp", [8]),
            ("armv6", [3]),
            ("x86", [1]),
            ("x64", [2]),
            ("xtensa", [9]),
            ("xtensawin", [10]),
            ("rv32imc", [11]),
        ],
    )
    def test_the_manifest_says_which_architectures_can_run_it(self, tmp_path, march, boards):
        """Of the ARM ones with Thumb a later one runs the code of an earlier one."""
        made = project(tmp_path, {"boot.py": BOOT, "fast.mpy": native(tmp_path, march)})
        publish(made, "v1.0.0")
        assert manifest(made)[0]["requires"] == {"mpy": 6, "arch": boards}

    def test_a_board_loads_native_code_exactly_when_its_number_is_among_them(self, tmp_path):
        """On the real MicroPython, for every architecture that the compiler has."""
        own = int(run_mp("import sys\nprint(sys.implementation._mpy >> 10 & 15)").stdout)
        loaded, listed = set(), set()
        for number, march in enumerate(mpy.ARCHITECTURES[1:-1], 1):  # the compiler of the project has no rv64imc yet
            code = native(tmp_path, march)
            (tmp_path / "fast.mpy").write_bytes(code)
            done = run_mp("import fast\nprint(fast.f(41))", cwd=tmp_path, path=[""], check=False)
            if done.stdout == "42\n":
                loaded.add(march)
            assert mpy.native_abi(code)[0] == number, march
            if own in mpy.runs_on(number):
                listed.add(march)
        assert loaded == listed and loaded

    def test_files_that_one_kind_of_board_runs_are_for_that_kind(self, tmp_path):
        """What both can run."""
        files = {"a.mpy": native(tmp_path, "armv6m"), "b.mpy": native(tmp_path, "armv7em")}
        made = project(tmp_path, {"boot.py": BOOT, **files})
        publish(made, "v1.0.0")
        assert manifest(made)[0]["requires"] == {"mpy": 6, "arch": [6, 7, 8]}

    def test_bytecode_is_for_every_architecture(self, tmp_path):
        """Compiled for one without native code it has no mark of it."""
        source = tmp_path / "plain.py"
        source.write_text("X = 1\n")
        subprocess.run([MICROPYTHON.parent / "mpy-cross", "-march=armv6m", source], check=True)
        made = project(tmp_path, {"boot.py": BOOT, "plain.mpy": (tmp_path / "plain.mpy").read_bytes()})
        publish(made, "v1.0.0")
        assert manifest(made)[0]["requires"] == {"mpy": 6}

    @pytest.mark.parametrize(("one", "other"), [("xtensawin", "armv6m"), ("armv6", "armv6m"), ("x64", "x86")])
    def test_native_code_that_no_board_runs_together_is_refused_with_both_names(self, tmp_path, one, other):
        """As two versions of the format are."""
        files = {"quick.mpy": native(tmp_path, one), "a/fast.mpy": native(tmp_path, other)}
        said = refused(project(tmp_path, {"boot.py": BOOT, **files}))
        assert said.startswith(f"a/fast.mpy has native code for {other} and quick.mpy for {one}: no board runs both")

    def test_native_code_of_two_interfaces_is_refused_with_both_names(self, tmp_path):
        """A firmware knows one."""
        files = {"a.mpy": native(tmp_path, "armv6m", 2), "b.mpy": native(tmp_path, "armv6m", 3)}
        said = refused(project(tmp_path, {"boot.py": BOOT, **files}))
        assert said.startswith("a.mpy has native code of interface 2 and b.mpy of 3: no board runs both")


class TestPaths:
    @pytest.mark.parametrize("suffix", [".ota-new", ".ota-old", ".ota-aside", ".ota-aside2", ".ota-aside17", ".OTA-Aside"])
    @pytest.mark.parametrize("path", ["main.py{}", "a{}/b.txt"])
    def test_a_name_that_boards_use_beside_a_file_is_refused(self, tmp_path, path, suffix):
        """As the last part of a path, and as a folder."""
        path = path.format(suffix)
        assert repr(path) in refused(project(tmp_path, {"boot.py": BOOT, path: "x"}))

    @pytest.mark.parametrize("path", ["a.ota-asides", "ota-aside", "x.ota-aside.txt", "a.ota-news/b"])
    def test_a_name_that_only_looks_like_one_is_published(self, tmp_path, path):
        """The suffix is the end of a name."""
        publish(project(tmp_path, {"boot.py": BOOT, path: "x"}), "v1.0.0")

    @pytest.mark.parametrize(
        ("paths", "named"),
        [
            (["lib", "lib.py", "lib/x"], "paths 'lib' and 'lib/x'"),
            (["a", "a/b/c/d"], "paths 'a' and 'a/b/c/d'"),
            (["a/b", "a/b-c", "a/b.d", "a/b/c"], "paths 'a/b' and 'a/b/c'"),
            (["Lib", "lib/x"], "paths 'Lib' and 'lib' differ only in case"),
        ],
    )
    def test_a_path_below_another_one_is_refused_with_both(self, paths, named):
        """Also when others sort between them."""
        with pytest.raises(HostError, match=f"^{named}"):
            sources.check_tree(paths)

    @pytest.mark.parametrize("paths", [["lib.py", "lib/x"], ["a", "ab/c"], ["a/b", "a/c/b"]])
    def test_paths_that_only_begin_alike_pass(self, paths):
        """A name is not the beginning of a name."""
        sources.check_tree(paths)

    def test_a_module_that_compiles_to_the_name_of_a_folder_is_refused(self, tmp_path):
        """The only way to it from a source folder."""
        made = project(tmp_path, {"boot.py": BOOT, "net.py": "x = 1\n", "net.mpy/data": ""}, compile=True)
        assert refused(made).startswith("paths 'net.mpy' and 'net.mpy/data'")

    def test_a_change_between_file_and_folder_is_published_and_said_in_one_line(self, tmp_path):
        """Boards manage it."""
        publish(project(tmp_path, {"boot.py": BOOT, "data/x": "1", "cfg": "1", "same/y": ""}), "v1.0.0")
        done = publish(project(tmp_path, {"boot.py": BOOT, "data": "1", "cfg/a": "1", "cfg/b": "", "same/y": ""}), "v1.0.1")
        (warning,) = done.warnings
        assert warning.startswith(
            "cfg was a file in v1.0.0 and is a folder, data was a folder in v1.0.0 and is a file: boards change it"
        )
        assert "a board whose library is older than this `ota` cannot" in warning and "\n" not in warning
        assert publish(project(tmp_path, {"boot.py": BOOT, "data": "2", "cfg/a": "1"}), "v1.0.2").warnings == []

    def test_a_change_of_case_is_published_and_said_in_one_line(self, tmp_path):
        """Of a folder with its files, once."""
        publish(project(tmp_path, {"boot.py": BOOT, "Sensor.py": "", "Lib/a.py": "", "Lib/b.py": ""}), "v1.0.0")
        done = publish(project(tmp_path, {"boot.py": BOOT, "sensor.py": "", "lib/a.py": "", "lib/b.py": ""}), "v1.0.1")
        (warning,) = done.warnings
        assert warning.startswith("Lib in v1.0.0 is lib, Sensor.py in v1.0.0 is sensor.py: only the case differs")


YEAR = 365 * DAY
NOW = 20000 * DAY  # 4 October 2024


class TestClock:
    @pytest.fixture
    def signer(self, signers):  # noqa: F811
        return signers["ES256"]

    def after(self, tmp_path, signer, now, witness=None, files=None, **allow):
        """Publish v1.0.0 at NOW, then v1.0.1 at `now`; gives what was done, or the refusal."""
        publish(project(tmp_path, {"boot.py": BOOT}), "v1.0.0", seal=seal(signer), terms=Terms(now=NOW))
        made = project(tmp_path, {"boot.py": BOOT, "a": "2"})
        options = dict(seal=seal(signer), terms=Terms(now=now), allow=Rules(witness=witness, **allow))
        try:
            return publish(made, "v1.0.1", **options)
        except HostError as e:
            assert manifest(made)[0]["version"] == "v1.0.0"
            return str(e)

    @pytest.mark.parametrize("early", [1, DAY, 50 * YEAR])
    def test_a_clock_behind_the_channels_signed_time_is_refused(self, tmp_path, signer, early):
        """Time does not go back from one release to the next."""
        said = self.after(tmp_path, signer, NOW - early)
        assert said.startswith("the clock of this PC says ") and "is before 2024-10-04 00:00 UTC, when v1.0.0 on stable" in said

    @pytest.mark.parametrize(("pause", "edited"), [(0, -400 * DAY), (60, 0), (2 * YEAR, 2 * YEAR), (4 * YEAR, 4 * YEAR)])
    def test_a_project_that_rests_for_years_publishes_again(self, tmp_path, signer, pause, edited):
        """Its sources were changed not long ago."""
        done = self.after(tmp_path, signer, NOW + pause, witness=(NOW + edited, "it was changed"))
        assert done.seq == 2 and done.warnings == []

    def test_a_clock_far_ahead_of_what_changed_last_is_refused(self, tmp_path, signer):
        """As after a change of the battery: the sources are older than half a year."""
        said = self.after(tmp_path, signer, NOW + 3 * YEAR, witness=(NOW + 5 * DAY, "src/a was changed"))
        assert "which is more than 180 days after 2024-10-09 00:00 UTC, when src/a was changed: boards keep" in said
        assert "set the clock, or, if it is right, add --trust-clock" in said

    def test_a_clock_many_years_after_the_channels_time_is_refused_whatever_was_edited(self, tmp_path, signer):
        """Files that were edited by the same clock are no witness."""
        said = self.after(tmp_path, signer, NOW + 12 * YEAR, witness=(NOW + 12 * YEAR, "src/a was changed"))
        assert "which is more than 5 years after 2024-10-04" in said

    @pytest.mark.parametrize("now", [NOW - DAY, NOW + 12 * YEAR])
    def test_it_goes_ahead_when_told_that_the_clock_is_right(self, tmp_path, signer, now):
        """Also down again from a release that a wrong clock signed."""
        assert self.after(tmp_path, signer, now, witness=(NOW, "x"), clock=True).seq == 2

    def test_a_clock_before_the_last_change_of_the_sources_is_a_warning(self, tmp_path, signer):
        """Archives put times of their own on files, so it may be right."""
        done = self.after(tmp_path, signer, NOW + DAY, witness=(NOW + 30 * DAY, "src/a was changed"))
        assert done.warnings == [
            "the clock of this PC says 2024-10-05 00:00 UTC, which is before 2024-11-03 00:00 UTC, when src/a was changed"
        ]

    def test_the_same_release_again_asks_no_clock(self, tmp_path, signer):
        """Nothing is signed anew."""
        made = project(tmp_path, {"boot.py": BOOT})
        publish(made, "v1.0.0", seal=seal(signer), terms=Terms(now=NOW))
        later = Rules(witness=(NOW + YEAR, "src/a was changed"))  # as after a fresh checkout
        done = publish(made, "v1.0.0", seal=seal(signer), terms=Terms(now=NOW - YEAR), allow=later)
        assert (done.changed, done.warnings) == (False, [])

    def test_an_unsigned_release_asks_no_clock(self, tmp_path):
        """It has no time."""
        publish(project(tmp_path, {"boot.py": BOOT}), "v1.0.0", terms=Terms(now=NOW))
        publish(project(tmp_path, {"boot.py": BOOT, "a": ""}), "v1.0.1", terms=Terms(now=0), allow=Rules(witness=(NOW, "x")))

    def test_a_rollback_by_a_clock_that_is_behind_is_refused(self, tmp_path, signer):
        """It is signed anew."""
        done = self.after(tmp_path, signer, NOW + DAY)
        tree = Tree(tmp_path / "public" / done.project)
        with pytest.raises(HostError, match="the clock of this PC says 2024-10-04"):
            release.republish(tree, "v1.0.0", seal=seal(signer), terms=Terms(now=NOW + 5))

    def test_the_command_judges_by_the_age_of_the_sources(self, folder, ota, keys, monkeypatch):  # noqa: F811
        """Of the files of the release alone."""
        words = "publish", "--key", keys["other"]
        for path in (folder / "src").iterdir():
            os.utime(path, (NOW, NOW))
        monkeypatch.setattr("time.time", lambda: NOW + 400 * DAY)
        code, _, err = ota(*words, "--version", "v1.0.0")
        assert code == 1 and "more than 180 days after 2024-10-04 00:00 UTC, when " in err and "/src/" in err
        assert ota(*words, "--version", "v1.0.0", "--trust-clock")[0] == 0
        (folder / "src/main.py").write_text("print(2)\n")
        os.utime(folder / "src/main.py", (NOW + 399 * DAY,) * 2)
        assert ota(*words, "--version", "v1.0.1")[0] == 0

    def git(self, folder, *words, when=NOW):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        env = {**os.environ, "GIT_COMMITTER_DATE": f"{when} +0000", "GIT_AUTHOR_DATE": f"{when} +0000"}
        subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, env=env)

    def test_the_time_of_the_commit_counts_for_files_that_are_as_committed(self, tmp_path):
        """A fresh checkout has only the clock's own time on its files."""
        made = project(tmp_path, {"boot.py": BOOT, "main.py": "x = 1\n"})
        paths = ["boot.py", "main.py"]
        self.git(tmp_path, "init", "-q")
        self.git(tmp_path, "add", "src")
        self.git(tmp_path, "commit", "-qm", "x")
        assert clock.witness(made.source_folder, paths) == (NOW, f"the last commit in {made.source_folder} was made")
        (made.source_folder / "main.py").write_text("x = 2\n")
        os.utime(made.source_folder / "main.py", (NOW + 5, NOW + 5))
        assert clock.witness(made.source_folder, paths) == (NOW + 5, f"{made.source_folder / 'main.py'} was changed")
        (made.source_folder / "new.py").write_text("")  # is not in the release
        assert clock.witness(made.source_folder, paths)[0] == NOW + 5

    def test_an_edited_file_counts_beside_one_whose_name_is_not_utf_8(self, tmp_path):
        """What git answers is bytes."""
        made = project(tmp_path, {"main.py": "x = 1\n"})
        self.git(tmp_path, "init", "-q")
        self.git(tmp_path, "add", "src")
        self.git(tmp_path, "commit", "-qm", "x")
        (made.source_folder / os.fsdecode(b"caf\xe9.py")).write_text("")
        (made.source_folder / "main.py").write_text("x = 2\n")
        os.utime(made.source_folder / "main.py", (NOW + 5, NOW + 5))
        assert clock.witness(made.source_folder, ["main.py"])[0] == NOW + 5

    def test_without_git_the_newest_file_counts(self, tmp_path):
        """Whichever it is."""
        made = project(tmp_path, {"boot.py": BOOT, "a/b.txt": ""})
        for i, path in enumerate(["boot.py", "a/b.txt"]):
            os.utime(made.source_folder / path, (NOW + i, NOW + i))
        found = clock.witness(made.source_folder, ["boot.py", "a/b.txt"])
        assert found == (NOW + 1, f"{made.source_folder / 'a/b.txt'} was changed")

    def test_a_draft_of_a_pc_whose_clock_is_ahead_is_refused(self, folder, ota, keys, monkeypatch):  # noqa: F811
        """Two PCs, two clocks."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.time", lambda: NOW + 100 * DAY)
            for path in (folder / "src").iterdir():
                os.utime(path, (NOW + 100 * DAY,) * 2)
            assert ota("publish", "--version", "v1.0.0", "--draft", "next")[0] == 0
        assert ota("sign", "next", "--key", keys["other"])[0] == 0
        monkeypatch.setattr("time.time", lambda: NOW)
        words = "publish", "--manifest", "next", "--signature", "next.sig"
        code, _, err = ota(*words)
        assert code == 1 and "is before 2025-01-12 00:00 UTC, when the draft next was made" in err
        assert ota(*words, "--trust-clock")[0] == 0
