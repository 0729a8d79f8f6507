"""Methods that are not in RAM all the time: their class finds them in a module of their own when they are called."""

import ast

from .program import Symbol

# The modules have names that every firmware knows: another takes RAM. None may be one that the
# package itself uses, as `open`, which it would hide there.
# What goes with whoever calls it, as a copy in each of their modules.
WITH_CALLERS = ""
# Where methods, functions and classes go. What is not here stays where it is.
LATE = {
    "bootguard.load": "state",
    "bootguard._record": "state",
    "bootguard.reset": "errno",
    "bootguard.save": "state",
    "bootguard.sum_of": "state",
    "bootguard.unsound": "state",
    "channel.Channel.__init__": WITH_CALLERS,
    "channel.Channel._ask": "find",
    "channel.Channel._tagged": "find",
    "channel.Channel._anew": "find",
    "channel.Channel._take": WITH_CALLERS,
    "channel.Channel.find": "find",
    "channel.Channel._begin": "next",
    "channel.Channel._known": WITH_CALLERS,
    "channel.Channel._receive": WITH_CALLERS,
    "errors.refused": "errno",
    "fetch.check_free": "listdir",
    "fetch.blocks": "listdir",
    "manifest.Reader": "readlines",
    "plan.plan": "map",
    "staging.adopt": "listdir",
    "staging.check_space": "listdir",
    "staging.drop": "state",
    "storage.Storage.__init__": WITH_CALLERS,
    "storage.Storage.remove": "mount",
    "storage.Storage.replace": "mount",
    "storage.Storage.list": "mount",
    "storage.Storage.mkdir": "mount",
    "storage.Storage.free": "mount",
    "storage.Storage._remove": "mount",
    "storage.Storage._fail": "mount",
    "storage.Storage._free_of": "mount",
    "storage.Storage._replace": "mount",
    "storage.Storage._list": "mount",
    "storage.Storage._mkdir": "mount",
    "storage.Storage._free": "mount",
    "transports.Lines.__init__": WITH_CALLERS,
    "transports.Stream.__init__": "recv",
    "transports.Stream._fail": "errno",
    "transports.Transport.open": "recv",
    "transports.http.HttpTransport.__init__": "main",
    "transports.http.HttpTransport._check_scheme": WITH_CALLERS,
    "transports.http.HttpTransport._connect": "connect",
    "transports.http.HttpTransport._exchange": "recv",
    "transports.http.HttpTransport._open": "recv",
    "transports.http._failed": "errno",
    "transports.http._refused": "errno",
    "transports.http._ranged": "errno",
    "transports.wire.Body.__init__": "recv",
    "transports.wire.Body._line": "errno",
    "transports.wire.Body._next_chunk": "errno",
    "transports.wire.Link.__init__": WITH_CALLERS,
    "transports.wire.Link.send": "recv",
    "transports.wire.drop": "errno",
    "transports.wire.fields": "recv",
    "transports.wire.read_head": "recv",
    "transports.url.head": "main",
    "transports.url.join": "errno",
    "transports.url.root": "main",
    "transports.url.split": "errno",
    "transports.why.again": "errno",
    "transports.why.final": "errno",
    "transports.why.say": "errno",
    "updater.Release.__init__": WITH_CALLERS,
    "updater.Release.take": "find",
    "updater.Updater.__init__": "main",
    "updater.Updater.check": "main",
    "updater.Updater.device_id": "find",
    "updater.Updater.install": "main",
    "updater.Updater.run_async": "main",
    "updater.Updater.stage": "main",
    "updater.Updater._find": "find",
    "updater.Updater._finish": "errno",
    "verifiers.Verifier.begin": "find",
    "verifiers.Verifier.authenticate": "digest",
    "verifiers.signature.SignatureVerifier.__init__": "main",
    "verifiers.signature.SignatureVerifier._authenticate": "digest",
    "verifiers.signature.SignatureVerifier._begin": "find",
}

