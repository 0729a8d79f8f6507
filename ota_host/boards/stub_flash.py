# Runs inside the unix MicroPython, never in CPython: NOR flash in an image file, with power that can fail.
# Nothing here makes garbage: MicroPython also closes files from finalisers, where the heap is locked.
import os


class Power:
    # The line to the supervisor, and the end of everything.
    def __init__(self):
        self.control = open(int(os.getenv("BOARD_CONTROL")), "wb")

    def tell(self, line):
        self.control.write(line)

    def fail(self, line, address=None):
        # As uncatchable as losing power: no except, no finally, no atexit.
        try:
            line = line % address
        except (MemoryError, TypeError):
            pass  # the heap is locked, or there is nothing to format
        self.control.write(line)
        os.system("kill -9 $PPID")
        while True:
            pass


class Flash:
    def __init__(self, power):
        env = os.getenv
        self.power = power
        self.image = open(env("BOARD_FLASH"), "r+b")
        self.ledger = open(int(env("BOARD_OPS")), "wb")  # a byte an operation: its size is their number since power-on
        self.block = int(env("BOARD_BLOCK"))
        self.page = int(env("BOARD_PAGE"))
        self.card = env("BOARD_FS") == "sd"  # whole sectors, no erasing
        self.unit = self.block if self.card else self.page
        self.blocks = self.image.seek(0, 2) // self.block
        self.done = int(env("BOARD_DONE"))
        self.cut_at = int(env("BOARD_CUT_AT"))  # the operation that loses power; 0: none
        self.cut = False
        self.torn = env("BOARD_TORN")
        self.erased = b"\xff" * self.page
        self.old = bytearray(self.page)
        self.byte = bytearray(1)

    def readblocks(self, number, buf, offset=0):
        self.image.seek(number * self.block + offset)
        self.image.readinto(buf)

    def writeblocks(self, number, buf, offset=None):
        # Without an offset it is FAT's protocol, which knows no erasing.
        if offset is not None:
            self.program(number * self.block + offset, buf)
        elif self.card or len(buf) == self.block:
            if not self.card:
                self.erase(number)
            self.program(number * self.block, buf)
        else:
            for i in range(0, len(buf), self.block):
                self.writeblocks(number, memoryview(buf)[i : i + self.block])
                number += 1

    def ioctl(self, op, arg):
        if op == 4:
            return self.blocks
        if op == 5:
            return self.block
        if op == 6:
            self.erase(arg)
            return 0

    def happens(self, size):
        # How many of the next operation's bytes happen.
        self.done += 1
        self.cut = self.done == self.cut_at
        if not self.cut or self.torn == "all":
            return size
        if self.torn == "half":
            return size // 2
        return size - 1 if self.torn == "all-but-1" else 1 if self.torn == "1byte" else 0

    def program(self, address, buf):
        if not self.card:
            self.obey_nor(address, buf)
        self.image.seek(address)
        units = 0
        for start in range(0, len(buf), self.unit):
            size = self.happens(min(self.unit, len(buf) - start))
            units += 1
            if self.cut:
                for i in range(start + size):
                    self.byte[0] = buf[i]
                    self.image.write(self.byte)
                self.record("p", units)
                self.power.fail("CUT program at 0x%x\n", address + start)
        self.image.write(buf)
        self.record("p", units)

    def obey_nor(self, address, buf):
        # Programming can only clear bits.
        old = self.old
        for start in range(0, len(buf), self.page):
            self.image.seek(address + start)
            self.image.readinto(old)
            if old == self.erased:
                continue
            for i in range(min(self.page, len(buf) - start)):
                if old[i] & buf[start + i] != buf[start + i]:
                    self.power.fail("NOR-VIOLATION at 0x%x\n", address + start + i)

    def erase(self, number):
        left = self.happens(self.block)
        self.image.seek(number * self.block)
        while left >= self.page:
            self.image.write(self.erased)
            left -= self.page
        self.byte[0] = 255
        for _ in range(left):
            self.image.write(self.byte)
        self.record("e", 1)
        if self.cut:
            self.power.fail("CUT erase at 0x%x\n", number * self.block)

    def record(self, what, times):
        for _ in range(times):
            self.ledger.write(what)
