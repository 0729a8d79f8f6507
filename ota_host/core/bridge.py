"""What a core has of `bootguard`: the whole of it as a module of its own, in RAM only while it is needed.

The texts below run on a board. `package._home` is the folder of the first look at the board's
state; a bootguard that is loaded again later, when the application may have gone elsewhere, gets it.
"""

import ast

from .program import Symbol

_GUARD = """
def _guard(done=None):
    package = sys.modules["ota"]
    if not done:
        guard = __import__("bootguard", globals(), None, ("load",), 1)
        guard._home = package._home or guard._home
        return guard
    package._home = done._home
    if done.problems:
        package.problem = done.problems[-1]
    _drop("bootguard")

def _drop(name):
    if sys.modules.pop("ota." + name, None):
        delattr(sys.modules["ota"], name)
"""

# In place of what bootguard has under these names, for all modules but those of TRANSIENT.
BRIDGE = _GUARD + """
def _where():
    package = sys.modules["ota"]
    guard = sys.modules.get("ota.bootguard")
    if guard:
        _guard(guard)
    package._home = package._home or os.getcwd()
    return package._home

def lean():
    pass

def advance(root, state, booting=False):
    guard = _guard()
    try:
        return guard.advance(root, state, booting)
    finally:
        _guard(guard)
"""

# A module whose functions are called now and then, and leave nothing in RAM.
TRANSIENT = _GUARD + """
def _forget(guard, names):
    _guard(guard)
    _drop(names[0])
    for name in names[1:]:
        try:
            delattr(sys.modules["ota"], name)
        except (AttributeError, KeyError):
            pass
"""

# One of its functions; the body takes the place of `pass`.
CALL = """
guard = _guard()
try:
    pass
finally:
    _forget(guard, _NAMES)
"""


def bridge(program):
    """Let what a Program has of bootguard load the whole of it for what moves live files.

    Raises:
        ValueError: bootguard is not what the texts here were written for.
    """
    guard = program.modules["bootguard"]
    for name in ("_home", "problems", "advance", "boot"):
        if name not in guard.items:
            raise ValueError(f"ota/bootguard.py has no {name}, which the core is made with")
    guard.imports["sys"] = Symbol("!sys", "")
    program.replace("bootguard", BRIDGE)
    del guard.items["boot"], guard.items["_home"]
    for module in program.modules.values():
        for name, item in module.items.items():
            module.items[name] = _Home().visit(item)


class _Home(ast.NodeTransformer):
    # Where the board's state lies is found out at the first use, as when bootguard is imported.
    def visit_Name(self, node):
        if node.id == "_home":
            return ast.Call(ast.Name("_where", ast.Load()), [], [])
        return node
