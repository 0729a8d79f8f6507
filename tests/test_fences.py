"""What keeps the two trees apart, and the board's tree small."""

import ast
import subprocess

import pytest
from support import MICROPYTHON, ROOT, run_mp

import ota

BOARD = sorted((ROOT / "ota").rglob("*.py")) + [ROOT / "micropython_ota.py"]
HOST = sorted((ROOT / "ota_host").rglob("*.py"))
# What every port has. `machine` and `ssl` may be missing, and are imported where they are used.
MICROPYTHON_MODULES = set(
    "asyncio binascii deflate errno gc hashlib io json machine os random select socket ssl sys time".split()
) | {"zlib"}  # what CPython has in the place of `deflate`
# docs/decisions/0004-bootguard-is-longer-than-200-lines.md
LONG = {"ota/bootguard.py": 810}


def name(path):
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """(level, module) of every import of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""



# What no file or folder on the flash can hide; all else a board file gets by `own`.
ALWAYS_BUILT_IN = {"sys", "gc"}


def owned(path):
    """The module of every call of `own`, which has to be plain to see."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("own", "_own"):
            if isinstance(node.args[0], ast.Constant):
                yield node.args[0].value


@pytest.mark.parametrize("path", BOARD, ids=name)
def test_a_board_file_imports_only_relatives_and_what_no_file_can_hide(path):
    absolute = {module for level, module in imports(path) if not level}
    if path.name == "micropython_ota.py":
        absolute -= {"ota.legacy"}
    assert absolute <= ALWAYS_BUILT_IN
    assert set(owned(path)) <= MICROPYTHON_MODULES


@pytest.mark.parametrize("path", BOARD, ids=name)
def test_a_board_file_never_imports_a_submodule_as_a_name(path):
    """`from . import x` fails on MicroPython where the package has a `__getattr__`."""
    roots = [ROOT / "ota" / "__init__.py"]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level and not node.module:
            package = path.parents[node.level - 1]
            assert package / "__init__.py" not in roots, f"line {node.lineno}"


@pytest.mark.parametrize("path", BOARD, ids=name)
def test_a_board_file_calls_nothing_that_older_boards_lack(path):
    """Seen to fail on MicroPython 1.21: `next` with a default."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "next":
            assert len(node.args) == 1, f"line {node.lineno}"


@pytest.mark.parametrize("path", BOARD, ids=name)
def test_a_board_file_is_short_and_so_are_its_functions(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= LONG.get(name(path), 200)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 41, node.name


@pytest.mark.parametrize("path", BOARD, ids=name)
def test_a_board_file_cross_compiles(path, tmp_path):
    cross = MICROPYTHON.parent / "mpy-cross"
    subprocess.run([cross, "-o", tmp_path / "x.mpy", path], check=True)


# The pure modules, and who may have more of the library: the kit tests the plug-in bases.
PURE = {"ota.version", "ota.manifest", "ota.merge", "ota.plan", "ota.errors"}
MORE = {
    "ota_host/testing.py": {"ota.storage", "ota.transports", "ota.verifiers"},
    "ota_host/library.py": {"ota"},
    "ota_host/core/program.py": {"ota"},
    # Runs on MicroPython.
    "ota_host/proof/cuts.py": {"ota", "ota.storage", "ota.transports.sd", "ota.trial", "ota.updater"},
}


@pytest.mark.parametrize("path", HOST, ids=name)
def test_a_host_file_imports_only_the_pure_modules_of_the_library(path):
    ours = {m for level, m in imports(path) if not level and (m == "ota" or m.startswith("ota."))}
    assert ours <= PURE | MORE.get(name(path), set())


def test_every_public_name_is_there_on_micropython():
    script = "import ota\nprint(sorted(n for n in ota.__all__ if getattr(ota, n)))"
    assert run_mp(script).stdout.strip() == str(sorted(ota.__all__))


def test_every_public_name_is_there_on_cpython_and_no_other():
    assert all(getattr(ota, n) for n in ota.__all__)
    with pytest.raises(AttributeError):
        ota.nothing  # noqa: B018


def test_importing_ota_and_an_idle_boot_keep_under_2200_bytes_of_heap(tmp_path):
    """In the middle of ten: the firmware's table of names grows in steps, wherever one happens to fall."""
    script = """
import gc, json, os
for i in range(int(json.loads(os.getenv("ARGS"))[0])):
    exec("name_of_test_%d = 0" % i)
gc.collect()
before = gc.mem_alloc()
import ota
ota.boot()
gc.collect()
print(gc.mem_alloc() - before)
"""
    # As on a board: the name of the file, which stays in RAM, has no long path.
    (tmp_path / "ota").symlink_to(ROOT / "ota")
    kept = sorted(int(run_mp(script, 6 * n, cwd=tmp_path, path=[""]).stdout) for n in range(10))
    assert kept[5] <= 2200, kept


def test_an_idle_boot_looks_at_two_files_and_writes_nothing():
    """Promised in the README: what a boot costs when there is nothing to do; also after an update."""
    script = """
import builtins, os, sys, ramflash
flash = ramflash.Flash()
ramflash.mount(flash, "lfs2", True)
import ota
looks = []
def look(path, *mode):
    looks.append(path)
    return real(path, *mode)
real, builtins.open = builtins.open, look
ops = flash.ops
ota.boot()
print(looks, flash.ops - ops, "ota.bootguard" in sys.modules)
builtins.open = real
import ota.bootguard as guard
guard.save("", guard.load())
del sys.modules["ota.bootguard"], looks[:]
builtins.open = look
ops = flash.ops
ota.boot()
print(looks, flash.ops - ops, "ota.bootguard" in sys.modules)
"""
    looks = "['.ota/state', '.ota/state.new'] 0 False\n"
    assert run_mp(script).stdout == "['.ota/state'] 0 False\n" + looks
