"""What comes smaller than it is: zlib streams with a window of 4 KB, and deltas from the old content."""

from .builtin import own
from .errors import HashError

BytesIO = own("io").BytesIO

try:
    ZLIB = own("deflate").ZLIB
    DeflateIO = own("deflate").DeflateIO
except ImportError:  # CPython
    decompressobj = own("zlib").decompressobj

    ZLIB = 2

    class DeflateIO:
        def __init__(self, stream, form, wbits):
            self._stream = stream
            self._z = decompressobj(wbits)

        def readinto(self, buffer):
            data = b""
            while not data and not self._z.eof:
                more = self._z.unconsumed_tail or self._stream.read(1)
                if not more:
                    raise EOFError
                data = self._z.decompress(more, len(buffer))
            buffer[: len(data)] = data
            return len(data)


_WINDOW = 1280  # bytes of the packed stream in RAM; what is over _ENOUGH comes at a time
_STEP = 192  # bytes to unpack at a time
_ENOUGH = 960  # packed bytes that a step takes at most: two for each of its own, and a block's head
_DIGITS = 5  # bytes of a number in a delta: 34 bits


class Inflater:
    """`readinto(buffer)` for what a zlib stream (object with `readinto`) holds.

    DeflateIO asks for its source a byte at a time, which is slow from Python. So it reads
    from a piece of RAM, in which what has come stands at the end and is moved there again
    before it could run out.
    """

    def __init__(self, stream):
        self._stream = stream
        self._come = memoryview(bytearray(_WINDOW))
        self._source = BytesIO(self._come)
        self._source.seek(_WINDOW)
        self._more = True
        self._inflate = DeflateIO(self._source, ZLIB, 12)

    def _fill(self):
        at = self._source.seek(0, 1)
        left = _WINDOW - at
        if not self._more or left >= _ENOUGH:
            return
        come = self._come
        self._source.readinto(come[:left])
        while left < _WINDOW:
            n = self._stream.readinto(come[left:])
            if not n:
                self._more = False
                break
            left += n
        self._source.seek(_WINDOW - left)
        self._source.write(come[:left])
        self._source.seek(_WINDOW - left)

    def readinto(self, buffer):
        """Fill `buffer` with up to its length; gives the number of bytes, 0 at the end."""
        self._fill()
        try:
            return self._inflate.readinto(buffer[:_STEP])
        except (OSError, EOFError, ValueError) as e:
            raise HashError("not a zlib stream with a window of 4 KB: %r" % e)
        except Exception as e:
            if type(e).__name__ != "error":  # CPython's zlib.error
                raise
            raise HashError("not a zlib stream: %s" % e)


def whole(source, size, buffer):
    """Give what `source` (Inflater) holds, in pieces (memoryviews of `buffer`).

    Raises:
        HashError: it is not `size` bytes.
    """
    while size:
        # Whole pieces: each goes through all the generators of an update.
        most = min(size, len(buffer))
        done = 0
        while done < most:
            n = source.readinto(buffer[done:most])
            if not n:
                raise HashError("unpacks to %d bytes less than it should" % (size - done))
            done += n
        size -= done
        yield buffer[:done]
    if source.readinto(buffer[:1]):
        raise HashError("unpacks to more than it should")


def _number(source, digit):
    # Six bits and a sign, then seven bits a byte.
    shift = 6
    for i in range(_DIGITS):
        if not source.readinto(digit):
            raise HashError("delta is cut short")
        c = digit[0]
        if not i:
            n, sign = c & 63, c & 64
        else:
            n |= (c & 127) << shift
            shift += 7
        if not c & 128:
            return -n if sign else n
    raise HashError("delta has a number of over %d bytes" % _DIGITS)


def _fill(source, buffer):
    at = 0
    while at < len(buffer):
        n = source.readinto(buffer[at:])
        if not n:
            raise HashError("delta or its base is cut short")
        at += n


def patched(old, source, size, buffer):
    """Give what the delta in `source` (Inflater) makes of the open file `old`, as `whole` does.

    The format is that of detools, sequential and without compression: a zero, the size, a
    zero, then in turn how many bytes to add to old ones, these, how many are new, these, and
    how far to go in the old content.
    """
    digit = memoryview(bytearray(1))
    half = len(buffer) // 2
    zeros = bytes(half)
    head = [_number(source, digit) for _ in range(3)]
    if head != [0, size, 0]:
        raise HashError("delta begins with %r, not with 0, %d, 0" % (head, size))
    left = size
    while left:
        for adds in (True, False):
            n = _number(source, digit)
            if not 0 <= n <= left:
                raise HashError("delta has %d bytes where %d are left" % (n, left))
            left -= n
            while n:
                piece = buffer[: min(n, half)]
                _fill(old if adds else source, piece)
                if adds:
                    more = buffer[half : half + len(piece)]
                    _fill(source, more)
                    if more != zeros[: len(more)]:
                        for i in range(len(more)):
                            piece[i] = piece[i] + more[i] & 255
                n -= len(piece)
                yield piece
        skip = _number(source, digit)
        if left:
            try:
                old.seek(skip, 1)
            except (OSError, ValueError) as e:
                raise HashError("delta goes to %d of its base: %r" % (skip, e))
    if source.readinto(digit):
        raise HashError("delta goes on after its end")
