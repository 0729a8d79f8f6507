"""What each module of an update keeps of the heap, imported one after the other: NAMES; and what was there before."""

import gc
import os


def main():
    gc.collect()
    print("HEAP", gc.mem_alloc(), "before")
    for name in os.getenv("NAMES").split("\n"):
        gc.collect()
        before = gc.mem_alloc()
        __import__(name)
        gc.collect()
        print("HEAP", gc.mem_alloc() - before, name)
    print("FACTS")
