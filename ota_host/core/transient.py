"""`confirm`, `rollback` and `status`: they use the real `bootguard`, and take it out of RAM again."""

import ast

from .bridge import CALL, TRANSIENT
from .program import FUNCTIONS, Symbol


def transient(program, name):
    """The module `name` of the library (ast.Module), whose functions leave nothing loaded.

    Raises:
        ValueError: it is not made of functions over bootguard alone.
    """
    module = program.modules[name]
    public = [n for n in module.items if not n.startswith("_")]
    std = {"sys"}
    for item in module.items.values():
        if not isinstance(item, FUNCTIONS):
            raise ValueError(f"ota/{name}.py: line {item.lineno} is no function")
        for node in ast.walk(item):
            symbol = getattr(node, "symbol", None)
            if symbol and not symbol.is_ours and not symbol.name:
                std.add(symbol.module[1:])
            elif symbol and symbol.module not in ("bootguard", "errors", name):
                raise ValueError(f"ota/{name}.py: line {node.lineno} uses {symbol.module}")
    body = ast.parse("".join(f"import {m}\n" for m in sorted(std)) + TRANSIENT).body
    names = ast.parse(repr((name, *public)), mode="eval").body
    for item in module.items.values():
        over = any(getattr(node, "symbol", Symbol("", "")).module == "bootguard" for node in ast.walk(item))
        item = _Through().visit(item)
        if over:
            call = ast.parse(CALL).body
            call[1].body, call[1].finalbody[0].value.args[1] = item.body, names
            item.body = call
        body.append(item)
    return ast.fix_missing_locations(ast.Module(body, []))


class _Through(ast.NodeTransformer):
    # `load` becomes `guard.load`.
    def visit_Name(self, node):
        symbol = getattr(node, "symbol", Symbol("", ""))
        if symbol.module == "bootguard":
            return ast.Attribute(ast.Name("guard", ast.Load()), symbol.name, node.ctx)
        return node
