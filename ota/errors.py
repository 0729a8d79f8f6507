"""The errors of the library; everything it raises on purpose is an `OtaError`.

    OtaError
    ├── NotModified          the server still has what the caller has (HTTP 304)
    ├── TransportError       the bytes did not come: link, server, length, time
    │   └── NotFoundError    the server has no such name (HTTP 404, 410)
    ├── ManifestError        the release description breaks a rule of the format
    ├── VerifyError          what came is not what was meant
    │   ├── SignatureError   not signed by a key that counts
    │   └── HashError        content differs from its hash
    ├── PolicyError          a sound release that this board must not install
    └── StorageError         the file system refused
        └── NoSpaceError     it is full
"""


class OtaError(Exception):
    pass


class NotModified(OtaError):
    pass


class TransportError(OtaError):
    # The HTTP status that the server answered with, 0 when there was none. 200: what it sent is
    # wrong; 206: what it sent broke off.
    status = 0
    # Seconds that the server asks to be left alone for (Retry-After), 0 when it does not.
    retry_s = 0


class NotFoundError(TransportError):
    pass


class ManifestError(OtaError):
    pass


class VerifyError(OtaError):
    pass


class SignatureError(VerifyError):
    pass


class HashError(VerifyError):
    pass


class PolicyError(OtaError):
    pass


class StorageError(OtaError):
    pass


class NoSpaceError(StorageError):
    pass
