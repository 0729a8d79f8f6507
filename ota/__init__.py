"""Over-the-air updates for MicroPython boards: the public names, each loaded on first use."""

_NAMES = "Updater updater Release updater boot bootguard confirm trial rollback trial status trial launch guard feed guard set_clock clock Transport transports HttpTransport transports.http HttpsTransport transports.https SdTransport transports.sd Storage storage LittlefsStorage storage.littlefs FlashStorage storage.flash Verifier verifiers NoneVerifier verifiers Sha256Verifier verifiers SignatureVerifier verifiers.signature TufVerifier verifiers.tuf OtaError errors ota_update legacy check_for_ota_update legacy"
problem = None  # what the last boot() could not do, for status()


def boot(root=None):
    """See `ota.bootguard.boot`, which is loaded only when there is something to do."""
    global problem
    idle = True
    state = (root + "/" if root else "") + ".ota/state"
    try:
        with open(state, "rb") as f:
            idle = b'"phase": "idle"' in f.read(999)
        open(state + ".new").close()
    except OSError as e:
        if e.errno == 2 and idle:
            return
    from .bootguard import boot

    problem = boot(root)


def __getattr__(name):
    names = _NAMES.split()
    if name == "__all__":
        return names[::2]
    # A position of even number is a name, the next one its module.
    for i in range(0, len(names), 2):
        if names[i] == name:
            home = __import__(names[i + 1], globals(), None, (name,), 1)
            globals()[name] = value = getattr(home, name)
            return value
    raise AttributeError(name)
