"""The library made small for a board: only what is used, in few modules, of which few are in RAM at a time.

From the sources in `ota/` come, in this order: constants written out (`constants`), methods and
functions that are needed for a moment in modules of their own (`late`), what is reached from the
names that an application uses (`choose`), texts and classes of errors out of RAM (`texts`), names
that cost nothing (`names`), and the modules (`write`). `bootguard` is always there, whole and on
its own (`bridge`, `transient`).
"""

import ast
import re

from ..errors import HostError
from ..mpy import compile_small
from .bridge import bridge
from .builtin import Owned
from .choose import ALONE, PHASES, Choice
from .constants import merge_empty, write_out
from .late import LATE, call_directly, split
from .names import Names
from .program import Program, Symbol
from .texts import ERROR, FILE, add_reader, move_errors, move_texts
from .transient import transient
from .write import Writer

DEFAULT = ("HttpTransport",)
ALGORITHMS = ("RS256", "ES256", "HS256")
_TRIAL = "trial"  # its functions come and go
_APART = "guard"  # stays with the application, without the core
_ALWAYS = ("Updater", "OtaError")
# What an application may derive from keeps its hooks, and so does the base of it.
_BASES = {"Transport": (), "Verifier": (), "Storage": (), "LittlefsStorage": ("Storage",), "FlashStorage": ("Storage",)}
# What a core cannot have: these need the other ways to install.
_NEVER = {"TufVerifier", "ota_update", "check_for_ota_update", "check_version", "generate_auth"}
_VERIFIERS = {f"verifiers.{a.lower()}" for a in ALGORITHMS}


def make(words, folder=None):
    """The files of a core: path -> content (bytes), the same for the same words and the same library.

    Args:
        words (list of str): public names of `ota` that the application uses; with a verifier of
            signatures the algorithms, as in `SignatureVerifier:RS256+ES256` (RS256 when none is said).
        folder (Path): the package `ota` to make it of, default the one that is installed.

    Raises:
        HostError: a name that `ota` does not have, or that a core cannot have.
    """
    files = sources(words, folder)
    compiled = compile_small({p: text for p, text in files.items() if p.endswith(".py")})
    return {**compiled, **{p: text for p, text in files.items() if not p.endswith(".py")}}


def sources(words, folder=None):
    """The source of every module of a core before it is compiled, and its other files: path -> bytes."""
    program = Program(folder)
    lazy = public(program)
    names, algorithms = _parse(words, lazy)
    made = {f"ota/{name}.py": tree for name, tree in _apart(names, lazy, folder).items()}
    made[f"ota/{_TRIAL}.py"] = transient(Program(folder).bind(), _TRIAL)
    bridge(program)
    if "HS256" not in algorithms:
        _without_macs(program)
    split(program, {*names, *(b for n in names for b in _BASES.get(n, ()))})
    add_reader(program)
    call_directly(program.bind())
    write_out(program)
    roots = {Symbol(lazy[n], n) for n in names if lazy[n] not in (_TRIAL, _APART, "bootguard")}
    whole = {Symbol(lazy[b], b) for s in roots if s.name in _BASES for b in (s.name, *_BASES[s.name])}
    without = {"fileset", *_VERIFIERS} - {f"verifiers.{a.lower()}" for a in algorithms}
    merge_empty(program, roots)
    live = Choice(program, roots, without=without, whole=whole).live
    texts = move_texts(program, live)
    move_errors(program, live)
    choice = Choice(program, {*roots, ERROR}, without=without, whole=whole)
    writer = Writer(choice, Names(choice))
    made.update((f"ota/{name}.py", tree) for name, tree in writer.modules().items())
    made["ota/errors.py"] = _errors(program, choice, writer)
    made = {path: Owned().module(tree) for path, tree in made.items()}
    made["ota/names.py"] = _names(program, lazy, choice, names)
    files = {path: ast.unparse(tree).encode() for path, tree in made.items()}
    files[f"ota/{FILE}"] = "".join(text + "\n" for text in texts).encode()
    for name in ("__init__", "bootguard", "builtin"):
        files[f"ota/{name}.py"] = (program.folder / f"{name}.py").read_bytes()
    return dict(sorted(files.items()))


def _without_macs(program):
    # What the verifier of signatures has for HS256 alone.
    cls = program.modules["verifiers.signature"].items["SignatureVerifier"]
    cls.body = [n for n in cls.body if getattr(n, "name", "") not in ("_begin", "_update")]


