"""SignatureVerifier: only manifests that the holder of a key signed."""

from ..builtin import own
from ..errors import SignatureError
from . import Verifier

a2b_base64 = own("binascii").a2b_base64
hexlify = own("binascii").hexlify
sha256 = own("hashlib").sha256

# Bytes that a raw key may have. An algorithm is a module of this folder with that name.
_SIZES = {"RS256": (256, 512), "ES256": (64, 64), "HS256": (16, 128)}


class SignatureVerifier(Verifier):
    """Takes a manifest when enough of the keys signed it, and every file by its SHA-256.

    Args:
        keys (list of str): each `RS256:…`, `ES256:…` or `HS256:…`, as `ota keygen` prints it;
            or the path (str) of a file with one a line, which a release may bring anew.
        threshold (int): how many of them must have signed.
    Raises:
        SignatureError: a key that is none, or fewer keys than the threshold.
    """

    signs = True

    def __init__(self, keys, threshold=1):
        try:
            if isinstance(keys, str):
                with open(keys) as f:
                    keys = f.read().split()
        except (OSError, ValueError) as e:  # ValueError: no UTF-8
            raise SignatureError("keys of %s: %r" % (keys, e))
        self._keys = {}
        self._macs = {}
        for text in keys:
            text = text.strip()
            at = text.find(":")
            alg = text[:at]
            least, most = _SIZES.get(alg, (1, 0))
            try:
                raw = a2b_base64(text[at + 1 :])
            except ValueError:
                raw = b""
            if not least <= len(raw) <= most:
                raise SignatureError("key %r is not ALG:BASE64" % text[:6])
            # Whose key it is: the same name wherever it is worked out.
            self._keys[hexlify(sha256(alg.encode() + raw).digest()[:8]).decode()] = alg, raw
        self._threshold = threshold
        if not 1 <= threshold <= len(self._keys):
            raise SignatureError("threshold %r of %d keys" % (threshold, len(self._keys)))

    def _begin(self, transport, channel, state):
        for name, (alg, raw) in self._keys.items():
            if alg == "HS256":
                from .hs256 import Mac

                self._macs[name] = Mac(raw)

    def _update(self, data):
        for mac in self._macs.values():
            mac.update(data)

    def _authenticate(self, digest, signatures, header):
        # Each of our keys is tried once, whatever came: that bounds the work.
        good = 0
        for name, (alg, raw) in self._keys.items():
            for s in signatures:
                if s.get("key") == name:
                    raw = self._macs.pop(name, raw)
                    good += s.get("alg") == alg and _verify(alg)(raw, digest, a2b_base64(s["sig"]))
                    break
        if good < self._threshold:
            many = good, self._threshold, header.get("version")
            raise SignatureError("%d of %d signatures hold for %s" % many)


def _verify(alg):
    # Spelled out, so that a tool can see what is imported.
    if alg == "RS256":
        from .rs256 import verify as rs256

        return rs256
    if alg == "ES256":
        from .es256 import verify as es256

        return es256
    from .hs256 import verify as hs256

    return hs256
