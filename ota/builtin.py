"""MicroPython's own modules, whatever lies on the flash."""

import sys


def own(name, *uses):
    """The built-in module `name` (str), whatever lies on the flash or was loaded under that name.

    MicroPython looks in the file system before most built-in modules, and takes any folder for a
    package. `uses` are the modules that one written in Python imports.
    """
    module = sys.modules.get(name)
    # What has no file is built in, or the test board's; an ESP8266 tells of none. An application has
    # one asyncio.
    if name == "asyncio":
        known = hasattr(module, "sleep")
    else:
        known = "__file__" in globals() and not hasattr(module, "__file__") and not hasattr(module, "__path__")
    if module and known:
        return module
    if sys.implementation.name != "micropython":
        return __import__(name)
    path = sys.path[:]
    loaded = [(key, sys.modules.pop(key)) for key in (name,) + uses if key in sys.modules]
    try:
        sys.path[:] = [".frozen"]
        return __import__(name)
    finally:
        sys.path[:] = path
        sys.modules.update(loaded)
