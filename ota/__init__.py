"""Over-the-air updates for MicroPython boards: the public names, each loaded on first use."""

import gc
import sys

# A module and the names that it holds, for each.
_HOMES = "updater Updater Release;bootguard boot;trial confirm rollback status;guard launch feed;watch Watch;clock set_clock;transports Transport;transports.http HttpTransport;transports.https HttpsTransport;transports.sd SdTransport;transports.mirror MirrorTransport;storage Storage;storage.littlefs LittlefsStorage;storage.flash FlashStorage;verifiers Verifier NoneVerifier Sha256Verifier;verifiers.signature SignatureVerifier;verifiers.tuf TufVerifier;errors OtaError;legacy ota_update check_for_ota_update"


def own(name, *uses):
    """The built-in module `name` (str), whatever lies on the flash or was loaded under that name.

    MicroPython looks in the file system before most built-in modules, and takes any folder for a
    package. `uses` are the modules that one written in Python imports.
    """
    module = sys.modules.get(name)
    # What has no file is built in, or the test board's; an ESP8266 tells of none. An application has
    # one asyncio.
    known = name == "asyncio" or "__file__" in globals()
    if module and known and (name == "asyncio" or not hasattr(module, "__file__") and not hasattr(module, "__path__")):
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


def boot(root=None):
    """See `ota.bootguard.boot`, which is loaded only when there is something to do.

    Returns:
        str: what could not be done, else None.
    """
    global _home
    if root is None:
        _home = own("os").getcwd()
    # Names that the firmware has cost no RAM: hence these.
    value = True
    path = (root + "/" if root else "") + ".ota/state"
    try:
        with open(path, "rb") as f:
            value = f.read(7) == b'["idle"'
        open(path + ".new").close()
    except OSError as e:
        if e.errno == 2 and value:
            return
    try:
        guard = __import__("bootguard", globals(), None, ("boot",), 1)
        why = guard.boot(root)
        getattr(guard, "lean", int)()  # an older one has none
        return why
    except Exception as e:  # in boot.py it would keep main.py from running
        return repr(e)


def __getattr__(name):
    values = []
    for line in _HOMES.split(";"):
        path, *keys = line.split()
        if name in keys:
            # As `storage.guarded` does.
            threshold = getattr(gc, "threshold", int)
            before = threshold()
            threshold(max(1024, getattr(gc, "mem_free", int)() // 16))
            try:
                value = getattr(__import__(path, globals(), None, (name,), 1), name)
            except MemoryError:
                from .errors import ours

                with ours:
                    raise
            finally:
                threshold(before)
            globals()[name] = value
            return value
        values += keys
    if name == "__all__":
        return values
    raise AttributeError(name)
