"""Over-the-air updates for MicroPython boards: the public names, each loaded on first use."""

_home = None  # where boot() was called


def boot(root=None):
    """See `ota.bootguard.boot`, which is loaded only when there is something to do.

    Nothing of the package but `bootguard` has to be there: an update of the library may have been cut.

    Returns:
        str: what could not be done, else None.
    """
    global _home
    # Names that the firmware has cost no RAM: hence these.
    value = True
    path = (root + "/" if root else "") + ".ota/state"
    try:
        if root is None:
            from .builtin import own

            _home = own("os").getcwd()
        with open(path, "rb") as f:
            value = f.read(7) == b'["idle"'
        open(path + ".new").close()
    except ImportError:
        pass
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
    from .names import find

    value = find(name)
    if name != "__all__":
        globals()[name] = value
    return value
