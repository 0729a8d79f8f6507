"""HS256 of JOSE: HMAC with SHA-256 (RFC 2104), over a message that comes in pieces."""

from ..builtin import own

sha256 = own("hashlib").sha256


class Mac:
    """The HMAC of all that `update` gets, under the secret `key` (bytes)."""

    def __init__(self, key):
        if len(key) > 64:
            key = sha256(key).digest()
        key += bytes(64 - len(key))
        self._outer = bytes([b ^ 0x5C for b in key])
        self._inner = sha256(bytes([b ^ 0x36 for b in key]))

    def update(self, data):
        self._inner.update(data)

    def digest(self):
        """32 bytes; only once, after the last update."""
        return sha256(self._outer + self._inner.digest()).digest()


def verify(mac, digest, sig):
    """Whether `sig` (bytes) is what `mac` (Mac) says; how long it takes does not say where they differ."""
    want = mac.digest()
    differ = len(want) ^ len(sig)
    for x, y in zip(want, sig):
        differ |= x ^ y
    return not differ