# The modules that are loaded while one of the others runs, and how deep: one takes the place of
# what is loaded as deep as it is or deeper, and what is deepest goes when any other is asked for.
# What was replaced while it runs stays for as long.
DEPTHS = {"digest": 1, "recv": 1, "readlines": 1, "state": 1, "connect": 2, "errno": 2, "mount": 2}

# Runs on a board.
_FIND = """
_loaded = ["", "", ""]
_HOMES = "HOMES"

def _find(name):
    # Not split: that would take more RAM than it saves.
    at = _HOMES.find(" " + name + " ")
    if at < 0:
        raise AttributeError(name)
    at = _HOMES.rfind(";", 0, at) + 1
    home = _HOMES[at + 1 : _HOMES.find(" ", at)]
    depth = at = int(_HOMES[at : at + 1])
    if _loaded[depth] == home:
        at = max(2, depth + 1)
    while at < 3:
        _drop(_loaded[at])
        _loaded[at] = ""
        at += 1
    if _loaded[depth] != home:
        gc.collect()
        _loaded[depth] = home
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
_STORAGES = {"Storage", "LittlefsStorage", "FlashStorage"}
FINDER = Symbol("bootguard", "_find")
ATTRIBUTE = Symbol("bootguard", "_late")
# What is loaded before the first of these needs RAM for more than its code.
_FIRST = {("place", "stage_file"): Symbol("transports", "Transport.open")}


def is_late(item):
    """Whether a statement is a function or class that is not loaded with its module."""
    return hasattr(item, "home")


def split(program, outside=()):
    """Take what is in `LATE` out of its class or module, before the Program is bound.

    A method becomes the item `Class.method` of its module, and its class gets the attribute
    `late`: name of the method -> its Symbol. Each item gets the attribute `home`, unless it goes
    with its callers.

    Args:
        program (Program): the library.
        outside (set of str): names of classes that the application makes, or derives from.
    """
    program.replace("bootguard", _FIND)
    program.modules["bootguard"].imports["gc"] = Symbol("!gc", "")
    _drop_hook(program, outside)
    _forget_unload(program)
    for path, home in LATE.items():
        module, _, name = path.rpartition(".")
        if module in program.modules:
            item = program.modules[module].items.get(name)
        else:
            module, _, cls = module.rpartition(".")
            item = module in program.modules and _method(program, program.modules[module], cls, name, home, outside)
        if item and home != WITH_CALLERS:
            item.home = home


def _drop_hook(program, outside):
    # Who makes no transport of its own never meets the base's word for one without the hook.
    cls = program.modules["transports"].items["Transport"]
    if "Transport" not in outside:
        cls.body = [n for n in cls.body if getattr(n, "name", "") != "_open"]


def _forget_unload(program):
    # The last late module gives way to the next one anyway. But what a call has put on the stack of
    # a generator, as the manifest's reader, stays there until another call takes the place.
    channel = program.modules["channel"]
    channel.items["_unload"] = ast.parse("def _unload(*names):\n    pass").body[0]
    for node in (n for item in channel.items.values() for n in ast.walk(item)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_unload":
            node.args = [ast.Constant(0)] * 4


def _made_outside(program, node, outside):
    # Whether its __init__ is called where no call can be put in its place.
    classes = [node, *_below(program, node)]
    return any(c.name in outside for c in classes) or _overrides(program, node, "__init__")


def _method(program, module, cls, name, home, outside):
    node = module.items.get(cls)
    function = next((n for n in node.body if getattr(n, "name", "") == name), None) if node else None
    if not function or module.name == "storage" and outside & _STORAGES:  # they reach it by super()
        return None
    if any(isinstance(n, ast.Name) and n.id == "super" for n in ast.walk(function)):
        raise ValueError(f"ota/{module.name}: {cls}.{name} calls super(), and cannot leave its class")
    made_here = name == "__init__" and not _made_outside(program, node, outside)
    inherits = _inherits(program, module, node, name)
    if home == WITH_CALLERS and (inherits or name == "__init__" and not made_here):
        return None
    at = node.body.index(function)
    symbol = Symbol(module.name, f"{cls}.{name}")
    if made_here:
        function.body.append(ast.parse("return self").body[0])
        node.maker = symbol
    if name == "__init__" and not made_here or inherits:
        stub = _STUB % (name, f"_{name.strip('_')}_{cls.lower()}")
        name = function.name = f"_{name.strip('_')}_{cls.lower()}"
        symbol = Symbol(module.name, f"{cls}.{name}")
        node.body[at] = ast.parse(stub).body[0]
    else:
        node.body[at : at + 1] = [] if len(node.body) > 1 else [ast.Pass()]
    module.items[symbol.name] = function
    if home != WITH_CALLERS and not made_here:
        node.late = {**getattr(node, "late", {}), name: symbol}
    else:
        node.apart = {**getattr(node, "apart", {}), name: symbol}
    return function


def call_directly(program):
    """Spare the search for what has left its class, in a Program that is bound.

    `self._connect(host)` becomes `_connect(self, host)` where both are functions of one module, or
    the one goes with its callers. Of a class whose `__init__` went with its callers, `Link(sock)`
    becomes the call of that with an empty object.
    """
    for (module, name), symbol in _FIRST.items():
        program.modules[module].items[name].body.insert(0, ast.Expr(_name(symbol)))
    for module in program.modules.values():
        classes = [n for n in module.items.values() if isinstance(n, ast.ClassDef)]
        for cls in classes:
            _Direct(program, cls).visit(cls)
            for symbol in (*getattr(cls, "late", {}).values(), *getattr(cls, "apart", {}).values()):
                _Direct(program, cls, getattr(program.item(symbol), "home", None)).visit(program.item(symbol))
        for item in module.items.values():
            _Made(program).visit(item)


class _Direct(ast.NodeTransformer):
    def __init__(self, program, cls, home=None):
        self.program = program
        self.cls = cls
        self.home = home  # of the caller

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "self":
            symbol = self._function(node.func.attr)
            if symbol:
                node.func = _name(symbol)
                node.args.insert(0, ast.Name("self", ast.Load()))
        return node

    def _function(self, name):
        if name in getattr(self.cls, "apart", {}):
            return self.cls.apart[name]
        symbol = getattr(self.cls, "late", {}).get(name)
        # What an application, or a class of ours, may have put in its place is looked up.
        mine = symbol and name[0] == "_" and self.program.item(symbol).home == self.home
        return symbol if mine and not _overrides(self.program, self.cls, name) else None


class _Made(ast.NodeTransformer):
    def __init__(self, program):
        self.program = program

    def visit_Call(self, node):
        self.generic_visit(node)
        symbol = getattr(node.func, "symbol", None)
        maker = symbol and symbol.is_ours and _maker(self.program, symbol)
        if not maker:
            return node
        return ast.Call(_name(maker), [ast.Call(node.func, [], []), *node.args], node.keywords)


def _maker(program, symbol):
    item = program.modules[symbol.module].items.get(symbol.name)
    if not isinstance(item, ast.ClassDef) or any(getattr(n, "name", "") == "__init__" for n in item.body):
        return None
    if hasattr(item, "maker"):
        return item.maker
    return _maker(program, item.bases[0].symbol) if item.bases and hasattr(item.bases[0], "symbol") else None


def _name(symbol):
    name = ast.Name(symbol.name, ast.Load())
    name.symbol = symbol
    return name


def _below(program, cls):
    # The classes that have `cls` as a base.
    for module in program.modules.values():
        for item in module.items.values():
            if isinstance(item, ast.ClassDef) and any(getattr(b, "id", "") == cls.name for b in item.bases):
                yield item
                yield from _below(program, item)


def _overrides(program, cls, name):
    return any(getattr(n, "name", "") == name for below in _below(program, cls) for n in below.body)


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
