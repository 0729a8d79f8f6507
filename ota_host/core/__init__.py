"""The library made small for a board: only what is used, in few modules."""

import ast

from .bridge import bridge
from .choose import Choice
from .constants import merge_empty, write_out
from .late import split
from .names import Names
from .program import Program, Symbol
from .texts import ERROR, add_reader, move_errors, move_texts
from .transient import transient
from .write import Writer

_TRIAL = "trial"  # its functions come and go
_BOOT = ("bootguard", "__init__")


def sources(names, algorithms=()):
    """The source of every module of a core: path -> text.

    Args:
        names (list of str): public names of `ota` that the application uses.
        algorithms (list of str): of the signatures, such as `RS256`.
    """
    program = Program()
    lazy = public(program)
    trial = transient(Program().bind(), _TRIAL)
    bridge(program)
    split(program)
    add_reader(program)
    program.bind()
    write_out(program)
    roots = {Symbol(lazy[n], n) for n in {*names, "OtaError"} if lazy[n] not in (_TRIAL, "bootguard")}
    left = {"fileset", "verifiers.rs256", "verifiers.es256", "verifiers.hs256"} - {f"verifiers.{a.lower()}" for a in algorithms}
    merge_empty(program, roots)
    live = Choice(program, roots, without=left).live
    texts = move_texts(program, live)
    move_errors(program, live)
    choice = Choice(program, {*roots, ERROR}, without=left)
    made = {f"ota/{name}.py": tree for name, tree in Writer(choice, Names(choice)).modules().items()}
    made["ota/trial.py"] = trial
    made["ota/errors.py"] = _errors(program, choice)
    made["ota/__init__.py"] = _init(program, lazy, choice)
    made = {path: ast.unparse(tree) for path, tree in made.items()}
    made["ota/texts"] = "".join(text + "\n" for text in texts)
    made["ota/bootguard.py"] = (program.folder / "bootguard.py").read_text()
    return made


def public(program):
    """The public names of the library: name -> module."""
    homes = _homes(ast.parse((program.folder / "__init__.py").read_text())).value.value.split(";")
    return {name: home.split()[0] for home in homes for name in home.split()[1:]}


def _homes(tree):
    return next(n for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "_HOMES")


def _init(program, lazy, choice):
    tree = ast.parse((program.folder / "__init__.py").read_text())
    tree.body = tree.body[1:]
    homes = {}
    for name, module in lazy.items():
        home = choice.place.get(Symbol(module, name)) if Symbol(module, name) in choice.roots else None
        if module in ("bootguard", _TRIAL):
            home = module
        if home:
            homes.setdefault(home, []).append(name)
    _homes(tree).value = ast.Constant(";".join(" ".join([home, *names]) for home, names in homes.items()))
    return tree


def _errors(program, choice):
    # `from ota.errors import HashError` gives the class that the core raises.
    items = program.modules["errors"].items
    live = [n for n in items if Symbol("errors", n) in choice.live and isinstance(items[n], ast.ClassDef)]
    return ast.parse(f"from .core import {', '.join(live)}, _error\n\n__getattr__ = _error\n")
