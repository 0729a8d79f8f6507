"""`ota deploy`: the library, a published release and the state of both, onto a board by its serial port."""

import ast
import binascii
import contextlib
import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import typer
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport
from rich.text import Text

from . import config, core, imports, library, rules, show
from .bootcheck import calls_boot, parse
from .errors import ConfigError, HostError, OutsideError
from .library import As, Form, Use
from .tree import Tree

# What a line that breaks off raises; mpremote unpacks what it read without a look at its length.
_BROKEN = (TransportError, OSError, struct.error)
# Where `mip` puts it as well; a board finds it there and beside main.py alike.
HOME = "lib/"
_PATIENCE = 120  # seconds that a board may be silent: a small one may hash for a minute
BOOT = b"import ota\n\nota.boot()\n"

_ASK = """
import sys, os, hashlib
from binascii import a2b_base64 as b64
def look(names):
    found = {}
    for name in names:
        try:
            f = open(name, "rb")
        except OSError:
            continue
        h = hashlib.sha256()
        while True:
            data = f.read(512)
            if not data:
                break
            h.update(data)
        f.close()
        found[name] = h.digest()
    return found
def kinds(names):
    found = {}
    for name in names:
        try:
            found[name] = "folder" if os.stat(name)[0] & 0x4000 else "file"
        except OSError:
            pass
    return found
def below(folder):
    found = []
    for entry in os.ilistdir(folder):
        path = folder + "/" + entry[0]
        if entry[1] & 0x4000:
            found += below(path)
        else:
            found.append(path)
    return found
def strangers(path):
    import json
    names = below(path) if os.stat(path)[0] & 0x4000 else [path]
    for slot in "abc":
        try:
            f = open(".ota/" + slot)
        except OSError:
            continue
        for line in f:
            try:
                name = json.loads(line).get("p")
            except ValueError:
                continue
            for end in ("", ".ota-new", ".ota-old"):
                if name and name + end in names:
                    names.remove(name + end)
        f.close()
    return names
"""
_MKDIR = """
def folders(path):
    at = path.find("/")
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            pass
        at = path.find("/", at + 1)
def drop(path):
    if os.stat(path)[0] & 0x4000:
        for entry in list(os.ilistdir(path)):
            drop(path + "/" + entry[0])
        os.rmdir(path)
    else:
        os.remove(path)
"""
# What the board has loaded may be another module of that name, or an older library.
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
# What an update over the air left undone is finished or dropped first.
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
# Then the board is told what it has now.
_STATE = """
if (s["live"], s["seq"], s["floor"], s.get("sums", {{}})) != ("a", {seq}, {seq}, {{}}):
    s.update({{"live": "a", "next": "", "seq": {seq}, "floor": {seq}, "refused": 0, "boots": 0, "etag": "", "sums": {{}}}})
    g.save("", s, "idle")
"""


@dataclass
class Deployed:
    """What a deployment did: `copied` and `same` count files, `bytes` those that were written."""

    version: Optional[str]
    library: str
    copied: int = 0
    same: int = 0
    bytes: int = 0


class _PatientTransport(SerialTransport):
    """As it is, but a call may take its time: a new folder alone may have littlefs walk along all that it holds."""

    def exec_raw(self, command, timeout=_PATIENCE, data_consumer=None):
        return super().exec_raw(command, timeout, data_consumer)


class Board:
    """A board's file system, by its raw REPL; its running program is interrupted, not restarted.

    Raises:
        OutsideError: the port does not open, or the board does not answer.
    """

    def __init__(self, port):
        self.port = port
        try:
            self._serial = _PatientTransport(str(port), timeout=10)
            # Without a soft reset, which would run boot.py and use up a trial boot.
            self._serial.enter_raw_repl(soft_reset=False)
        except _BROKEN as e:
            raise OutsideError(f"{port}: no board answers: {e}") from None
        self.run(_ASK + _MKDIR)

    @contextlib.contextmanager
    def _errors(self, what):
        try:
            yield
        except TransportExecError as e:
            reason = str(e.error_output).strip().splitlines() or ["no reason given"]
            raise OutsideError(f"{self.port}: {what}: {reason[-1]}") from None
        except _BROKEN as e:
            raise OutsideError(f"{self.port}: {what}: {e}") from None

    def run(self, code):
        """Run `code`; gives what it printed."""
        with self._errors("the board failed"):
            out, error = self._serial.exec_raw(code)
            if error:
                raise TransportExecError(out, error.decode())
            return out.decode()

    def ask(self, expression):
        """The value of an expression on the board."""
        return ast.literal_eval(self.run(f"print(repr({expression}))").strip())

    def kinds(self, paths):
        """Which of `paths` (list of str) are there: path -> "file" or "folder"."""
        found = {}
        for i in range(0, len(paths), 50):
            found.update(self.ask(f"kinds({paths[i : i + 50]!r})"))
        return found

    def write(self, path, data, told):
        """Write a file; `told(bytes so far)` is called on the way."""
        # Not by mpremote's fs_writefile: compiled code as a literal has more than twice its length.
        with self._errors(f"writing {path}"):
            self._serial.exec(f"folders({path!r})\nf = open({path!r}, 'wb')\nw = f.write")
            for at in range(0, len(data), 1024):
                chunk = data[at : at + 1024]
                plain, packed = f"w({chunk!r})", f"w(b64({binascii.b2a_base64(chunk, newline=False)!r}))"
                self._serial.exec(min(plain, packed, key=len))
                told(at + len(chunk))
            self._serial.exec("f.close()")

    def remove(self, path):
        """Remove a file that may be there."""
        self.run(f"try:\n os.remove({path!r})\nexcept OSError:\n pass")

    def reset(self):
        """Reset the board: its boot.py and main.py run."""
        with contextlib.suppress(TransportError, OSError):
            self._serial.exec_raw_no_follow("import machine; machine.reset()")
        self.close()

    def close(self):
        with contextlib.suppress(TransportError, OSError):
            self._serial.close()


