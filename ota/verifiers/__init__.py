"""What must be true of a release before it may go live. One verifier a file; this one holds the base."""

from ..builtin import own
from ..errors import PolicyError, SignatureError

sha256 = own("hashlib").sha256


class Verifier:
    """Base of the verifiers: authenticates manifests, and gives the hash for file contents.

    A plug-in overrides `_authenticate` and, rarely, `_hasher`, `_begin` or `_update`.
    """

    signs = False  # whether a release needs more than its hashes, so that none goes without a manifest
    _channel = None
    seen = ""  # what the channel's manifest is to be, when the verifier knows: text for the state

    def begin(self, transport, channel, state):
        """A check of `channel` (str) begins, over `transport`; `state` is the board's (dict).

        Raises:
            OtaError: no release can be trusted now.
        """
        self._channel = channel
        self._begin(transport, channel, state)

    def update(self, data):
        """Called with every piece (bytes) of the manifest that a signature covers, in order."""
        self._update(data)

    def authenticate(self, digest, signatures, header):
        """Raise SignatureError unless the manifest may be trusted.

        Args:
            digest (bytes): SHA-256 of every byte of the manifest before its signatures.
            signatures (list of dict): the signatures it carries, maybe none.
            header (dict): its first line.
        Raises:
            PolicyError: it says that it is of another channel.
        """
        try:
            self._authenticate(digest, signatures, header)
        except (KeyError, TypeError, ValueError, IndexError) as e:
            raise SignatureError("signatures of %s: %r" % (header.get("version"), e))
        channel = header.get("channel", self._channel)
        if channel != self._channel:
            raise PolicyError("channel is %r, this board follows %r" % (channel, self._channel))

    def hasher(self):
        """A new hash object for a file's content, or None to go by its size alone."""
        return self._hasher()

    def _begin(self, transport, channel, state):
        pass

    def _update(self, data):
        pass

    def _authenticate(self, digest, signatures, header):
        pass

    def _hasher(self):
        return sha256()


class Sha256Verifier(Verifier):
    """Takes any manifest, and every file only with the SHA-256 that the manifest gives."""


class NoneVerifier(Verifier):
    """Takes any manifest, and every file by its size alone: for media that check themselves."""

    def _hasher(self):
        return None
