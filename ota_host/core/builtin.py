"""`own("json")` of the library read as `import json`, and written back: what a core does with imports knows no calls."""

import ast

_SAFE = {"sys", "gc", "errno"}  # what no file on the flash can hide, and what the core itself is made with


def _owned(node):
    # (module, attribute or None, more arguments) of `own("m")` or `own("m").attr`.
    attribute = None
    if isinstance(node, ast.Attribute):
        attribute, node = node.attr, node.value
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("own", "_own") and isinstance(node.args[0], ast.Constant):
        return node.args[0].value, attribute
    return None


class Plain(ast.NodeTransformer):
    """Makes imports of the assignments of `own`; what functions import of bootguard goes to the top."""

    def __init__(self):
        self.hoisted = []

    def visit_Assign(self, node):
        found = _owned(node.value)
        if not found or not isinstance(node.targets[0], ast.Name):
            return self.generic_visit(node)
        (module, attribute), name = found, node.targets[0].id
        alias = ast.alias(attribute or module, None if name == (attribute or module) else name)
        made = ast.ImportFrom(module, [alias], 0) if attribute else ast.Import([alias])
        return ast.copy_location(made, node)

    def visit_ImportFrom(self, node):
        if node.level and node.module == "bootguard":
            self.hoisted.append(node)
            return None
        return None if node.level and [a.name for a in node.names] == ["own"] else node

    def visit_FunctionDef(self, node):
        return node if node.name in ("own", "_own") else self.generic_visit(node)


class Owned(ast.NodeTransformer):
    """Makes assignments of `own` again, and imports it."""

    def __init__(self):
        self.used = False

    def visit_Import(self, node):
        return [self._assign(a.asname or a.name, a.name) or ast.Import([a]) for a in node.names]

    def visit_ImportFrom(self, node):
        if node.level or node.module in _SAFE:
            return node
        return [self._assign(a.asname or a.name, node.module, a.name) for a in node.names]

    def _assign(self, name, module, attribute=None):
        if module in _SAFE:
            return None
        self.used = True
        value = ast.Call(ast.Name("own", ast.Load()), [ast.Constant(module)], [])
        if attribute:
            value = ast.Attribute(value, attribute, ast.Load())
        return ast.Assign([ast.Name(name, ast.Store())], value)

    def module(self, tree):
        """`tree` (ast.Module) with its imports of built-in modules made safe."""
        tree = self.visit(tree)
        if self.used:
            tree.body.insert(0, ast.ImportFrom("builtin", [ast.alias("own")], 1))
        return ast.fix_missing_locations(tree)
