"""A board that is attacked: it has a release, then meets bad servers, then a good one again."""

import json
import os
import sys
import time

import ramflash
import world
from ota.errors import OtaError
from ota.transports.http import HttpTransport
from world import ARGS, EVENTS, boot, confirm, each_cut, error, power_up, rollback, status, tell

JOB = json.loads(ARGS[0])


def clock(seconds, epoch=1970):
    """Let the board's clock stand at `seconds` since 1970, counted as a port with that epoch does."""
    shift = 946684800 if epoch == 2000 else 0

    class Time:
        ticks_ms = time.ticks_ms
        ticks_diff = time.ticks_diff
        sleep = time.sleep

        @staticmethod
        def time():
            return seconds - shift

        @staticmethod
        def gmtime(t=0):
            return real(t + shift)

    real = time.gmtime
    sys.modules["time"] = Time


def verifier():
    kind = JOB["kind"]
    if kind == "signed":
        from ota.verifiers.signature import SignatureVerifier

        return SignatureVerifier(JOB["keys"], JOB["threshold"])
    if kind == "tuf":
        from ota.verifiers.tuf import TufVerifier

        return TufVerifier("/flash/root.json", "/flash/.ota/tuf")
    from ota.verifiers import Sha256Verifier

    return Sha256Verifier()


def transport(name):
    it = HttpTransport(JOB["url"] + "/" + name, timeout=JOB["timeout"], retries=JOB["retries"])
    it.backoff_ms = 20
    it.floor, it.grace_s = JOB["floor"], JOB["grace_s"]
    return it


def updater(name, **options):
    """An Updater whose server is the tree `name` of the site."""
    made = world.updater("", verifier=verifier(), **options)
    made.transport = transport(name) if isinstance(name, str) else name
    return made


def attempt(name, **options):
    """One update; what came of it (dict)."""
    u = updater(name, **options)
    said = error(u.run, reset=False)
    u.transport.close()
    fetched = [e[1] for e in EVENTS if e[0] == "fetch"]
    return {"said": said, "ready": u.ready, "fetched": fetched, "events": [e[0] for e in EVENTS]}


def install(name):
    done = attempt(name)
    boot(2)
    confirm()
    return done


def live():
    """{path: content} without what is staged."""
    return {p: d for p, d in ramflash.tree().items() if ".ota-" not in p}


def power_up_with_root(**options):
    flash = power_up(**options)
    if JOB["root"]:
        ramflash.write("root.json", JOB["root"].encode())
    ramflash.write("mine.txt", b"mine")
    return flash


def siege():
    """Install the tree `v1`, meet each bad one, install `v2`."""
    power_up_with_root(kind=JOB["fs"], blocks=JOB["blocks"])
    first = install("v1")
    before = live()
    free = os.statvfs("/flash")[3]
    told = []
    for name in JOB["bad"]:
        if JOB["clock"]:
            clock(*JOB["clock"])
        one = attempt(name)
        one["live"] = live() == before
        boot(2)
        one["booted"] = live() == before
        one["phase"] = status()["phase"]
        one["lost"] = free - os.statvfs("/flash")[3]
        told.append(one)
        del ramflash._files[:]
    sys.modules["time"] = time
    last = {}
    for _ in range(JOB["then"]):
        last = install("v2")
        if last["ready"]:
            break
    tell(first=first, told=told, last=last, end=live(), status=status(), left=len(ramflash.tree()) - len(live()))
