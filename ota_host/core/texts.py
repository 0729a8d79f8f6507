"""What is needed only when something fails is not in RAM before: the texts of errors, and most of their classes.

A text of more than ten characters takes 64 bytes and more of a 64-bit heap. Those of errors go
into a file that is read a line at a time; an error whose class nothing catches gets it when it is raised.
"""

import ast
import re

from .program import FUNCTIONS, Symbol

FILE = "texts"
_LONG = 10  # characters of a text that MicroPython keeps as a name
_DIRECTIVE = re.compile(r"%(?!%)")

# Runs on a board. The three low bits of a number tell how many values its text takes.
_TEXT = '''
def _text(number):
    try:
        with open(__file__[:-8] + "texts") as f:  # instead of core.mpy
            for _ in range(number >> 3):
                f.readline()
            return f.readline()[:-1]
    except OSError:
        return "error %d" % (number >> 3) + ", %r" * (number & 7)
'''
_ERROR = '''
_errors = {}
_BASES = "BASES"

def _error(name):
    if name not in _errors:
        at = _BASES.find(" " + name + "=")
        if at < 0:
            raise AttributeError(name)
        at += len(name) + 2
        base = _BASES[at : _BASES.find(" ", at)]
        _errors[name] = type(name, (globals().get(base) or _error(base),), {})
    return _errors[name]
'''
ERROR = Symbol("errors", "_error")
TEXT = Symbol("errors", "_text")


def add_reader(program):
    """Give a Program that is not bound yet the functions that read a text, and make the class of an error."""
    program.replace("errors", _TEXT + _ERROR)


def move_texts(program, live):
    """Put the long texts of raise statements of the Symbols in `live` into a list, which is returned."""
    texts = []
    raising = {Symbol(m.name, n) for m in program.modules.values() for n, item in m.items.items() if _only_raises(item)}
    methods = {
        f.name
        for m in program.modules.values()
        for c in m.items.values()
        if isinstance(c, ast.ClassDef)
        for f in c.body
        if _only_raises(f)
    }
    methods |= {s.name.rpartition(".")[2] for s in raising if "." in s.name}
    for symbol in sorted(live):
        _Statements(texts, raising, methods).visit(program.item(symbol))
    return texts


def move_errors(program, live):
    """Let the classes of errors that have no more than a name be made when they are needed."""
    items = program.modules["errors"].items
    classes = [n for n in items if isinstance(items[n], ast.ClassDef) and n != "OtaError"]
    late = [n for n in classes if all(isinstance(part, ast.Pass) for part in items[n].body)]
    # What the module itself uses is a class from the start: made once more it would be another one.
    used = {n for s in live if s.module == "errors" and s.name not in late for n in _names(items[s.name])}
    for name in reversed(late):  # what is derived from stands before
        if name in used:
            used |= _names(items[name])
    late = [n for n in late if n not in used]
    bases = " " + "".join(f"{n}={items[n].bases[0].id} " for n in late)
    items["_BASES"].value = ast.Constant(bases)
    for symbol in sorted(live):
        if symbol.module != "errors":
            program.modules[symbol.module].items[symbol.name] = _Late(late).visit(program.item(symbol))


def _names(item):
    return {node.id for node in ast.walk(item) if isinstance(node, ast.Name)}


class _Late(ast.NodeTransformer):
    def __init__(self, names):
        self.names = names

    def visit_Name(self, node):
        symbol = getattr(node, "symbol", Symbol("", ""))
        if symbol.module != "errors" or symbol.name not in self.names:
            return node
        name = ast.Name("_error", ast.Load())
        name.symbol = ERROR
        return ast.Call(name, [ast.Constant(symbol.name)], [])


def _only_raises(node):
    return isinstance(node, FUNCTIONS) and isinstance(node.body[-1], ast.Raise) and len(node.body) == 1


class _Statements(ast.NodeVisitor):
    def __init__(self, texts, raising, methods):
        self.texts = texts
        self.raising = raising
        self.methods = methods

    def visit_Raise(self, node):
        _Texts(self.texts).visit(node)

    def visit_Expr(self, node):
        call = node.value
        if isinstance(call, ast.Call):
            name = getattr(call.func, "attr", "")
            if getattr(call.func, "symbol", None) in self.raising or name in self.methods:
                _Texts(self.texts).visit(call)


class _Texts(ast.NodeTransformer):
    def __init__(self, texts):
        self.texts = texts

    def visit_Constant(self, node):
        text = node.value
        if not isinstance(text, str) or len(text) <= _LONG or "\n" in text:
            return node
        if text not in self.texts:
            self.texts.append(text)
        number = self.texts.index(text) << 3 | len(_DIRECTIVE.findall(text))
        name = ast.Name("_text", ast.Load())
        name.symbol = TEXT
        return ast.Call(name, [ast.Constant(number)], [])
