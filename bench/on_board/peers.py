"""An update with each of the other updaters, as its own documentation does it."""

import os
import sys

from board import run


class Machine:
    """The module `machine`, which has no reset on a PC."""

    def reset(self):
        raise SystemExit


def names():
    return os.getenv("NAMES").split("\n")


def micropython_ota():
    import micropython_ota as peer

    def program():
        try:
            peer.ota_update(os.getenv("URL"), "sample", names())
        except SystemExit:
            pass

    return program


def senko():
    import senko as peer

    return lambda: peer.Senko(None, None, url=os.getenv("URL"), files=names()).update()


def mip():
    # From an index, because only there it knows hashes and leaves out what has not changed.
    import mip as peer

    return lambda: peer.install("sample", index=os.getenv("URL"), target=".", mpy=False)


def main(peer):
    import requests

    sys.modules["urequests"] = requests  # its name until MicroPython 1.20
    sys.modules["machine"] = Machine()
    run({"micropython_ota": micropython_ota, "senko": senko, "mip": mip}[peer]())
