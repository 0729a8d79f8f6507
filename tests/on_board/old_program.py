"""A program as boards run it: calls functions of `micropython_ota`, and tells what came of each.

The first argument is a list of calls (JSON): name, positional and keyword arguments.
A reset ends the program, as it does on a board.
"""

import json
import os
import sys

import requests


class Machine:
    """The module `machine`, which has no reset on a PC; this one remembers which was asked for."""

    asked = None

    def reset(self):
        self._end("hard")

    def soft_reset(self):
        self._end("soft")

    def _end(self, kind):
        self.asked = kind
        raise SystemExit


machine = Machine()
sys.modules["machine"] = machine
sys.modules["urequests"] = requests  # its name until MicroPython 1.20


def run(calls):
    """What each of `calls` returned, raised, or reset (list of dict)."""
    import micropython_ota

    told = []
    for name, args, more in calls:
        machine.asked = None
        try:
            told.append({"returned": getattr(micropython_ota, name)(*args, **more)})
        except SystemExit:
            told.append({"reset": machine.asked})
            break
        except Exception as e:
            told.append({"raised": "%s: %s" % (type(e).__name__, e)})
    return told


def main():
    told = run(json.loads(json.loads(os.getenv("ARGS"))[0]))
    print("FACTS " + json.dumps(told))
