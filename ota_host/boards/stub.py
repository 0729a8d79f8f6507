# Runs inside the unix MicroPython, never in CPython, and makes a board of it: the file system of the host goes,
# littlefs or FAT on the flash image comes, machine.reset() resets, boot.py and main.py run as on a board.
import micropython
import os
import sys
import vfs


def _format_and_mount(flash):
    # True when there was no file system yet.
    if os.getenv("BOARD_FS") == "lfs2":
        kind, options = vfs.VfsLfs2, {"progsize": flash.page}  # as the firmware of the Pico does
    else:
        kind, options = vfs.VfsFat, {}
    try:
        vfs.mount(kind(flash, **options), "/")
        return False
    except OSError:
        kind.mkfs(flash, **options)
        vfs.mount(kind(flash, **options), "/")
        return True


def _setup():
    from stub_flash import Flash, Power
    from stub_machine import install

    power = Power()
    flash = Flash(power)
    os.umount("/")
    if _format_and_mount(flash):
        power.tell("FORMATTED\n")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    install(power, flash)
    for name in ("stub_flash", "stub_machine"):
        sys.modules.pop(name)
    return power.tell


def _run(name):
    # Whether it went well, or was not there.
    try:
        os.stat(name)
    except OSError:
        return True
    try:
        execfile(name, globals())
    except SystemExit:  # sys.exit() and machine.soft_reset(): to leave without a prompt is a soft reset
        os.unsetenv("MICROPYINSPECT")
        raise
    except BaseException as e:
        sys.print_exception(e)
        return False
    return True


def _start():
    tell = _setup()
    raw = os.getenv("BOARD_RAW") == "1"
    tell("BOOT\n")
    try:
        try:
            # As on the boards: after an error in boot.py, and before the raw prompt, main.py is left out.
            if _run("boot.py") and not raw:
                _run("main.py")
            micropython.kbd_intr(-1)  # a Ctrl-C from now on is for the prompt
        except KeyboardInterrupt:  # it came when the program had just ended
            micropython.kbd_intr(-1)
        tell("REPL\n")
    finally:
        for name in ("_format_and_mount", "_setup", "_run", "_start", "vfs", "micropython"):
            globals().pop(name, None)
        if raw:
            sys.stdout.write("\0READY\0")


_start()
