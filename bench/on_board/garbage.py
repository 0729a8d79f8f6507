"""A heap as an application leaves it after weeks: small things everywhere, and holes between them."""

import gc
import os

_kept = []


def main():
    """Fill the whole heap like a checkerboard: what stays, and between it holes of HOLE bytes."""
    size = int(os.getenv("HOLE"))
    gc.collect()
    # Chains, since a list would need one piece of the heap that grows with it.
    hole = stays = None
    try:
        for _ in range(500):  # first the gaps that are there already, or the first holes would be one
            stays = (stays,)
        while True:
            hole = [bytearray(size), hole]
            stays = (stays,)
    except MemoryError:
        pass
    # Link by link: the collector may still see an end of the chain on its stack.
    while hole:
        after = hole[1]
        hole[0] = hole[1] = None
        hole = after
    _kept.append(stays)
    gc.collect()
