from .clock import set_clock
from .errors import OtaError
from .guard import feed, launch
from .legacy import check_for_ota_update, ota_update
from .storage import Storage
from .storage.flash import FlashStorage
from .storage.littlefs import LittlefsStorage
from .transports import Transport
from .transports.http import HttpTransport
from .transports.https import HttpsTransport
from .transports.mirror import MirrorTransport
from .transports.sd import SdTransport
from .trial import confirm, rollback, status
from .updater import Release, Updater
from .verifiers import NoneVerifier, Sha256Verifier, Verifier
from .verifiers.signature import SignatureVerifier
from .verifiers.tuf import TufVerifier
from .watch import Watch

__all__ = [
    "Updater",
    "Release",
    "boot",
    "confirm",
    "rollback",
    "status",
    "launch",
    "feed",
    "Watch",
    "set_clock",
    "Transport",
    "HttpTransport",
    "HttpsTransport",
    "SdTransport",
    "MirrorTransport",
    "Storage",
    "LittlefsStorage",
    "FlashStorage",
    "Verifier",
    "NoneVerifier",
    "Sha256Verifier",
    "SignatureVerifier",
    "TufVerifier",
    "OtaError",
    "ota_update",
    "check_for_ota_update",
]

def boot(root: str | None = None) -> str | None: ...
