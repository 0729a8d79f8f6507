"""`ota deploy`: the library, a published release and the board's state, onto a board by its serial port.

Afterwards the board holds exactly the release, beside what `keep` protects and what no release ever named.
"""

from __future__ import annotations

import ast
import hashlib
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ota.plan import kept

from .. import core, imports, library, mpy, rules
from ..bootcheck import calls_boot, parse
from ..errors import HostError, OutsideError
from ..library import Form
from ..shared_types import Progress
from ..tree import Manifest, Tree

if TYPE_CHECKING:
    from .board import Board

__all__ = ["BOOT", "Deployed", "contents", "put_all"]

# Where `mip` puts it as well; a board finds it there and beside main.py alike.
HOME = "lib/"
BOOT = b"import ota\n\nota.boot()\n"

Keeps = Callable[[str], bool]

# The board may have loaded another module of that name, or an older library.
_FORGET = """
for name in list(sys.modules):
    if name == "ota" or name.startswith("ota."):
        del sys.modules[name]
"""
_FIRMWARE = """
try:
    import ota
    print(repr(str(getattr(ota, "__path__", ""))))
except ImportError:
    print("''")
"""
# An update over the air that is under way is finished or dropped first.
_SETTLE = """
import ota.bootguard as g
s = g.load("")
g.advance("", s)
if s["phase"] == "trial":
    g.settle("", s)
    g.advance("", s)
if s["phase"] == "staging":
    g.save("", s, "cleaning")
    g.advance("", s)
"""
# What the live release keeps; a board without the library, or with a damaged manifest, has nothing to say.
_KEEP = """
try:
    from ota.bootguard import header, load
    print(repr(header("", load("")["live"]).get("keep", [])))
except Exception:
    print([])
"""
# The files of the live release. What is marked "o" is the board's own, named only by a release that was given up.
_LIVE = """
if not g.unsound("", s, "live"):
    for entry in g.lines("", s["live"]):
        if not entry.get("o"):
            print(repr(entry["p"]))
"""
_STATE = """
sums = {{"a": {crc}}}
if (s["live"], s["seq"], s["floor"], s.get("sums")) != ("a", {seq}, {seq}, sums):
    s.update({{"live": "a", "next": "", "seq": {seq}, "floor": {seq}, "refused": 0, "boots": 0, "etag": "", "sums": sums}})
    g.save("", s, "idle")
"""


@dataclass
class Deployed:
    """What a deployment did: `copied`, `same` and `removed` count files, `bytes` those that were written."""

    version: str | None
    library: str
    copied: int = 0
    same: int = 0
    removed: int = 0
    bytes: int = 0


def put(board: Board, files: dict[str, bytes], done: Deployed, progress: Progress) -> None:
    """Copy those of `files` (path -> content) that the board does not hold yet; boot.py last.

    Of the library bootguard comes first: `check_package` recognizes an interrupted copy by it.
    """
    paths = sorted(files, key=lambda p: (p == "boot.py", "/bootguard." not in p, p))
    held = board.hashes(paths)
    todo = [p for p in paths if held.get(p) != hashlib.sha256(files[p]).digest()]
    total, so_far = sum(len(files[p]) for p in todo), 0
    for path in todo:
        start = so_far
        board.write(path, files[path], lambda n: progress("copying", start + n, total))  # noqa: B023  (used in this turn)
        so_far += len(files[path])
    done.copied += len(todo)
    done.same += len(paths) - len(todo)
    done.bytes += total


def contents(tree: Tree, release: Manifest) -> dict[str, bytes]:
    """A published release's files: path -> content.

    Raises:
        HostError: one is missing or damaged.
    """
    files = {}
    for entry in release.entries:
        data = tree.read(tree.blob(entry["h"]))
        if data is None or hashlib.sha256(data).hexdigest() != entry["h"]:
            raise HostError(f"{tree.folder}: the content of {entry['p']} is damaged; see `ota verify`")
        files[entry["p"]] = data
    return files


def check_requires(board: Board, release: Manifest) -> None:
    """Refuse a release that is for other boards, as the board itself would.

    Raises:
        HostError: naming what the board is and what the release is for.
    """
    requires = release.header.get("requires", {})
    platform, runs = board.ask("(sys.platform, getattr(sys.implementation, '_mpy', 0))")
    platforms = requires.get("platform", [platform])
    if platform not in platforms:
        raise HostError(f"{board.port}: this board is {platform!r}; {release.version} is for {', '.join(map(repr, platforms))}")
    version = requires.get("mpy", runs & 0xFF)
    if version != runs & 0xFF:
        raise HostError(
            f"{board.port}: this board runs .mpy files of version {runs & 0xFF}; those of {release.version} have "
            f"version {version}: compile them for the board's firmware, or publish the sources"
        )
    machine = runs >> 10 & 15
    machines = requires.get("arch", [machine])
    if machine not in machines:
        names = ", ".join(map(_machine, machines))
        raise HostError(f"{board.port}: this board runs {_machine(machine)}; {release.version} has native code for {names}")


