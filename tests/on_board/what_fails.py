"""What becomes of a board in each phase when its file system fails.

ARGS: the folders of three releases; of how many faults one is tried, and at which to begin; the phases, default all.
Prints a line of FACTS for each phase: {how it fails: {error: what there is right after it, old, new or mix}}.
Afterwards nothing fails any more, and the third release has to install.
"""

import os

import failing
import ramflash

failing.install()
from ota.errors import StorageError  # noqa: E402
from ota.storage.littlefs import LittlefsStorage  # noqa: E402
from ota.transports.sd import SdTransport  # noqa: E402
from ota.updater import Updater  # noqa: E402
from world import ARGS, boot, confirm, power_up, status, tell, updater  # noqa: E402

ONE, TWO, THREE = ARGS[:3]
STEP, OFFSET, ONLY = int(ARGS[3]), int(ARGS[4]), ARGS[5:]
NAMES = {errno: name for name, errno in failing.ERRORS.items()}


def snapshot():
    return bytes(flash.image)


def put_back(image):
    import ota.storage

    global flash
    try:
        import ota.updater

        ota.updater._waiting.clear()
    except ImportError:
        pass
    ota.storage._running.clear()
    del ramflash._files[:]
    ramflash.umount(flash)
    flash = ramflash.Flash(image=bytearray(image))
    ramflash.mount(flash)


def update(server=TWO):
    Updater(SdTransport(server), storage=LittlefsStorage("/flash/")).run(reset=False)


def cut(job, phase):
    """Go on with `job` up to the middle of what it does in `phase`, and have the power fail there."""
    from ota.bootguard import load

    before = snapshot()
    failing.arm(0, lambda n, what, paths: False)
    job()
    calls = [n for n, (what, paths) in enumerate(failing.log, 1) if what in ("rename", "remove")]
    found = []
    for n in calls:
        put_back(before)
        failing.arm(0, failing.once(n))
        try:
            job()
        except failing.Cut:
            pass
        failing.arm()
        for f in ramflash._files:
            f.close()
        if load("/flash")["phase"] == phase:
            found.append(snapshot())
    put_back(found[len(found) // 2])


def start():
    """{phase: (image, what happens then)}"""
    found = {}
    update(ONE)
    boot(2)
    confirm()
    boot()
    found["idle"] = snapshot(), update
    steps = updater(TWO).steps()
    for _ in zip(range(14), steps):
        pass
    steps.close()
    found["staging"] = snapshot(), update
    update()
    ready = found["ready"] = snapshot(), boot
    cut(boot, "committing")
    found["committing"] = snapshot(), boot
    put_back(ready[0])
    boot()
    found["trial"] = snapshot(), boot
    trial = snapshot()
    boot(3)
    found["trial, the last boot"] = snapshot(), boot
    cut(boot, "reverting")
    found["reverting"] = snapshot(), boot
    put_back(trial)
    cut(confirm, "cleaning")
    found["cleaning"] = snapshot(), boot
    return found


def files():
    """What a release may have: not what an update has staged, kept or moved aside."""
    return {path: data for path, data in ramflash.tree().items() if ".ota-" not in path}


def whole():
    tree = files()
    return "old" if tree == OLD else "new" if tree == NEW else "mix"


def met(job):
    """Whole or not, right after `job`, and whether the next boot has to go on with it."""
    from ota.errors import OtaError

    try:
        job()
    except OtaError:
        pass
    failing.arm()
    found = whole()
    told = status()
    return found if found != "mix" or told["problem"] else "mix, and says nothing"


def recovers(why):
    """When nothing fails any more, the next good release installs."""
    for _ in range(3):
        boot()
        confirm()
    boot()
    try:
        update(THREE)
    except StorageError as e:  # a manifest could not be read, so nobody knows whose file it is
        assert str(e) == "conf/x.json: conf is in the way; move it"
        os.remove("conf")
        update(THREE)
    boot(2)
    confirm()
    boot()
    there = files()
    if "path" in why and ".ota/" in str(why):
        there.pop("gone.txt", None)  # of a manifest that cannot be read nobody knows what it named
    if there != LAST or status()["phase"] != "idle":
        raise SystemExit("%r: %r %r" % (why, sorted(set(files().items()) ^ set(LAST.items())), status()))


def faults(job, image):
    """(mode, errno, what `failing.arm` takes) for everything that may fail in `job`."""
    put_back(image)
    failing.arm(0, lambda n, what, paths: False)
    job()
    calls, paths = len(failing.log), sorted({p for what, paths in failing.log for p in paths})
    failing.arm()
    k = OFFSET
    for mode, ways in (
        ("passes", [failing.once(n + 1) for n in range(calls)]),
        ("path", [failing.on_path(p) for p in paths]),
        ("writes", [failing.on_writes]),
    ):
        for number, way in enumerate(ways):
            for errno in sorted(NAMES):
                k += 1
                if mode == "writes" or k % STEP == 0:
                    yield mode, errno, way, number if mode == "passes" else paths[number] if mode == "path" else ""


flash = power_up()
TREES = []
for server in (ONE, TWO, THREE):
    update(server)
    boot(2)
    confirm()
    boot()
    TREES.append(ramflash.tree())
OLD, NEW, LAST = TREES
ramflash.umount(flash)
flash = power_up()
for phase, (image, job) in start().items():
    if ONLY and phase not in ONLY:
        continue
    ends = {}
    count = 0
    for mode, errno, way, where in faults(job, image):
        put_back(image)
        failing.arm(errno, way)
        end = met(job)
        where = failing.last[where] if mode == "passes" and where < len(failing.last) else where
        ends.setdefault(mode, {}).setdefault(NAMES[errno], set()).add(end)
        recovers((phase, mode, errno, where, end))
        count += 1
    told = {mode: {name: sorted(which) for name, which in found.items()} for mode, found in ends.items()}
    tell(**{phase: told})
    print("ota: %s: %d faults" % (phase, count))
