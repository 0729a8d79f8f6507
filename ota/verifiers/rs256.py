"""RS256 of JOSE: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2.2) and the exponent 65537."""


def opened(n, sig):
    """`sig` to the power 65537 modulo `n` (bytes, as long as `n`), None for what is no signature.

    Without `pow(a, b, c)`, which an ESP8266 lacks; the same work for every signature.
    """
    m = int.from_bytes(n, "big")
    s = int.from_bytes(sig, "big")
    if len(sig) != len(n) or s >= m:
        return None
    r = s
    for _ in range(16):
        r = r * r % m
    return (r * s % m).to_bytes(len(n), "big")


def verify(n, digest, sig):
    """Whether `sig` is the key's over a message with the SHA-256 `digest`.

    Args:
        n (bytes): the modulus, big-endian, without leading zeros. digest (bytes): 32.
        sig (bytes): as long as `n`.
    """
    # The one right encoding is built and compared; nothing of what came is parsed.
    head = b"\0\1" + b"\xff" * (len(n) - 54)
    info = b"\x00\x30\x31\x30\r\x06\t`\x86H\x01e\x03\x04\x02\x01\x05\0\x04\x20"
    return opened(n, sig) == head + info + digest