def _machine(number: int) -> str:
    return mpy.ARCHITECTURES[number] if number < len(mpy.ARCHITECTURES) else f"architecture {number}"


def check_package(board: Board, home: str, force: bool, keeps: Keeps) -> None:
    """Refuse, or with `force` remove, what the board would import as `ota` in place of the library.

    Args:
        board: the board.
        home: the folder that gets the library, `ota` or `lib/ota`; empty when it is in the firmware.
        force: remove it.
        keeps: whether a path is protected, with or without `force`.

    Raises:
        HostError: naming it.
    """
    # The root folder is looked at first, a folder before a module.
    hiding = [] if home == "ota" else ["ota", "ota.py", "ota.mpy"]
    found = board.sizes([*hiding, *filter(None, [home])])
    wrong = {path: "comes before the library" for path in found if path != home and (found[path] is None) == (path == "ota")}
    if found.get(home, 0) is None:
        names = board.ask(f"below({home!r})")
        if names and not any(imports.stem(name) == home + "/bootguard" for name in names):
            wrong[home] = "is another package"
    for path, why in wrong.items():
        if not force:
            raise HostError(
                f"{board.port}: the board has a {_kind(found[path])} {path}, which {why} when it imports `ota`: "
                "save what is yours in it and remove it, or give --force, which removes it"
            )
        for name in board.ask(f"below({path!r})") if found[path] is None else [path]:
            if keeps(name):
                raise HostError(
                    f"{board.port}: {path} {why} when the board imports `ota`, and `keep` protects {name}: move it, or "
                    "publish without it in `keep`"
                )
        board.drop(path)


def _kind(size: int | None) -> str:
    return "folder" if size is None else "file"


def obstacles(board: Board, paths: Collection[str], force: bool, keeps: Keeps) -> list[str]:
    """What is a file on the board where the release has a folder, or the other way round.

    Args:
        board: the board.
        paths: what is to be copied.
        force: also what no release has brought.
        keeps: whether a path is protected, with or without `force`.

    Returns:
        Paths on the board, to be removed.

    Raises:
        HostError: one that no release has brought, or that is protected, naming it.
    """
    folders = {"/".join(path.split("/")[:i]) for path in paths for i in range(1, path.count("/") + 1)}
    found = board.sizes(sorted({*paths, *folders}))
    wrong = [path for path, size in found.items() if (size is None) == (path not in folders)]
    for path in wrong:
        what = f"{board.port}: the board has a {_kind(found[path])} {path}, where there is to be a "
        what += "folder" if path in folders else "file"
        for name in board.ask(f"below({path!r})") if found[path] is None else [path]:
            if keeps(name):
                raise HostError(f"{what}, and `keep` in ota.toml protects {name}: move it, or publish without it in `keep`")
        names = [] if force else board.ask(f"strangers({path!r})")
        if names:
            raise HostError(
                f"{what}, and no release has brought {names[0]}: save what is yours and remove it, or give --force, "
                "which removes it"
            )
    return wrong


def twins(paths: Collection[str]) -> set[str]:
    """The other form, .py or .mpy, of each module in `paths`: MicroPython takes x.py before x.mpy."""
    others = {imports.stem(path) + (".mpy" if path.endswith(".py") else ".py") for path in paths if imports.stem(path)}
    return others - set(paths)


def _protected(board: Board, release: Manifest | None) -> Keeps:
    keep = release.header.get("keep", []) if release else ast.literal_eval(board.run(_KEEP).strip())
    if keep and board.ask("folds()"):
        keep = [path.lower() for path in keep]
        return lambda path: kept(path.lower(), keep)
    return lambda path: kept(path, keep)


