"""The source of each module of a core: what was chosen, put together, with the imports that it needs."""

import ast
import copy

from .late import ATTRIBUTE, DEPTHS, FINDER, is_late
from .names import FIRMWARE
from .program import FUNCTIONS, Symbol

# In whose place others are while the files come, which is when most of the RAM is taken.
BRIEF = ("connect", "digest", "errno", "find", "listdir", "main", "mount", "next", "readlines", "state")
LASTING_LITERALS = ("map", "recv", "write")
_LITERALS = "pi"  # what their tuple is called


class Writer:
    """Writes the modules of a Choice.

    Args:
        choice (Choice): what goes where.
        names (Names): what is called otherwise there.
    """

    def __init__(self, choice, names):
        self.choice = choice
        self.program = choice.program
        self.names = names

    def modules(self):
        """The modules: name -> ast.Module."""
        return self._move_literals({out: self._module(out) for out in self.choice.outs()})

    def name(self, symbol):
        return self.names.symbols.get(symbol, symbol.name or symbol.module[1:])

    def _module(self, out):
        order = []
        for symbol in self._source_order(out):
            self._after_its_needs(symbol, out, order)
        bodies, seen = [], set()
        for symbol in order:
            item = self.program.item(symbol)
            if id(item) not in seen:
                seen.add(id(item))
                bodies.append(self._body(symbol, item, out))
        return ast.fix_missing_locations(ast.Module([*self._imports(out), *bodies], []))

    def _move_literals(self, modules):
        # A short text becomes a name for ever, but not in a tuple of a module that comes and goes.
        kept = [node for out, tree in modules.items() if out in LASTING_LITERALS or out == self.choice.base for node in ast.walk(tree)]
        names = {v for node in kept for v in vars(node).values() if isinstance(v, str)}
        names.update(FIRMWARE)
        for tree in modules.values():
            for node in ast.walk(tree):
                names.update(v for k, v in vars(node).items() if k not in ("value", "id") and isinstance(v, str))
        for out, tree in modules.items():
            if out in BRIEF:
                _Literals(names).move(tree)
        self._meet_names(modules)
        return modules

    def _meet_names(self, modules):
        # A name that a module brings stays when it goes, amid the room that it leaves. So the base
        # meets the names of all of them, in a function that nobody keeps.
        found = {f"ota.{out}" for out in modules if out in (*BRIEF, *LASTING_LITERALS)}
        for out in (*BRIEF, *LASTING_LITERALS):
            found |= set(_interned(modules[out])) if out in modules else set()
        texts = sorted(found - set(FIRMWARE) - {None})
        if self.choice.base in modules:
            body = modules[self.choice.base].body
            body.append(ast.parse(f"lambda: {texts!r}").body[0])

    def _source_order(self, out):
        for module in self.program.modules.values():
            for name in module.items:
                if self.choice.is_in(Symbol(module.name, name), out):
                    yield Symbol(module.name, name)

    def _after_its_needs(self, symbol, out, order):
        # A class comes after its bases, and a value after what it is made of.
        if symbol in order or not self.choice.is_in(symbol, out):
            return
        if not isinstance(self.program.item(symbol), FUNCTIONS):
            for other in self._needs(symbol):
                self._after_its_needs(other, out, order)
        order.append(symbol)

    def _needs(self, symbol, seen=()):
        # A function that is called at once needs what it calls.
        for other in self.choice.parts[symbol].head.symbols:
            if other.is_ours and other != symbol and other not in seen:
                yield other
                if isinstance(self.program.item(other), FUNCTIONS) and other in self.choice.live:
                    yield from self._needs(other, (*seen, symbol))

    def _imports(self, out):
        place = self.choice.place
        std, ours = set(), {}
        for symbol in sorted(s for s in place if self.choice.is_in(s, out)):
            for refs in self.choice.refs(symbol):
                if self._is_late(symbol) and place[ATTRIBUTE] != out:
                    ours.setdefault(place[ATTRIBUTE], set()).add(self.name(ATTRIBUTE))
                late = [s for s in refs.lazy if s in place and is_late(self.program.item(s))]
                for other in [*refs.symbols, *late]:
                    if not other.is_ours:
                        std.add(other)
                    elif other not in place or self.choice.is_in(other, out):
                        continue
                    elif is_late(self.program.item(other)):
                        if place[FINDER] != out:
                            ours.setdefault(place[FINDER], set()).add(self.name(FINDER))
                    else:
                        ours.setdefault(place[other], set()).add(self.name(other))
        whole = sorted(s.module[1:] for s in std if not s.name)
        parts = {}
        for s in std:
            if s.name:
                parts.setdefault(s.module[1:], set()).add(s.name)
        found = [ast.Import([ast.alias(name)]) for name in whole]
        found += [_import(module, names) for module, names in sorted(parts.items())]
        return found + [_import(module, names, 1) for module, names in sorted(ours.items())]

    def _body(self, symbol, item, out):
        methods = self.choice.live[symbol]
        item = copy.deepcopy(item)
        if isinstance(item, ast.ClassDef):
            item.body = [n for n in item.body if not isinstance(n, FUNCTIONS) or n.name in methods] or [ast.Pass()]
            if self._is_late(symbol):
                item.body.insert(0, ast.parse(f"__getattr__ = {self.name(ATTRIBUTE)}").body[0])
        for node in ast.walk(item):
            if getattr(node, "value", "") == "HOMES":
                node.value = self._homes()
        return _Renamer(self, out, symbol).visit(item)

    def _is_late(self, symbol):
        late = getattr(self.program.item(symbol), "late", {})
        return any(s in self.choice.live for s in late.values())

    def _homes(self):
        late = sorted(s for s in self.choice.live if is_late(self.program.item(s)))
        homes = {}
        for symbol in late:
            homes.setdefault(self.choice.place[symbol], []).append(self.name(symbol))
        return "".join(f";{DEPTHS.get(home, 0)}{home} {' '.join(names)} " for home, names in sorted(homes.items()))


