"""SHA-512 (FIPS 180-4), which MicroPython's hashlib has not."""

_MASK = 0xFFFFFFFFFFFFFFFF


def _root(x, k):
    # The k-th root of x, rounded down.
    low, high = 0, 1 << 70
    while low < high:
        middle = (low + high + 1) >> 1
        if middle**k <= x:
            low = middle
        else:
            high = middle - 1
    return low


def _constants():
    # The first 64 bits of the fractions of roots of the first 80 primes.
    words = bytearray(640)
    squares = []
    n = 2
    for i in range(0, 640, 8):
        while 0 in [n % p for p in range(2, 21) if p < n]:  # the 80th prime is 409
            n += 1
        words[i : i + 8] = (_root(n << 192, 3) & _MASK).to_bytes(8, "big")
        if i < 64:
            squares.append(_root(n << 128, 2) & _MASK)
        n += 1
    return words, squares


_K, _START = _constants()


def _turn(x, *places):
    # Rotations to the right, xor-ed.
    x |= x << 64
    turned = 0
    for n in places:
        turned ^= x >> n
    return turned & _MASK


class Sha512:
    """As those of `hashlib`: `update(data)`, `digest()`."""

    def __init__(self):
        self._state = _START[:]
        self._rest = b""
        self._size = 0

    def update(self, data):
        self._size += len(data)
        data = self._rest + bytes(data)
        whole = len(data) & ~127
        for i in range(0, whole, 128):
            self._block(memoryview(data)[i : i + 128])
        self._rest = data[whole:]

    def digest(self):
        """64 bytes; only once, after the last update."""
        size = (8 * self._size).to_bytes(16, "big")
        self.update(b"\x80" + bytes((111 - self._size) % 128) + size)
        return b"".join([x.to_bytes(8, "big") for x in self._state])

    def _block(self, block):
        w = [int.from_bytes(block[i : i + 8], "big") for i in range(0, 128, 8)]
        a, b, c, d, e, f, g, h = self._state
        for i in range(80):
            if i > 15:
                # A ring of 16 words.
                x, y = w[(i + 1) & 15], w[(i + 14) & 15]
                s = (x >> 7 ^ _turn(x, 1, 8)) + (y >> 6 ^ _turn(y, 19, 61))
                w[i & 15] = (w[i & 15] + s + w[(i + 9) & 15]) & _MASK
            k = int.from_bytes(_K[8 * i : 8 * i + 8], "big")
            t = h + _turn(e, 14, 18, 41) + (e & f ^ ~e & g) + k + w[i & 15]
            u = _turn(a, 28, 34, 39) + (a & b ^ a & c ^ b & c)
            h, g, f, e, d, c, b, a = g, f, e, (d + t) & _MASK, c, b, a, (t + u) & _MASK
        now = a, b, c, d, e, f, g, h
        self._state = [(x + y) & _MASK for x, y in zip(self._state, now)]
