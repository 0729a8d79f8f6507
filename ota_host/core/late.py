"""Methods that are not in RAM all the time: their class finds them in a module of their own when they are called."""

import ast

from .program import Symbol

# Where methods, functions and classes go. What is not here, or not there any more, stays where it is.
LATE = {
    "bootguard.load": "state",
    "bootguard._record": "state",
    "bootguard.save": "state",
    "bootguard.sum_of": "state",
    "bootguard.unsound": "state",
    "channel.Channel._ask": "find",
    "channel.Channel._known": "find",
    "channel.Channel._tagged": "find",
    "channel.Channel._receive": "manifest",
    "channel.Channel._whole": "find",
    "channel.Channel.find": "find",
    "channel.Channel._fetch": "place",
    "channel.Channel._stage_file": "place",
    "manifest.Reader": "manifest",
    "policy.clock": "check",
    "policy.judge": "check",
    "staging.adopt": "state",
    "staging.check_space": "state",
    "staging.drop": "state",
    "transports.Stream.__init__": "open",
    "transports.Transport.open": "open",
    "transports.http.HttpTransport.__init__": "setup",
    "transports.http.HttpTransport._connect": "open",
    "transports.http.HttpTransport._exchange": "open",
    "transports.http.HttpTransport._open": "open",
    "transports.http.HttpTransport._redirect": "rare",
    "transports.wire.Body.__init__": "open",
    "transports.wire.Body._next_chunk": "rare",
    "transports.wire.Body.drop": "rare",
    "transports.wire.Link.__init__": "open",
    "updater.Updater.__init__": "setup",
    "updater.Updater.check": "setup",
    "updater.Updater.device_id": "setup",
    "updater.Updater.install": "setup",
    "updater.Updater.run_async": "setup",
    "updater.Updater.stage": "setup",
    "verifiers.Verifier.authenticate": "check",
    "verifiers.signature.SignatureVerifier.__init__": "setup",
    "verifiers.signature.SignatureVerifier._authenticate": "check",
    "verifiers.signature.SignatureVerifier._begin": "find",
}

# Runs on a board. Of these modules the last one is loaded, and an older one only as long as it runs.
_FIND = """
_last = ""
_HOMES = "HOMES"

def _find(name):
    global _last
    # Not split: that would take more RAM than it saves.
    at = _HOMES.find(" " + name + "=")
    if at < 0:
        raise AttributeError(name)
    at += len(name) + 2
    home = _HOMES[at : _HOMES.find(" ", at)]
    if _last != home:
        _drop(_last)
        _last = home
        gc.collect()
    return getattr(__import__(home, globals(), None, (name,), 1), name)

def _late(self, name):
    method = _find(name)
    return lambda *args, **kwargs: method(self, *args, **kwargs)
"""
# Stays in a class where another method would be found first.
_STUB = """
def %s(self, *args, **kwargs):
    return self.%s(*args, **kwargs)
"""
# Garbage is collected often during an update, so that what is loaded late finds room in one piece.
_STEPS = """
def steps(self):
    before = gc.threshold()
    gc.threshold(1024)
    try:
        yield from self._every_step()
    finally:
        gc.threshold(before)
"""
FINDER = Symbol("bootguard", "_find")
ATTRIBUTE = Symbol("bootguard", "_late")


def is_late(item):
    """Whether a statement is a function or class that is not loaded with its module."""
    return hasattr(item, "home")


def split(program):
    """Take what is in `LATE` out of its class or module, before the Program is bound.

    A method becomes the item `Class.method` of its module, and its class gets the attribute
    `late`: name of the method -> its Symbol. Each item gets the attribute `home`.
    """
    program.replace("bootguard", _FIND)
    program.modules["bootguard"].imports["gc"] = Symbol("!gc", "")
    updater = program.modules["updater"]
    updater.imports["gc"] = Symbol("!gc", "")
    cls = updater.items["Updater"]
    next(n for n in cls.body if getattr(n, "name", "") == "steps").name = "_every_step"
    cls.body += ast.parse(_STEPS).body
    for path, home in LATE.items():
        module, _, name = path.rpartition(".")
        if module in program.modules:
            item = program.modules[module].items.get(name)
        else:
            module, _, cls = module.rpartition(".")
            item = module in program.modules and _method(program, program.modules[module], cls, name)
        if item:
            item.home = home


def _method(program, module, cls, name):
    node = module.items.get(cls)
    function = next((n for n in node.body if getattr(n, "name", "") == name), None) if node else None
    if not function:
        return None
    if any(isinstance(n, ast.Name) and n.id == "super" for n in ast.walk(function)):
        raise ValueError(f"ota/{module.name}: {cls}.{name} calls super(), and cannot leave its class")
    at = node.body.index(function)
    if name == "__init__" or _inherits(program, module, node, name):
        stub = _STUB % (name, f"_{name.strip('_')}_{cls.lower()}")
        name = function.name = f"_{name.strip('_')}_{cls.lower()}"
        node.body[at] = ast.parse(stub).body[0]
    else:
        node.body[at : at + 1] = [] if len(node.body) > 1 else [ast.Pass()]
    symbol = Symbol(module.name, f"{cls}.{name}")
    module.items[symbol.name] = function
    node.late = {**getattr(node, "late", {}), name: symbol}
    return function


def _inherits(program, module, node, method):
    # Whether a class has `method` from another one as well.
    for base in node.bases:
        symbol = program.find(Symbol(module.name, getattr(base, "id", "")))
        above = program.modules[symbol.module].items.get(symbol.name) if symbol.is_ours else None
        if above and any(getattr(n, "name", "") == method for n in above.body):
            return True
        if above and _inherits(program, program.modules[symbol.module], above, method):
            return True
    return False
