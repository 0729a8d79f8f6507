"""Ed25519 (RFC 8032, section 5.1.7), in extended coordinates; the cofactorless equation."""

from .sha512 import Sha512

_P = (1 << 255) - 19
_L = (1 << 252) + 27742317777372353535851937790883648493


def _power(x, n):
    # x ** n modulo p, without `pow(a, b, c)`.
    r = 1
    while n:
        if n & 1:
            r = r * x % _P
        x = x * x % _P
        n >>= 1
    return r


_D = -121665 * _power(121666, _P - 2) % _P
_ROOT = _power(2, (_P - 1) // 4)  # of -1


def _point(data):
    # The point that 32 bytes stand for, None when they are the right form of none.
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    u = (y * y - 1) % _P
    v = (_D * y * y + 1) % _P
    vvv = v * v * v % _P
    x = u * vvv * _power(u * vvv * vvv * v % _P, (_P - 5) // 8) % _P
    if (v * x * x - u) % _P:
        x = x * _ROOT % _P
    if y >= _P or (v * x * x - u) % _P or (not x and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def verify(key, message, sig):
    """Whether `sig` (64 bytes) is the key's (32 bytes) over `message`.

    Args:
        message: its pieces, an iterable of bytes: they are hashed, not kept.
    """
    if len(key) != 32 or len(sig) != 64:
        return False
    a, r = _point(key), _point(sig[:32])
    s = int.from_bytes(sig[32:], "little")
    if not a or not r or s >= _L:
        return False
    hasher = Sha512()
    hasher.update(sig[:32] + key)
    for piece in message:
        hasher.update(piece)
    k = int.from_bytes(hasher.digest(), "little") % _L
    # s * B - k * A = R, both products at once, a bit at a time.
    base = _point(b"\x58" + b"\x66" * 31)
    minus = _P - a[0], a[1], 1, _P - a[3]
    table = None, base, minus, _add(base, minus)
    q = 0, 1, 1, 0
    for i in range(252, -1, -1):
        q = _add(q, q)
        step = table[s >> i & 1 | (k >> i & 1) << 1]
        if step:
            q = _add(q, step)
    return not ((q[0] - r[0] * q[2]) % _P or (q[1] - r[1] * q[2]) % _P)
