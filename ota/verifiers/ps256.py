"""RSASSA-PSS with SHA-256 and MGF1 over SHA-256 (RFC 8017, section 8.1.2), a salt of any length."""

from ..builtin import own
from .rs256 import opened

sha256 = own("hashlib").sha256


def verify(n, digest, sig):
    """As `rs256.verify`; `n` is of a length in bits that 8 divides."""
    em = opened(n, sig)
    if not em or em[-1] != 0xBC or em[0] & 0x80:
        return False
    h = em[-33:-1]
    db = bytearray(em[:-33])
    for i in range(0, len(db), 32):
        mask = sha256(h + (i // 32).to_bytes(4, "big")).digest()
        for j in range(i, min(i + 32, len(db))):
            db[j] ^= mask[j - i]
    db[0] &= 0x7F  # one bit less than the modulus
    one = 0
    while one < len(db) - 1 and not db[one]:
        one += 1
    salt = bytes(db[one + 1 :])
    return db[one] == 1 and sha256(bytes(8) + digest + salt).digest() == h