def _check_room(board: Board, files: dict[str, bytes], keeps: Keeps) -> None:
    # Before anything changes. What earlier releases named and this one does not will be removed first.
    listed = {ast.literal_eval(line) for line in board.run("for name in listed(): print(repr(name))").splitlines()}
    goes = {path for path in (listed | twins(files)) - set(files) if not keeps(path)}
    block, free = board.ask("(lambda s: (s[0], s[0] * s[3]))(os.statvfs(''))")
    blocks = {path: -(-(size or 0) // block) * block for path, size in board.sizes([*files, *goes]).items()}
    need = sum(max(0, -(-len(data) // block) * block - blocks.get(path, 0)) for path, data in files.items())
    free += sum(blocks.get(path, 0) for path in goes)
    if need > free:
        raise OutsideError(f"{board.port}: {need} bytes are needed, {free} are free on the board")


def put_library(board: Board, files: dict[str, bytes], done: Deployed, progress: Progress, stays: Collection[str] = ()) -> None:
    """Copy the library (path -> content), and remove what another form of it has left, but for the paths in `stays`."""
    put(board, files, done, progress)
    known = {HOME + path for path in library.every_path()}
    done.removed += len(board.remove(known - set(files) - set(stays)))


def put_project(
    board: Board,
    files: dict[str, bytes],
    beside: Collection[str],
    release: Manifest,
    keeps: Keeps,
    done: Deployed,
    progress: Progress,
) -> None:
    """Make the board's files those of the release, and write that into its state.

    Args:
        board: the board, with the library on it.
        files: path -> content, without what is kept.
        beside: other paths that stay: of the library, and boot.py.
        release: their release.
        keeps: whether a path is protected.
        done: what was done so far.
        progress: called with (what, done, total).
    """
    board.run(_SETTLE)
    wanted = {*files, *beside}
    for path in obstacles(board, [path for path in wanted if not keeps(path)], True, keeps):
        board.drop(path)
    live = {ast.literal_eval(line) for line in board.run(_LIVE).splitlines()}
    gone = (live | twins(wanted)) - wanted - {"boot.py"}
    done.removed += len(board.remove([path for path in sorted(gone) if not keeps(path)]))
    put(board, files, done, progress)
    put(board, {".ota/a": release.raw}, Deployed(None, ""), progress)
    board.run(_STATE.format(seq=release.seq, crc=zlib.crc32(release.raw)))


def put_all(
    port: str,
    tree: Tree | None,
    release: Manifest | None,
    *,
    form: Form = Form.MPY,
    use: Collection[str] = (),
    frozen: bool = False,
    force: bool = False,
    reset: bool = True,
    progress: Progress = lambda *a: None,
) -> Deployed:
    """Deploy to the board at `port`; returns what was done.

    Args:
        port: its serial port.
        tree, release: what is published; a release of None leaves the project out.
        form: the library as source, as .mpy or as a core.
        use: what a core is for; default: what the release uses.
        frozen: the library is in the board's firmware.
        force: replace a boot.py that does not call `ota.boot()`, and remove what is in the way.
        reset: start the board afterwards.
        progress: called with (what, done, total).

    Raises:
        OutsideError: the board. HostError: the release, or something on the board that would be lost.
    """
    project = contents(cast(Tree, tree), release) if release else {}
    imports.check_library(project, frozen)
    imports.check_whole(project)
    from .board import Board  # which needs mpremote

    board = Board(port)
    try:
        done = Deployed(release.version if release else None, rules.FROZEN if frozen else form.value)
        if release:
            check_requires(board, release)
        keeps = _protected(board, release)
        there = board.sizes(project)
        files = {} if frozen else _library_for(board, project, form, use)
        project = {p: data for p, data in project.items() if p not in files and not (p in there and keeps(p))}
        boot = project.pop("boot.py", None) or _boot_for(board, force and not keeps("boot.py"))
        _check(board, {**files, **project, **({"boot.py": boot} if boot else {})}, files, frozen, force, keeps)
        for path in obstacles(board, files, force, keeps):
            board.drop(path)
        put_library(board, files, done, progress, {*there, *project})
        if not frozen:
            board.run(_FORGET)
        if release:
            beside = {*files, *(["boot.py"] if boot else []), *(p for p in there if keeps(p))}
            put_project(board, project, beside, release, keeps, done, progress)
        if boot:
            put(board, {"boot.py": boot}, done, progress)
        if reset:
            board.reset()
        return done
    finally:
        board.close()


def _check(board: Board, everything: dict[str, bytes], library: Collection[str], frozen: bool, force: bool, keeps: Keeps) -> None:
    # All that can be known before the first byte is copied.
    home = "" if frozen else "ota" if any(path.startswith("ota/") for path in library) else HOME + "ota"
    check_package(board, home, force, keeps)
    if frozen:
        _check_firmware(board)
    obstacles(board, everything, force, keeps)
    _check_room(board, everything, keeps)


def _library_for(board: Board, project: dict[str, bytes], form: Form, use: Collection[str]) -> dict[str, bytes]:
    # A release may bring the library itself, in whatever form.
    files = {p: project[p] for p in project if p.startswith((HOME + "ota/", "ota/"))}
    if files:
        return files
    if form == Form.CORE and not use:
        use = core.used_by(project) if project else core.DEFAULT
    version = board.ask("getattr(sys.implementation, '_mpy', 0) & 255")
    made = {HOME + path: data for path, data in library.files(form, use, version).items()}
    return {path: data for path, data in made.items() if path not in project}


def _check_firmware(board: Board) -> None:
    if not ast.literal_eval(board.run(_FIRMWARE).strip()).startswith(".frozen"):
        raise HostError(
            f'{board.port}: ota.toml says library = "frozen", and the firmware of this board does not have the '
            "library: put a firmware on it that has, or remove `library` from ota.toml"
        )


def _boot_for(board: Board, force: bool) -> bytes | None:
    # A release without boot.py leaves the board its own, as long as that one calls ota.boot().
    held = board.ask("open('boot.py').read() if look(['boot.py']) else None")
    if held is None or force:
        return BOOT
    code = [line for line in held.splitlines() if line.strip() and not line.strip().startswith("#")]
    if not code:
        return BOOT  # what the firmware put there: comments
    if not calls_boot(parse(f"{board.port}: boot.py", held.encode())):
        raise HostError(
            f"{board.port}: the board's boot.py does not call ota.boot(): put `import ota; ota.boot()` "
            "on its first line, or replace it with --force"
        )
    return None
