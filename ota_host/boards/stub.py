# Runs inside the unix MicroPython, never in CPython: makes a board of it. The file system of the host goes,
# littlefs or FAT on an image of a NOR flash comes, machine.reset() resets, and boot.py and main.py run as on a board.
# Flash code makes no garbage: MicroPython also closes files from finalisers, where the heap is locked.
import os
import sys
import vfs


def _setup():
    env = os.getenv
    block = int(env("BOARD_BLOCK"))
    page = int(env("BOARD_PAGE"))
    kind = env("BOARD_FS")  # lfs2 | fat | sd
    cut_at = int(env("BOARD_CUT_AT"))  # the operation since power-on that loses power; 0: none
    torn = env("BOARD_TORN")
    image = open(env("BOARD_FLASH"), "r+b")
    control = open(int(env("BOARD_CONTROL")), "wb")
    ledger = open(int(env("BOARD_OPS")), "wb")  # one byte an operation: its size is their number since power-on

    def die(line, at):
        # As uncatchable as losing power: no except, no finally, no atexit.
        try:
            line = line % at
        except (MemoryError, TypeError):
            pass  # heap locked, or nothing to format
        control.write(line)
        os.system("kill -9 $PPID")
        while True:
            pass

    class Flash:
        def __init__(self):
            self.blocks = image.seek(0, 2) // block
            self.done = int(env("BOARD_DONE"))
            self.unit = block if kind == "sd" else page
            self.erased = b"\xff" * page
            self.old = bytearray(page)
            self.byte = bytearray(1)

        def happens(self, size):
            # How many of the next operation's bytes happen.
            self.done += 1
            self.cut = self.done == cut_at
            if not self.cut or torn == "all":
                return size
            if torn == "half":
                return size // 2
            return size - 1 if torn == "all-but-1" else 1 if torn == "1byte" else 0

        def readblocks(self, number, buf, off=0):
            image.seek(number * block + off)
            image.readinto(buf)

        def writeblocks(self, number, buf, off=None):
            if off is not None:
                self.program(number * block + off, buf)
            elif kind == "sd" or len(buf) == block:
                if kind != "sd":
                    self.ioctl(6, number)
                self.program(number * block, buf)
            else:
                for i in range(0, len(buf), block):
                    self.writeblocks(number, memoryview(buf)[i : i + block])
                    number += 1

        def program(self, address, buf):
            if kind != "sd":
                self.obey_nor(address, buf)
            image.seek(address)
            units = 0
            for start in range(0, len(buf), self.unit):
                n = self.happens(min(self.unit, len(buf) - start))
                units += 1
                if self.cut:
                    for i in range(start + n):
                        self.byte[0] = buf[i]
                        image.write(self.byte)
                    self.record("p", units)
                    die("CUT program at 0x%x\n", address + start)
            image.write(buf)
            self.record("p", units)

        def record(self, what, times):
            for _ in range(times):
                ledger.write(what)

        def obey_nor(self, address, buf):
            # Programming can only clear bits.
            for start in range(0, len(buf), page):
                image.seek(address + start)
                image.readinto(self.old)
                if self.old == self.erased:
                    continue
                for i in range(min(page, len(buf) - start)):
                    if self.old[i] & buf[start + i] != buf[start + i]:
                        die("NOR-VIOLATION at 0x%x\n", address + start + i)

        def erase(self, number):
            left = self.happens(block)
            image.seek(number * block)
            while left >= page:
                image.write(self.erased)
                left -= page
            self.byte[0] = 255
            for _ in range(left):
                image.write(self.byte)
            self.record("e", 1)
            if self.cut:
                die("CUT erase at 0x%x\n", number * block)

        def ioctl(self, op, arg):
            if op == 4:
                return self.blocks
            if op == 5:
                return block
            if op == 6:
                self.erase(arg)
                return 0

    flash = Flash()
    os.umount("/")
    if kind == "lfs2":
        mount = lambda: vfs.mount(vfs.VfsLfs2(flash, progsize=page), "/")  # as the firmware of the Pico does
    else:
        mount = lambda: vfs.mount(vfs.VfsFat(flash), "/")
    try:
        mount()
    except OSError:
        vfs.VfsLfs2.mkfs(flash, progsize=page) if kind == "lfs2" else vfs.VfsFat.mkfs(flash)
        mount()
        control.write("FORMATTED\n")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    _modules(flash, control, die)
    raw = env("BOARD_RAW") == "1"
    control.write("BOOT\n")
    return control, raw


def _modules(flash, control, die):
    import machine
    import time

    cause = int(os.getenv("BOARD_CAUSE"))

    class WDT:
        # Once started it cannot be stopped; the supervisor of the board counts the time.
        def __init__(self, id=0, timeout=5000):
            if timeout <= 0:
                raise ValueError("timeout must be above 0 ms")
            self._pause = timeout // 16  # a feed within this time of the last one is not worth telling
            control.write("WDT %d\n" % timeout)
            self._told = time.ticks_ms()

        def feed(self):
            now = time.ticks_ms()
            if time.ticks_diff(now, self._told) >= self._pause:
                self._told = now
                control.write("FEED\n")

    class Machine:
        PWRON_RESET, HARD_RESET, WDT_RESET, SOFT_RESET = 1, 2, 3, 5

        def __init__(self):
            self.WDT = WDT

        def __getattr__(self, name):
            return getattr(machine, name)

        def reset(self):
            die("RESET\n", None)

        def reset_cause(self):
            return cause

        def unique_id(self):
            return (os.getenv("BOARD_ID") or "vboard01").encode()

        def freq(self, *hz):
            return 133000000

    class WLAN:
        # The host's own network, always up: so that a boot.py that waits for Wi-Fi runs unchanged.
        IF_STA, IF_AP = 0, 1

        def __init__(self, interface=0):
            self._on = False

        def active(self, *on):
            if on:
                self._on = bool(on[0])
            return self._on

        def connect(self, *args, **kw):
            pass

        disconnect = connect
        config = connect

        def isconnected(self):
            return True

        def status(self, *what):
            return 3

        def ifconfig(self, *new):
            return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")

    sys.modules["machine"] = Machine()
    sys.modules["network"] = type("network", (), {"WLAN": WLAN, "STA_IF": 0, "AP_IF": 1, "hostname": lambda *a: "board"})
    board = {"flash": flash, "ops": lambda: flash.done, "note": lambda text: control.write("NOTE %s\n" % text)}
    sys.modules["vboard"] = type("vboard", (), board)


def _run(name):
    # Whether it went well, or was not there.
    try:
        os.stat(name)
    except OSError:
        return True
    try:
        execfile(name, globals())
    except SystemExit:  # sys.exit() and machine.soft_reset(): leave without a prompt, which is a soft reset
        os.unsetenv("MICROPYINSPECT")
        raise
    except BaseException as e:
        sys.print_exception(e)
        return False
    return True


def _start():
    control, raw = _setup()
    try:
        # As on the boards: after an error in boot.py, and for the raw prompt, main.py is left out.
        if _run("boot.py") and not raw:
            _run("main.py")
        control.write("REPL\n")
    finally:
        for name in ("_setup", "_modules", "_run", "_start"):
            globals().pop(name)
        if raw:
            sys.stdout.write("\0READY\0")


_start()
