"""ES256 of JOSE: ECDSA with SHA-256 on the curve P-256 (FIPS 186-5, section 6.4.2)."""

_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
_GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5


def _inverse(a, m):
    # By Euclid, as `pow(a, b, c)` is not everywhere; `a` is prime to `m`.
    b, x, y = m, 1, 0
    while a > 1:
        q = b // a
        a, b, x, y = b - q * a, a, y - q * x, x
    return x % m


def _double(point):
    # Jacobian coordinates; z is 0 at infinity, and stays 0.
    x, y, z = point
    zz = z * z % _P
    m = 3 * (x - zz) * (x + zz) % _P
    yy = y * y % _P
    s = 4 * x * yy % _P
    x = (m * m - 2 * s) % _P
    return x, (m * (s - x) - 8 * yy * yy) % _P, 2 * y * z % _P


def _add(point, other):
    # `other` is affine, or None for infinity.
    x, y, z = point
    if not other:
        return point
    if not z:
        return other[0], other[1], 1
    zz = z * z % _P
    h = (other[0] * zz - x) % _P
    r = (other[1] * zz * z - y) % _P
    if not h:
        return (1, 1, 0) if r else _double(point)
    hh = h * h % _P
    hhh = hh * h % _P
    v = x * hh % _P
    x = (r * r - hhh - 2 * v) % _P
    return x, (r * (v - x) - y * hhh) % _P, z * h % _P


def _affine(point):
    x, y, z = point
    if not z:
        return None
    i = _inverse(z, _P)
    ii = i * i % _P
    return x * ii % _P, y * ii * i % _P


def verify(key, digest, sig):
    """Whether `sig` is the key's over a message with the SHA-256 `digest`.

    Args:
        key (bytes): the public point, x and y of 32 bytes each, big-endian.
        digest (bytes): 32. sig (bytes): r and s of 32 bytes each, big-endian.
    """
    if len(key) != 64 or len(sig) != 64:
        return False
    x, y, r, s = [int.from_bytes(b, "big") for b in (key[:32], key[32:], sig[:32], sig[32:])]
    if not (0 < r < _N and 0 < s < _N and x < _P and y < _P):
        return False
    if (y * y - x * x * x + 3 * x - _B) % _P:  # not on the curve
        return False
    w = _inverse(s, _N)
    u = int.from_bytes(digest, "big") * w % _N
    v = r * w % _N
    # u * G + v * key, both at once, a bit at a time.
    both = _affine(_add((_GX, _GY, 1), (x, y)))
    table = None, (_GX, _GY), (x, y), both
    point = 1, 1, 0
    for i in range(255, -1, -1):
        point = _add(_double(point), table[u >> i & 1 | (v >> i & 1) << 1])
    found = _affine(point)
    return bool(found) and found[0] % _N == r