def put(board, files, done, progress):
    """Copy those of `files` (path -> bytes) that the board does not hold yet; boot.py last.

    Of the library bootguard comes first: by it `check_package` knows a copy that was broken off.
    """
    held = {}
    paths = sorted(files, key=lambda p: (p == "boot.py", "/bootguard." not in p, p))
    for i in range(0, len(paths), 20):
        held.update(board.ask(f"look({paths[i : i + 20]!r})"))
    todo = [p for p in paths if held.get(p) != hashlib.sha256(files[p]).digest()]
    need = sum(-(-len(files[p]) // 4096) * 4096 for p in todo if p not in held)
    free = board.ask("(lambda s: s[0] * s[3])(os.statvfs(''))")
    if need > free:
        raise OutsideError(f"{board.port}: {need} bytes are needed, {free} are free on the board")
    total, so_far = sum(len(files[p]) for p in todo), 0
    for path in todo:
        start = so_far
        board.write(path, files[path], lambda n: progress("copying", start + n, total))
        so_far += len(files[path])
        # MicroPython takes x.py before x.mpy, so the other one must not stay.
        other = path[:-3] + ".mpy" if path.endswith(".py") else path[:-4] + ".py"
        if path.startswith(HOME) and path.endswith((".py", ".mpy")) and other not in files:
            board.remove(other)
    done.copied += len(todo)
    done.same += len(paths) - len(todo)
    done.bytes += total


def contents(tree, release):
    """A published release's files: path -> content (bytes)."""
    files = {}
    for entry in release.entries:
        data = tree.read(tree.blob(entry["h"]))
        if data is None or hashlib.sha256(data).hexdigest() != entry["h"]:
            raise HostError(f"{tree.folder}: the content of {entry['p']} is damaged; see `ota verify`")
        files[entry["p"]] = data
    return files


def check_package(board, home, force):
    """Refuse, or with `force` remove, what the board would import as `ota` in place of the library.

    Args:
        board (Board): the board.
        home (str): the folder that gets the library, `ota` or `lib/ota`; empty when it is in the firmware.
        force (bool): remove it.

    Raises:
        HostError: naming it.
    """
    # The root folder is looked at first, a folder before a module.
    hiding = [] if home == "ota" else ["ota", "ota.py", "ota.mpy"]
    found = board.kinds([*hiding, *filter(None, [home])])
    wrong = {path: "comes before the library" for path in hiding if found.get(path) == ("folder" if path == "ota" else "file")}
    if found.get(home) == "folder":
        names = board.ask(f"below({home!r})")
        if names and not any(imports.stem(name) == home + "/bootguard" for name in names):
            wrong[home] = "is another package"
    for path, why in wrong.items():
        if not force:
            raise HostError(
                f"{board.port}: the board has a {found[path]} {path}, which {why} when it imports `ota`: "
                "save what is yours in it and remove it, or give --force, which removes it"
            )
        board.run(f"drop({path!r})")


def obstacles(board, paths, force):
    """What of the board is a file where the release has a folder, or the other way round.

    Args:
        board (Board): the board. paths (collection of str): what is to be copied.
        force (bool): also what no release has brought.

    Returns:
        list of str: paths on the board, to be removed.

    Raises:
        HostError: one that is not of a release, naming it.
    """
    folders = {"/".join(path.split("/")[:i]) for path in paths for i in range(1, path.count("/") + 1)}
    found = board.kinds(sorted({*paths, *folders}))
    wrong = [path for path, kind in found.items() if kind == ("file" if path in folders else "folder")]
    for path in wrong:
        names = [] if force else board.ask(f"strangers({path!r})")
        if names:
            raise HostError(
                f"{board.port}: the board has a {found[path]} {path}, where there is to be a "
                f"{'folder' if path in folders else 'file'}, and no release has brought {names[0]}: save what is "
                "yours and remove it, or give --force, which removes it"
            )
    return wrong


def put_library(board, files, done, progress):
    """Copy the library (path -> bytes), and remove what another form of it has left."""
    put(board, files, done, progress)
    known = {HOME + path for path in library.every_path()}
    for path in board.ask(f"below({(HOME + 'ota')!r}) if kinds([{(HOME + 'ota')!r}]) else []"):
        if path in known and path not in files:
            board.remove(path)


def put_all(
    port, tree, release, *, form=Form.MPY, use=(), frozen=False, force=False, reset=True, progress=lambda *a: None
):
    """Deploy to the board at `port`; gives what was done.

    Args:
        tree, release (Tree, Manifest): what is published; a release of None leaves the project out.
        form (Form): the library as source, as .mpy or as a core.
        use (list of str): what a core is for; default: what the release uses.
        frozen (bool): the library is in the board's firmware.
        force (bool): replace a boot.py that does not call `ota.boot()`, and remove what is in the way.
        reset (bool): start the board afterwards.

    Raises:
        OutsideError: the board. HostError: the release, or something on the board that would be lost.
    """
    project = contents(tree, release) if release else {}
    imports.check_library(project, frozen)
    imports.check_whole(project)
    board = Board(port)
    try:
        done = Deployed(release and release.version, rules.FROZEN if frozen else form.value)
        boot = project.pop("boot.py", None)
        files = {} if frozen else _library_for(board, project, form, use)
        home = "" if frozen else "ota" if "ota/" in {p[:4] for p in files} else HOME + "ota"
        if boot is None:
            boot = _boot_for(board, force)
        check_package(board, home, force)
        if frozen:
            _check_firmware(board)
        everything = {*files, *project, *(["boot.py"] if boot else [])}
        obstacles(board, everything, force)
        if not frozen:
            for path in obstacles(board, files, force):
                board.run(f"drop({path!r})")
            put_library(board, files, done, progress)
            board.run(_FORGET)
        if release:
            board.run(_SETTLE)
            for path in obstacles(board, everything, force):
                board.run(f"drop({path!r})")
            put(board, {p: d for p, d in project.items() if p not in files}, done, progress)
            put(board, {".ota/a": release.raw}, Deployed(None, ""), progress)
            board.run(_STATE.format(seq=release.seq))
        if boot is not None:
            put(board, {"boot.py": boot}, done, progress)
        if reset:
            board.reset()
        return done
    finally:
        board.close()


def _library_for(board, project, form, use):
    # A release may bring the library itself, in whatever form.
    files = {p: project[p] for p in project if p.startswith((HOME + "ota/", "ota/"))}
    if files:
        return files
    if form == Form.CORE and not use:
        use = core.used_by(project) if project else core.DEFAULT
    mpy = board.ask("getattr(sys.implementation, '_mpy', 0) & 255")
    return {HOME + path: data for path, data in library.files(form, use, mpy).items()}


def _check_firmware(board):
    if not ast.literal_eval(board.run(_FIRMWARE).strip()).startswith(".frozen"):
        raise HostError(
            f'{board.port}: ota.toml says library = "frozen", and the firmware of this board does not have the '
            "library: put a firmware on it that has, or remove `library` from ota.toml"
        )


def _boot_for(board, force):
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


def deploy(
    port: Annotated[str, typer.Argument(help="Serial port of the board, such as /dev/ttyACM0.")],
    version: Annotated[Optional[str], typer.Option(help="Published release; default: the channel's newest.")] = None,
    form: As = Form.MPY,
    use: Use = None,
    source: Annotated[bool, typer.Option("--source", help="The same as --as source.")] = False,
    library_only: Annotated[bool, typer.Option("--library-only", help="No release: the library and boot.py.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a boot.py that does not call ota.boot(), and remove what is in the way.")] = False,
    reset: Annotated[bool, typer.Option(help="Reset the board afterwards.")] = True,
    config_file: Annotated[Path, typer.Option("--config", help="The settings of the project.")] = Path(config.NAME),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Put the library, a published release and boot.py on a board; again changes nothing."""
    if source:
        form = Form.SOURCE
    if use and form != Form.CORE:
        raise ConfigError(f"--use goes with --as core, not with {form.value}")
    tree = release = None
    frozen = False
    if not library_only:
        settings = config.read(config_file)
        tree = Tree(settings.tree)
        frozen = settings.library == rules.FROZEN
        release = tree.release(version) if version else tree.channels().get(settings.channel)
        if release is None:
            raise HostError(f"{tree.folder}: {version or settings.channel} is not published; `ota publish` does it")
    with show.progress() as progress:
        options = dict(form=form, use=use or (), frozen=frozen, force=force, reset=reset, progress=progress)
        done = put_all(port, tree, release, **options)
    if as_json:
        show.as_json(done.__dict__)
        return
    what = f"{done.version}, library in the firmware" if frozen else f"{done.version} and the library ({done.library})"
    if not release:
        what = f"the library ({done.library})"
    show.out.print(Text(f"{port}: {what}: {done.copied} files copied, {done.same} there already"))
