"""Over-the-air updates for MicroPython boards: the public names, each loaded on first use."""

# A module and the names that it holds, for each.
_HOMES = "updater Updater Release;bootguard boot;trial confirm rollback status;guard launch feed;watch Watch;clock set_clock;transports Transport;transports.http HttpTransport;transports.https HttpsTransport;transports.sd SdTransport;transports.mirror MirrorTransport;storage Storage;storage.littlefs LittlefsStorage;storage.flash FlashStorage;verifiers Verifier NoneVerifier Sha256Verifier;verifiers.signature SignatureVerifier;verifiers.tuf TufVerifier;errors OtaError;legacy ota_update check_for_ota_update"


def boot(root=None):
    """See `ota.bootguard.boot`, which is loaded only when there is something to do."""
    global _home
    if root is None:
        from os import getcwd

        _home = getcwd()
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
    from .bootguard import boot

    boot(root)


def __getattr__(name):
    values = []
    for line in _HOMES.split(";"):
        path, *keys = line.split()
        if name in keys:
            import gc

            # As `storage.tidily` does.
            threshold = getattr(gc, "threshold", int)
            before = threshold()
            threshold(max(1024, getattr(gc, "mem_free", int)() // 16))
            try:
                value = getattr(__import__(path, globals(), None, (name,), 1), name)
            finally:
                threshold(before)
            globals()[name] = value
            return value
        values += keys
    if name == "__all__":
        return values
    raise AttributeError(name)
