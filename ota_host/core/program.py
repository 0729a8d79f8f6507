"""The library as one program: its modules read, and every global name in them bound to what it means."""

import ast
from dataclasses import dataclass, field
from pathlib import Path

import ota

from .builtin import Plain


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

@dataclass(frozen=True, order=True)
class Symbol:
    """A global name: `module` of the library, without `ota.`, or `!` and a module of MicroPython."""

    module: str
    name: str

    @property
    def is_ours(self):
        return self.module[:1] != "!"


@dataclass
class Module:
    """`items`: name -> its top-level statement, in the order of the source; `imports`: local name -> Symbol."""

    name: str
    is_package: bool
    items: dict = field(default_factory=dict)
    imports: dict = field(default_factory=dict)

    def absolute(self, level, name):
        """The module that a relative import of `name` means."""
        parts = self.name.split(".") if self.name else []
        if not self.is_package:
            parts = parts[:-1]
        parts = parts[: len(parts) - (level - 1)]
        return ".".join([*parts, *([name] if name else [])])


class Program:
    """Every module of the library: `modules` (name -> Module).

    After `bind()` a Name node that means a global has the attribute `symbol`, as has each name of an import in a
    function, in its list `symbols`.

    Args:
        folder (Path): the package `ota`.
    """

    def __init__(self, folder=None):
        self.folder = Path(folder or Path(ota.__file__).parent)
        self.modules = {}
        for path in sorted(self.folder.rglob("*.py")):
            parts = path.relative_to(self.folder).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            if name:
                self.modules[name] = self._read(Module(name, is_package), path)

    def replace(self, module, text):
        """Put the definitions of `text` in the place of those that a module has under the same names."""
        nodes = ast.parse(text).body
        self.modules[module].items.update((name, node) for node in nodes for name in _defined(node))

    def bind(self):
        """Set `symbol` and `symbols`; returns the program."""
        for module in self.modules.values():
            for item in module.items.values():
                _Binder(self, module).visit(item)
        return self

    def _read(self, module, path):
        source = path.read_text()
        for node in _for_boards(ast.parse(source), source.splitlines()).body:
            if isinstance(node, ast.AugAssign):  # a constant in two lines
                known = module.items[node.target.id]
                known.value = ast.Tuple([*known.value.elts, *node.value.elts], ast.Load())
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    module.imports[alias.asname or alias.name] = Symbol("!" + alias.name, "")
            elif isinstance(node, ast.ImportFrom):
                home = module.absolute(node.level, node.module) if node.level else "!" + node.module
                for alias in node.names:
                    module.imports[alias.asname or alias.name] = Symbol(home, alias.name)
            else:
                for name in _defined(node):
                    module.items[name] = node
        return module

    def item(self, symbol):
        """The statement that defines `symbol`."""
        return self.modules[symbol.module].items[symbol.name]

    def find(self, symbol):
        """Where `symbol` is defined: a module may only pass it on."""
        while symbol.is_ours:
            module = self.modules[symbol.module]
            if symbol.name in module.items or symbol.name not in module.imports:
                break
            symbol = module.imports[symbol.name]
        return symbol


def _defined(node):
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
    if isinstance(node, (ast.Try, ast.If)):
        return sorted(_bound(node))
    raise ValueError(f"line {node.lineno}: a module of the library has definitions and imports only: {ast.unparse(node)}")


def _for_boards(tree, lines):
    # What is there for CPython alone goes, by the comment that says so, and docstrings, which a
    # board never keeps.
    body = []
    for node in tree.body:
        if isinstance(node, ast.Try) and "# CPython" in lines[node.handlers[0].lineno - 1]:
            body += node.body
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            body.append(node)
    tree.body = body
    plain = Plain()
    tree = plain.visit(tree)
    tree.body[:0] = plain.hoisted
    for node in ast.walk(tree):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]
    return tree


class _Binder(ast.NodeVisitor):
    """Sets `symbol` on the names of one top-level statement; the others get `scope`, the node that binds them."""

    def __init__(self, program, module):
        self.program = program
        self.module = module
        self.scopes = []

    def visit(self, node):
        if isinstance(node, ast.Name):
            self._name(node)
        elif isinstance(node, ast.ClassDef):
            for part in (*node.decorator_list, *node.bases, *node.keywords):
                self.visit(part)
            self.scopes.append((node, _bound(node), {}))
            for part in node.body:
                self.visit(part)
            self.scopes.pop()
        elif isinstance(node, _SCOPES):
            self._scope(node)
        else:
            self.generic_visit(node)

    def _scope(self, node):
        args = getattr(node, "args", None)
        # Defaults are worked out outside.
        for part in (*getattr(node, "decorator_list", ()), *(args.defaults if args else ())):
            self.visit(part)
        for part in args.kw_defaults if args else ():
            if part:
                self.visit(part)
        lazy = _imported(self.program, self.module, node) if isinstance(node, FUNCTIONS) else {}
        self.scopes.append((node, _bound(node), lazy))
        if isinstance(node, ast.Lambda):
            self.visit(node.body)
        elif isinstance(node, FUNCTIONS):
            for part in node.body:
                self.visit(part)
        else:
            self.generic_visit(node)
        self.scopes.pop()

    def _name(self, node):
        for i, (scope, bound, lazy) in enumerate(reversed(self.scopes)):
            if isinstance(scope, ast.ClassDef) and i:
                continue  # a method does not see the names of its class
            if node.id in lazy:
                node.symbol = lazy[node.id]
                node.lazy = True
                return
            if node.id in bound:
                node.scope = scope
                return
        module = self.module
        if node.id in module.items:
            node.symbol = Symbol(module.name, node.id)
        elif node.id in module.imports:
            node.symbol = self.program.find(module.imports[node.id])


def _imported(program, module, function):
    # The relative imports of a function: name -> Symbol.
    found = {}
    for node in _own(function):
        if isinstance(node, ast.ImportFrom) and node.level:
            home = module.absolute(node.level, node.module)
            node.symbols = [program.find(Symbol(home, alias.name)) for alias in node.names]
            for alias, symbol in zip(node.names, node.symbols, strict=True):
                if found.setdefault(alias.asname or alias.name, symbol) != symbol:
                    function.twice = alias.asname or alias.name
    return found


def _own(scope):
    """The nodes of a scope, without those of the scopes in it."""
    todo = list(ast.iter_child_nodes(scope))
    while todo:
        node = todo.pop(0)
        yield node
        if not isinstance(node, (*_SCOPES, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)


def _bound(scope):
    names, free = set(), set()
    args = getattr(scope, "args", None)
    if args:
        every = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
        names.update(a.arg for a in every if a)
    for node in _own(scope):
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            free.update(node.names)
        elif isinstance(node, (ast.Import, ast.ImportFrom)) and not getattr(node, "level", 0):
            names.update((a.asname or a.name).split(".")[0] for a in node.names)
    return names - free
