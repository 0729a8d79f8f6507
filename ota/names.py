"""The public names of the library, each loaded on first use."""

import gc
import sys

# A module and the names that it holds, for each.
_HOMES = "updater Updater Release;bootguard boot;trial confirm rollback status;guard launch feed;watch Watch;clock set_clock;transports Transport;transports.http HttpTransport;transports.https HttpsTransport;transports.sd SdTransport;transports.mirror MirrorTransport;storage Storage;storage.littlefs LittlefsStorage;storage.flash FlashStorage;verifiers Verifier NoneVerifier Sha256Verifier;verifiers.signature SignatureVerifier;verifiers.tuf TufVerifier;errors OtaError;legacy ota_update check_for_ota_update"


def find(name):
    """The public object `name` (str), or for `__all__` the list of all names."""
    package = sys.modules["ota"]
    if sys.modules.pop("ota.names", None):  # in RAM for this moment only
        del package.names
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
            return value
        values += keys
    if name == "__all__":
        return values
    raise AttributeError(name)
