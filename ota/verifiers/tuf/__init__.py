"""TufVerifier: releases by the rules of The Update Framework."""

import sys

from ...builtin import own
from ...errors import SignatureError, StorageError
from .. import Verifier

time = own("time")
hexlify = own("binascii").hexlify

_SCHEMES = ("es256", "rs256", "ps256", "ed25519", "sha512")
_PREFIX = "tuf/"  # below the project's root on the server


class TufVerifier(Verifier):
    """Takes the manifest that the project's TUF repository names as its target.

    Args:
        root (str): path of the first `root.json` on the board, which the application brings.
        folder (str): where the trusted metadata is kept; default `.ota/tuf`.
    Raises:
        By each check: VerifyError, SignatureError, HashError with the rule of the
        specification that broke; the metadata trusted before stays.
    """

    signs = True

    def __init__(self, root, folder=None):
        from ...bootguard import base

        self._root = root
        self._folder = folder or base() + ".ota/tuf"
        self._entry = {}

    def _begin(self, transport, channel, state):
        now = _text(_seconds(state))
        _forget(__name__.split(".")[0] + ".policy")
        from .client import Client
        from .files import Files

        files = Files(transport, self._folder, _PREFIX)
        try:
            files.start(self._root)
            client = Client(files, now)
            client.refresh()
            self._entry = client.find(channel + ".manifest")
        except OSError as e:
            raise StorageError("%s: %r" % (self._folder, e))
        finally:
            files.forget_new()
            _unload()
        self._size = 0
        self.seen = self._entry.get("hashes", {}).get("sha256", "")[:16]

    def _update(self, data):
        self._size += len(data)

    def _authenticate(self, digest, signatures, header):
        want = self._entry.get("hashes", {}).get("sha256")
        got = hexlify(digest).decode()
        size = self._entry.get("length")
        if signatures:
            raise SignatureError("manifest %s: TUF signs it, so it carries no signatures" % header["version"])
        if got != want or self._size != size:
            told = header["version"], self._size, got, size, want
            raise SignatureError("manifest %s: %d bytes, sha256 %s; the target is %s, %s" % told)


def _seconds(state):
    from ...policy import clock

    return clock(state)


def _unload():
    # The client's code and its keys' are half of a check's RAM, which staging needs next.
    package = __name__.rsplit(".", 1)[0]
    for name in sorted(sys.modules):
        at = name.rfind(".")
        if name[:at] == __name__ or name[:at] == package and name[at + 1 :] in _SCHEMES:
            _forget(name)


def _forget(name):
    at = name.rfind(".")
    if sys.modules.pop(name, None):
        delattr(sys.modules[name[:at]], name[at + 1 :])


def _text(seconds):
    # As in metadata; without a clock nothing has expired.
    if time.gmtime(0)[0] == 2000:
        seconds = max(0, seconds - 946684800)
    return "%04d-%02d-%02dT%02d:%02d:%02dZ" % time.gmtime(seconds)[:6]
