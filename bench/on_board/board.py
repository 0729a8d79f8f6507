"""A benchmark board: mounts its flash, runs one program, and prints what that cost.

Everything comes by environment variables, so that no list of options takes room in a small heap:
IMAGE, PROG (bytes), URL, NAMES (one a line), KEY, and COUNTED, WATCH or HOLE (bytes) when these are wanted.
"""

import gc
import os
import time


def power_up():
    if os.getenv("COUNTED"):
        from counted import power_up
    else:
        from bare import power_up
    more = {"watch": True} if os.getenv("WATCH") else {}
    return power_up(os.getenv("IMAGE"), int(os.getenv("PROG")), **more)


def run(program=None, prepare=None):
    """Run `program` (function) and print its cost: microseconds; bytes read, programmed, erased; peak of the heap.

    `prepare` (function) imports what an application imports on its first lines, and gives the program: the clock
    starts behind it, as it does for everybody else.
    """
    flash = power_up()
    if os.getenv("HOLE"):
        import garbage

        garbage.main()
    gc.collect()
    read, programmed, erased = flash.read, flash.programmed, flash.erased
    program = program or prepare()
    began = time.ticks_us()
    program()
    took = time.ticks_diff(time.ticks_us(), began)
    print("FACTS", took, flash.read - read, flash.programmed - programmed, flash.erased - erased, flash.peak)
    flash.save()
