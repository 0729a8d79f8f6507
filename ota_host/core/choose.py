"""What of the library a board needs, and which module of the core it goes into."""

import ast

from .late import ATTRIBUTE, FINDER, is_late
from .program import FUNCTIONS

# Modules that are loaded for a part of an update, and unloaded after it.
PHASES = {
    "policy": "find",
    "manifest": "readlines",
    "merge": "readlines",
    "verifiers.rs256": "digest",
    "verifiers.es256": "digest",
    "fetch": "write",
    "place": "write",
    "setup": "main",
    "staging": "listdir",
}


class Parts:
    """What the parts of a statement refer to: a class has its head and each of its methods."""

    def __init__(self, node):
        self.node = node
        self.methods = {}
        self.attributes = set()  # of a class
        head = [node]
        if isinstance(node, ast.ClassDef):
            self.methods = {n.name: Refs([n]) for n in node.body if isinstance(n, FUNCTIONS)}
            head = [*node.bases, *(n for n in node.body if not isinstance(n, FUNCTIONS))]
        self.head = Refs(head)


class Refs:
    """`symbols` that are needed when the module is loaded, `lazy` ones, and the names of attributes."""

    def __init__(self, nodes):
        self.symbols, self.lazy, self.names = [], [], set()
        for node in (n for top in nodes for n in ast.walk(top)):
            symbol = getattr(node, "symbol", None)
            if symbol and not hasattr(node, "lazy"):
                self.symbols.append(symbol)
            self.lazy += getattr(node, "symbols", ())
            if isinstance(node, ast.Attribute):
                self.names.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.names.add(node.value)


class Choice:
    """What stays: `live` (Symbol -> set of the methods that stay), and where: `place` (Symbol -> module).

    Args:
        program (Program): the library.
        roots (list of Symbol): what the application uses.
        base (str): the module that is loaded first.
        without (set of str): modules that are left out, though something may ask for them.
        whole (set of Symbol): classes that an application derives from: all their public methods stay.
    """

    def __init__(self, program, roots, base="core", without=(), whole=()):
        self.program = program
        self.roots = sorted(roots)
        self.base = base
        self.without = set(without)
        self.whole = set(whole)
        self.parts = {}
        self.live = {}
        self.names = set()
        self._find_live()
        self.place = {}
        self.copies = {}  # Symbol -> the other modules that have it as well
        self._find_places()

    def ours(self, symbols):
        return [s for s in symbols if s.is_ours and s.module not in self.without]

    def refs(self, symbol):
        """The Refs of what is live of `symbol`."""
        parts = self.parts[symbol]
        return [parts.head, *(parts.methods[m] for m in sorted(self.live[symbol]))]

    def _find_live(self):
        todo = list(self.roots)
        while todo:
            while todo:
                symbol = todo.pop()
                if symbol not in self.live:
                    self.live[symbol] = set()
                    self.parts[symbol] = Parts(self.program.item(symbol))
                    todo += self._follow(self.parts[symbol].head)
            for symbol in sorted(self.live):
                for name, late in getattr(self.program.item(symbol), "late", {}).items():
                    if late not in self.live and self._called(symbol, name):
                        todo += [late, ATTRIBUTE]
                for name, refs in self.parts[symbol].methods.items():
                    if name not in self.live[symbol] and self._called(symbol, name):
                        self.live[symbol].add(name)
                        todo += [symbol, *self._follow(refs)]

    def _follow(self, refs):
        self.names |= refs.names
        found = self.ours([*refs.symbols, *refs.lazy])
        late = any(is_late(self.program.item(s)) for s in found)
        return [*found, FINDER] if late else found

    def _called(self, symbol, name):
        if name[:2] == "__" or name in self.names:
            return True
        return name[0] != "_" and (symbol in self.roots or symbol in self.whole)

    def _find_places(self):
        for symbol in self.roots:
            self._claim(symbol, home(symbol.module, self.base))
        for symbol in sorted(self.live):
            if symbol in (FINDER, ATTRIBUTE):
                self._claim(symbol, self.base)
            elif is_late(self.program.item(symbol)):
                self._claim(symbol, self.program.item(symbol).home)
        done = set()
        while True:
            lazy = {s for owner in self.place for refs in self.refs(owner) for s in self.ours(refs.lazy)} - done
            if not lazy:
                return
            for symbol in sorted(lazy):
                done.add(symbol)
                if not is_late(self.program.item(symbol)):
                    self._claim_lazy(symbol, home(symbol.module, symbol.module.split(".")[-1], self.base))

    def _claim_lazy(self, symbol, out):
        # It is imported from where it belongs, not from where a copy of it is needed.
        held = self.place.get(symbol)
        if not held:
            self._claim(symbol, out)
        elif held not in (out, self.base) and self._may_be_copied(symbol):
            self._claim(symbol, out)
            self.copies[symbol] = self.copies[symbol] - {out} | {held}
            self.place[symbol] = out

    def is_in(self, symbol, out):
        """Whether the module `out` has `symbol`, of its own or as a copy."""
        return self.place.get(symbol) == out or out in self.copies.get(symbol, ())

    def outs(self):
        """The names of the modules."""
        return sorted(set(self.place.values()))

    def _claim(self, symbol, out):
        if is_late(self.program.item(symbol)):
            out = self.program.item(symbol).home
        elif f"{symbol.module}.{symbol.name}" in LASTING:
            out = self.base
        held = self.place.get(symbol)
        if held == self.base or self.is_in(symbol, out):
            return
        if held and out != self.base and self._may_be_copied(symbol):
            self.copies.setdefault(symbol, set()).add(out)
        else:
            self.place[symbol] = out = self.base if held else out  # two modules need it
            self.copies.pop(symbol, None)
        for refs in self.refs(symbol):
            for other in self.ours(refs.symbols):
                if not is_late(self.program.item(other)):
                    apart = out != self.base and not self._may_be_copied(other)
                    self._claim(other, home(other.module, out, self.base) if apart else out)

    def _may_be_copied(self, symbol):
        # A function or a value that is in two modules is in RAM only while they are; one that is
        # in the base is there all the time.
        item = self.program.item(symbol)
        if isinstance(item, FUNCTIONS):
            return not any(isinstance(n, ast.Global) for n in ast.walk(item))
        return isinstance(item, ast.Assign) and isinstance(item.value, (ast.Constant, ast.Tuple, ast.Dict))


def home(module, default, base="core"):
    """The module of the core that `module` of the library is for."""
    if module in TOGETHER:
        return base
    if module in ALONE:
        return module.split(".")[-1]
    return PHASES.get(module, default)


# Classes whose objects outlive the function that makes them.
LASTING = {"transports.Stream", "transports.wire.Body", "transports.wire.Link"}
# What knows what was before, and so is there once.
LASTING |= {"errors._error", "errors._errors", "errors._BASES", "errors._text", "bootguard._loaded"}
TOGETHER = {"channel", "errors", "storage", "storage.littlefs", "transports", "verifiers"}
ALONE = {"watch", "transports.retry", "patch", "legacy", "fileset", "attempts", "storage.flash"}
