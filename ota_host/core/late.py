"""Methods that are not in RAM all the time: their class finds them in a module of their own when they are called."""

import ast

from .program import Symbol

# Where methods go. What is not here, or not there any more, stays in its class.
LATE = {
    "updater.Updater.__init__": "setup",
    "updater.Updater.device_id": "setup",
    "updater.Updater.check": "setup",
    "updater.Updater.stage": "setup",
    "updater.Updater.install": "setup",
    "updater.Updater.run_async": "setup",
    "transports.http.HttpTransport.__init__": "setup",
    "transports.http.HttpTransport._redirect": "rare",
    "transports.wire.Body._next_chunk": "rare",
    "transports.wire.Body.drop": "rare",
    "verifiers.signature.SignatureVerifier.__init__": "setup",
    "verifiers.signature.SignatureVerifier._begin": "find",
    "verifiers.signature.SignatureVerifier._authenticate": "check",
    "verifiers.Verifier.authenticate": "check",
    "channel.Channel.find": "find",
    "channel.Channel._stage_file": "place",
}

# Runs on a board. A module of the last word's kind is read for one call, the others stay until
# the next part of the update.
_FIND = """
def _late(self, name):
    words = "HOMES".split()
    for i in range(0, len(words), 2):
        if words[i] == name:
            home = words[i + 1]
            method = getattr(__import__(home, globals(), None, (name,), 1), name)
            if home in ("setup", "rare"):
                _drop(home)
            return lambda *args, **kwargs: method(self, *args, **kwargs)
    raise AttributeError(name)
"""
_INIT = """
def __init__(self, *args, **kwargs):
    self.%s(*args, **kwargs)
"""
FINDER = Symbol("bootguard", "_late")


def split(program):
    """Take the methods of `LATE` out of their classes: each becomes the item `Class.method` of its module.

    The class gets the attribute `late`: name of the method -> its Symbol.
    """
    program.replace("bootguard", _FIND)
    for path, home in LATE.items():
        path, _, method = path.rpartition(".")
        module, _, name = path.rpartition(".")
        node = program.modules[module].items.get(name) if module in program.modules else None
        function = next((n for n in node.body if getattr(n, "name", "") == method), None) if node else None
        if not function:
            continue
        if any(isinstance(n, ast.Name) and n.id == "super" for n in ast.walk(function)):
            raise ValueError(f"ota/{module}.py: {name}.{method} calls super(), and cannot leave its class")
        at = node.body.index(function)
        if method == "__init__":
            method = function.name = "_init_" + name.lower()
            node.body[at] = ast.parse(_INIT % method).body[0]
        else:
            node.body[at : at + 1] = [] if len(node.body) > 1 else [ast.Pass()]
        symbol = Symbol(module, f"{name}.{method}")
        program.modules[module].items[symbol.name] = function
        function.home = home
        node.late = {**getattr(node, "late", {}), method: symbol}
