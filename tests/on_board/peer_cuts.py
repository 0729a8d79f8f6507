"""What another updater leaves on the flash when the power fails: one program of the same engine.

Arguments: the job of `cuts.py` (JSON), the peer's name, its server's address.
"""

import json
import sys

import cuts
import ramflash
from oracle import Oracle, tree
from world import ARGS


class Machine:
    def reset(self):
        raise SystemExit

    def unique_id(self):
        return b"board"


def update(peer, url):
    """An update as the peer's own documentation does it."""
    if peer == "mip":
        import mip

        mip.install(url + "/sample/package.json", target=".")
        return
    import requests

    sys.modules["urequests"] = requests
    sys.modules["machine"] = Machine()
    from micropython_ota import ota_update

    try:
        ota_update(url, "sample", sorted(p for p in cuts.JOB["new"] if p != "version"))
    except SystemExit:
        pass


def look():
    # What is still in the folder for downloads is not live.
    files = {p: h for p, h in tree().items() if not p.startswith("tmp/")}
    return Oracle(cuts.JOB).whole(files, [cuts.JOB])


def main():
    cuts.JOB.update(json.loads(ARGS[0]))
    image = bytearray(b"\xff" * (cuts.JOB["blocks"] * cuts.JOB["block"]))
    flash = cuts.power_up(image, True)
    for path, text in cuts.JOB["hand"].items():
        ramflash.write(path, text.encode())
    ramflash.umount(flash)
    base = bytes(image)
    flash = cuts.power_up(image)
    flash.journal = []
    update(ARGS[1], ARGS[2])
    journal = flash.journal
    end = look()
    ramflash.umount(flash)
    found, line = {}, []
    for k, shape, torn in cuts.states(base, journal, cuts.JOB["shapes"]):
        flash = cuts.power_up(bytearray(torn))
        verdict = look()
        ramflash.umount(flash)
        found[verdict] = found.get(verdict, 0) + 1
        line.append((k, shape, verdict))
    print("FACTS " + json.dumps({"ops": len(journal), "end": end, "found": found, "line": line}))


main()
