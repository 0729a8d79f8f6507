"""Constants written out where they are used: a global costs a place in its module's table, and its name."""

import ast
import re

from .program import Symbol

_DIRECTIVE = re.compile(r"%(%|0?\d*[dsrXx])")
_SHORT = 10  # characters of a text that MicroPython keeps as a name, once for all


def write_out(program):
    """Put the constants of a Program in the place of their names, and fold what follows from it."""
    values = {}
    uses = {}
    for module in program.modules.values():
        for item in module.items.values():
            for node in ast.walk(item):
                symbol = getattr(node, "symbol", None)
                if symbol:
                    uses[symbol] = uses.get(symbol, 0) + 1
    changing = {(m.name, n) for m in program.modules.values() for item in m.items.values() for n in _globals(item)}
    for symbol in list(uses):
        if (symbol.module, symbol.name) in changing or symbol.name in ("_HOMES", "_BASES", "_loaded"):
            continue
        item = program.modules[symbol.module].items.get(symbol.name) if symbol.is_ours else None
        value = item and _value(item)
        if value is not None and (_is_small(value) or uses[symbol] <= 2):  # one is where it is set
            values[symbol] = value
    for module in program.modules.values():
        for name, item in module.items.items():
            module.items[name] = _Constants(values).visit(item)


def merge_empty(program, roots):
    """Let the base of a class that adds nothing to it stand for it, errors and `roots` aside."""
    same = {}
    for module in program.modules.values():
        for name, item in module.items.items():
            symbol = Symbol(module.name, name)
            if isinstance(item, ast.ClassDef) and len(item.bases) == 1 and isinstance(item.body[0], ast.Pass):
                if module.name != "errors" and symbol not in roots and hasattr(item.bases[0], "symbol"):
                    same[symbol] = item.bases[0].symbol
    for module in program.modules.values():
        for item in module.items.values():
            for node in ast.walk(item):
                if getattr(node, "symbol", None) in same:
                    node.symbol = same[node.symbol]
                if hasattr(node, "symbols"):
                    node.symbols = [same.get(s, s) for s in node.symbols]


def _globals(item):
    return [name for node in ast.walk(item) if isinstance(node, ast.Global) for name in node.names]


def _value(item):
    if not isinstance(item, ast.Assign) or len(item.targets) != 1 or not isinstance(item.targets[0], ast.Name):
        return None
    value = item.value
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    return value if all(isinstance(p, ast.Constant) and p.value is not None for p in parts) else None


def _is_small(node):
    value = getattr(node, "value", None)
    return isinstance(value, int) or isinstance(value, str) and len(value) <= _SHORT


class _Constants(ast.NodeTransformer):
    def __init__(self, values):
        self.values = values

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load):
            return self.values.get(getattr(node, "symbol", None), node)
        return node

    def visit_ImportFrom(self, node):
        if hasattr(node, "symbols"):
            stay = [i for i, s in enumerate(node.symbols) if s not in self.values]
            node.symbols = [node.symbols[i] for i in stay]
            node.names = [node.names[i] for i in stay]
        return node if node.names else None

    def visit_BinOp(self, node):
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(left, ast.Constant) and isinstance(left.value, str):
            if isinstance(node.op, ast.Add) and isinstance(right, ast.Constant) and isinstance(right.value, str):
                return ast.Constant(left.value + right.value)
            if isinstance(node.op, ast.Mod):
                return _format(left.value, right) or node
        return node


def _format(text, right):
    # "over %d of %r" % (64, x) is "over 64 of %r" % (x,)
    args = right.elts if isinstance(right, ast.Tuple) else [right]
    directives = [m for m in _DIRECTIVE.finditer(text) if m[1] != "%"]
    known = [isinstance(a, ast.Constant) and type(a.value) is int for a in args]
    if not any(known) or len(directives) != len(args) or "%%" in text:
        return None
    for m, a, k in reversed(list(zip(directives, args, known, strict=True))):
        if k:
            text = text[: m.start()] + m[0] % a.value + text[m.end() :]
    rest = [a for a, k in zip(args, known, strict=True) if not k]
    if not rest:
        return ast.Constant(text)
    return ast.BinOp(ast.Constant(text), ast.Mod(), ast.Tuple(rest, ast.Load()))
