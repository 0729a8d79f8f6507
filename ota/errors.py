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

import gc


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


class Theirs(BaseException):
    # What a callback of the application raised, past whoever would catch it in here.
    pass


class _Ours:
    # `with ours:` makes an OtaError of every error but those, and what a callback raised itself
    # again. To enter it takes no heap.
    def __enter__(self):
        pass

    def __exit__(self, kind, e, trace):
        if isinstance(e, Theirs):
            raise e.args[0]
        if isinstance(e, Exception) and not isinstance(e, OtaError) and kind is not StopIteration:
            free = getattr(gc, "mem_free", int)()  # CPython has no such function
            gc.collect()
            try:
                if kind is not MemoryError:
                    raise refused("flash", e)
                raise OtaError("out of memory, %d bytes of heap are free" % free)
            except MemoryError:
                raise _FULL


_FULL = OtaError("out of memory, no heap is free")
ours = _Ours()


def refused(what, e):
    """The error of ours for `e` (an Exception), met at `what` (str)."""
    # littlefs says ENAMETOOLONG, 36, where a folder cannot grow.
    kind = NoSpaceError if getattr(e, "errno", 0) in (28, 36) else StorageError
    return kind("%s: %s: %s" % (what, type(e).__name__, e))
