"""The library uses nothing that the stock firmware of an ESP8266 lacks."""

import ast

import pytest
from test_fences import BOARD, name

# From ports/esp8266/mpconfigport.h of MicroPython 1.21 to 1.29: what it leaves out of the level of
# features that it has.
METHODS = {"partition", "rpartition", "splitlines", "center", "indices", "hexdigest", "md5"}
FUNCTIONS = {"compile", "execfile", "complex", "NotImplemented"}
SPECIAL = {"__setattr__", "__delattr__"}
OF_MODULES = {
    ("binascii", "crc32"),
    *(("random", name) for name in ("randrange", "randint", "choice", "random", "uniform")),
    *(("sys", name) for name in ("ps1", "ps2")),
}


def lacking(source):
    """What a source uses that such a board lacks: (line, name)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            home = node.value
            if isinstance(home, ast.Call) and home.args and isinstance(home.args[0], ast.Constant):
                home = home.args[0].value  # own("random").choice
            else:
                home = getattr(home, "id", "")
            if node.attr in METHODS or (home, node.attr) in OF_MODULES:
                yield node.lineno, node.attr
        elif isinstance(node, ast.Name) and node.id in FUNCTIONS:
            yield node.lineno, node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in SPECIAL:
            yield node.lineno, node.name
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "pow" and len(node.args) > 2:
            yield node.lineno, "pow"
        elif isinstance(node, ast.Constant) and isinstance(node.value, complex):
            yield node.lineno, "complex"


@pytest.mark.parametrize("path", BOARD, ids=name)
def test_a_board_file_uses_nothing_that_an_esp8266_lacks(path):
    assert list(lacking(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "a, _, b = text.partition('=')",
        "text.rpartition('/')[2]",
        "crc32 = own('binascii').crc32",
        "binascii.crc32(b'')",
        "pow(2, 3, 5)",
        "own('random').randint(1, 2)",
        "data.splitlines()",
        "s.indices(4)",
        "x = 1j",
        "class A:\n    def __setattr__(self, name, value):\n        pass",
    ],
)
def test_what_it_lacks_is_found_wherever_it_stands(source):
    assert list(lacking(source))


@pytest.mark.parametrize("source", ["pow(2, 3)", "getattr(own('binascii'), 'crc32', mine)", "own('random').getrandbits(8)", "text.find('=')"])
def test_what_it_has_is_not_found(source):
    assert not list(lacking(source))


def test_the_checksum_of_a_board_without_one_is_that_of_the_others():
    """A board that has no `binascii.crc32` reads the manifests and states of one that has."""
    import binascii

    import ota.bootguard

    data = bytes(range(256)) * 3
    for size in (0, 1, 4, 255, 768):
        assert ota.bootguard._crc32(data[:size]) == binascii.crc32(data[:size])
        assert ota.bootguard._crc32(data[size:], ota.bootguard._crc32(data[:size])) == binascii.crc32(data)