def _interned(node):
    # The names that loading the code of `node` gives to MicroPython, those of globals aside.
    if isinstance(node, ast.Tuple) and all(isinstance(n, ast.Constant) for n in node.elts):
        return
    if not isinstance(node, ast.ExceptHandler):
        for field in ("attr", "arg", "name", "asname"):
            yield getattr(node, field, None)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) <= 10:
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from _interned(child)


class _Literals(ast.NodeTransformer):
    def __init__(self, names):
        self.names = names
        self.texts = []

    def move(self, tree):
        self.visit(tree)
        if self.texts:
            value = ast.Tuple([ast.Constant(text) for text in self.texts], ast.Load())
            at = sum(isinstance(n, (ast.Import, ast.ImportFrom)) for n in tree.body)
            tree.body.insert(at, ast.Assign([ast.Name(_LITERALS, ast.Store())], value))
            ast.fix_missing_locations(tree)

    def visit_Tuple(self, node):
        # One of constants is as good already.
        return node if all(isinstance(n, ast.Constant) for n in node.elts) else self.generic_visit(node)

    def visit_Constant(self, node):
        text = node.value
        if not isinstance(text, str) or not text or len(text) > 10 or text in self.names:
            return node
        if text not in self.texts:
            self.texts.append(text)
        return ast.Subscript(ast.Name(_LITERALS, ast.Load()), ast.Constant(self.texts.index(text)), ast.Load())


def _import(module, names, level=0):
    return ast.ImportFrom(module, [ast.alias(n) for n in sorted(names)], level)


class _Renamer(ast.NodeTransformer):
    """Gives the global names of a statement those of the core, and its imports the core's modules."""

    def __init__(self, writer, out, symbol):
        self.writer = writer
        self.out = out
        self.top = symbol
        self.is_class = isinstance(writer.program.item(symbol), ast.ClassDef)
        self.depth = 0
        self.arguments = {}

    def visit_Name(self, node):
        symbol = getattr(node, "symbol", None)
        if symbol and self._calls_finder(symbol):
            return ast.Call(ast.Name(self.writer.name(FINDER), ast.Load()), [ast.Constant(self.writer.name(symbol))], [])
        if symbol:
            node.id = self.writer.name(symbol)
        elif id(getattr(node, "scope", None)) in self.arguments:
            node.id = self.arguments[id(node.scope)].get(node.id, node.id)
        return node

    def _calls_finder(self, symbol):
        place = self.writer.choice.place
        return symbol in place and place[symbol] != self.out and is_late(self.writer.program.item(symbol))

    def visit_Attribute(self, node):
        node.attr = self.writer.names.attributes.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_ClassDef(self, node):
        node.name = self.writer.name(self.top)
        for part in node.body:
            for target in getattr(part, "targets", ()):
                target.id = self.writer.names.attributes.get(target.id, target.id)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):
        if hasattr(node, "twice"):
            raise ValueError(f"ota/{self.top.module}: {node.name} imports two things as {node.twice}")
        outer, self.depth = self.depth, self.depth + 1
        cls, _, method = self.top.name.rpartition(".")
        is_public = self.top in self.writer.names.outside
        if cls and not outer:
            is_public = Symbol(self.top.module, cls) in self.writer.names.outside and (method[0] != "_" or method.startswith("_init_"))
        if self.is_class and not outer:
            is_public = is_public and (node.name[:1] != "_" or node.name == "__init__")
            node.name = self.writer.names.attributes.get(node.name, node.name)
        elif not outer:
            node.name = self.writer.name(self.top)
        around = {name for names in self.arguments.values() for name in names.values()} if outer else ()
        new = self.writer.names.argument(node, is_public, around)
        self.arguments[id(node)] = new
        for arg in (*node.args.args, *filter(None, [node.args.vararg])):
            arg.arg = new.get(arg.arg, arg.arg)
        self.generic_visit(node)
        self.depth = outer
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Global(self, node):
        names = [Symbol(self.top.module, name) for name in node.names]
        return ast.Global([self.writer.name(s) for s in names])

    def visit_ImportFrom(self, node):
        if not node.level:
            return node
        place = self.writer.choice.place
        found, lost = {}, []
        for symbol in node.symbols:
            if symbol not in place:
                lost.append(symbol)
            elif not self.writer.choice.is_in(symbol, self.out) and not is_late(self.writer.program.item(symbol)):
                found.setdefault(place[symbol], []).append(self.writer.name(symbol))
        if lost:
            text = "%s is not in this core" % lost[0].module.split(".")[-1]
            return ast.parse(f"raise ImportError({text!r})").body[0]
        return [_import(module, names, 1) for module, names in sorted(found.items())] or None

    def generic_visit(self, node):
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                end = next((i for i, n in enumerate(block) if isinstance(n, ast.Raise)), len(block))
                setattr(node, field, block[: end + 1])
        return node