def _parse(words, lazy):
    names, algorithms = set(_ALWAYS), set()
    for word in words:
        name, _, more = word.strip().partition(":")
        if name not in lazy:
            raise HostError(f"core: ota has no {name!r}; it has {', '.join(sorted(set(lazy) - _NEVER))}")
        if name in _NEVER:
            raise HostError(f"core: {name} is not for a core; deploy the library as mpy or source")
        for algorithm in filter(None, re.split("[+]", more or "RS256") if name == "SignatureVerifier" else [more]):
            if name != "SignatureVerifier" or algorithm not in ALGORITHMS:
                raise HostError(f"core: {word!r}: {algorithm!r} is none of {', '.join(ALGORITHMS)}")
            algorithms.add(algorithm)
        names.add(name)
    return names, algorithms


def _apart(names, lazy, folder):
    # launch() and feed() stay in RAM beside the application: without the core, and with no more
    # of bootguard than they use.
    roots = {Symbol(_APART, n) for n in names if lazy[n] == _APART}
    if not roots:
        return {}
    program = Program(folder)
    bridge(program)
    write_out(program.bind())
    choice = Choice(program, roots, base=_APART)
    return Writer(choice, Names(choice)).modules()


def used_by(files):
    """What an application uses of `ota`, for `make`: sorted, of its files (path -> bytes).

    In a .mpy a name counts wherever it stands; algorithms are those of the keys in any file.
    """
    known = set(public(Program()))
    files = {path: data for path, data in files.items() if not path.startswith(("ota/", "lib/ota/"))}
    found, algorithms = set(), {a for a in ALGORITHMS if any(a.encode() + b":" in data for data in files.values())}
    for path, data in files.items():
        if path.endswith(".py"):
            found |= _used(data)
        elif path.endswith(".mpy"):
            found.update(name for name in known if re.search(rb"\b%s\b" % name.encode(), data))
    words = found & known - {"boot", *_ALWAYS}
    if "SignatureVerifier" in words:
        words.remove("SignatureVerifier")
        words.add("SignatureVerifier:" + "+".join(sorted(algorithms or {"RS256"})))
    return sorted(words)


def _used(source):
    found = set()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return found
    for node in ast.walk(tree):
        module = getattr(node, "module", "") or ""
        if isinstance(node, ast.ImportFrom) and module.split(".")[0] == "ota":
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "ota":
            found.add(node.attr)
        elif module == "micropython_ota" or isinstance(node, ast.Import) and node.names[0].name == "micropython_ota":
            found.add("ota_update")
    return found


def file_names():
    """The names that files of a core may have."""
    modules = {*filter(None, LATE.values()), *PHASES.values(), *(m.split(".")[-1] for m in ALONE), "core", "clock", _APART, _TRIAL}
    return {f"{name}.mpy" for name in modules | {"__init__", "bootguard", "builtin", "names", "errors", "hs256", "obstacles", "plan"}} | {FILE}


def public(program):
    """The public names of the library: name -> module."""
    homes = _homes(ast.parse((program.folder / "names.py").read_text())).value.value.split(";")
    return {name: home.split()[0] for home in homes for name in home.split()[1:]}


def _homes(tree):
    return next(n for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "_HOMES")


def _names(program, lazy, choice, names):
    tree = ast.parse((program.folder / "names.py").read_text())
    tree.body = tree.body[1:]
    homes = {}
    for name, module in lazy.items():
        home = choice.place.get(Symbol(module, name)) if Symbol(module, name) in choice.roots else None
        if module in ("bootguard", _TRIAL) or module == _APART and name in names:
            home = module
        if home:
            homes.setdefault(home, []).append(name)
    _homes(tree).value = ast.Constant(";".join(" ".join([home, *names]) for home, names in homes.items()))
    return tree


def _errors(program, choice, writer):
    # `from ota.errors import HashError` gives the class that the core raises.
    items = program.modules["errors"].items
    live = [n for n in items if Symbol("errors", n) in choice.live and isinstance(items[n], ast.ClassDef)]
    names = [writer.name(Symbol("errors", n)) for n in live]
    live = [n if n == name else f"{name} as {n}" for n, name in zip(live, names, strict=True)]
    finder, ours = writer.name(ERROR), writer.name(Symbol("errors", "ours"))
    return ast.parse(f"from .core import {', '.join(live)}, {ours} as ours, {finder}\n\n__getattr__ = {finder}\n")
