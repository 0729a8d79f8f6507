"""The keys of TUF: their three types, as PEM or hex, and whether a signature of theirs holds."""

from ...builtin import own

a2b_base64 = own("binascii").a2b_base64
unhexlify = own("binascii").unhexlify

_SCHEMES = {
    "ecdsa-sha2-nistp256": ("ecdsa", "ecdsa-sha2-nistp256"),  # and the types that have it
    "rsassa-pss-sha256": ("rsa",),
    "rsa-pkcs1v15-sha256": ("rsa",),
    "ed25519": ("ed25519",),
}


def _der(data, at, tag):
    # The element at `at`: where its content begins and ends. Only what DER allows.
    n = data[at + 1]
    start = at + 2
    if n & 0x80:
        start += n & 0x7F
        n = int.from_bytes(data[at + 2 : start], "big")
        if not 0x80 <= n <= 0xFFFF or n < 1 << 8 * (start - at - 3):
            raise ValueError("length")
    if data[at] != tag or start + n > len(data):
        raise ValueError("tag")
    return start, start + n


def _number(data, at):
    # A positive INTEGER in its shortest form, without the sign byte; and where it ends.
    start, end = _der(data, at, 2)
    body = data[start:end]
    if not body or body[0] & 0x80 or len(body) > 1 and not body[0] and not body[1] & 0x80:
        raise ValueError("integer")
    return body.lstrip(b"\0") or b"\0", end


def _public(pem):
    # What the BIT STRING of a SubjectPublicKeyInfo holds.
    text = "".join([line for line in pem.split("\n") if "-----" not in line])
    data = a2b_base64(text)
    start, _ = _der(data, 0, 0x30)
    _, end = _der(data, start, 0x30)
    start, end = _der(data, end, 3)
    return data[start + 1 : end]


def _ecdsa(pem, digest, sig):
    from ..es256 import verify

    point = _public(pem)
    start, end = _der(sig, 0, 0x30)
    r, middle = _number(sig, start)
    s, last = _number(sig, middle)
    if point[0] != 4 or last != end or end != len(sig) or len(r) > 32 or len(s) > 32:
        return False
    return verify(point[1:], digest, bytes(32 - len(r)) + r + bytes(32 - len(s)) + s)


def _rsa(pem, digest, sig, is_pss):
    if is_pss:
        from ..ps256 import verify
    else:
        from ..rs256 import verify
    data = _public(pem)
    start, _ = _der(data, 0, 0x30)
    n, middle = _number(data, start)
    e, _ = _number(data, middle)
    # Other sizes are weak, or work without end.
    return e == b"\1\0\1" and 256 <= len(n) <= 512 and verify(n, digest, sig)


def holds(key, sig, digest, pieces):
    """Whether a signature holds.

    Args:
        key (dict): `keytype`, `scheme` and `keyval`. sig (str): hex.
        digest (bytes): the SHA-256 of what is signed. pieces: called for its pieces (bytes).
    """
    try:
        scheme = key["scheme"]
        public = key["keyval"]["public"]
        sig = unhexlify(sig)
        if key["keytype"] not in _SCHEMES.get(scheme, ()):
            return False
        if scheme == "ed25519":
            from ..ed25519 import verify

            return verify(unhexlify(public), pieces(), sig)
        if key["keytype"] == "rsa":
            return _rsa(public, digest, sig, scheme == "rsassa-pss-sha256")
        return _ecdsa(public, digest, sig)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False
