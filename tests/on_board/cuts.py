"""Loses power at every flash operation of an update and of a revert, and looks what boots.

Arguments: old, new and by-hand files (JSON), the two servers' folders, file system,
program size, shapes of a torn operation in 256ths (JSON), whether to cut the
recovery as well, and which of how many parts of the operations to cut at.
"""

import hashlib

from ramflash import Flash, mount, tree, umount
from world import ARGS, boot, confirm, install, json, ramflash, status, tell, updater

OLD, NEW, HAND = ({p: d.encode() for p, d in json.loads(a).items()} for a in ARGS[:3])
FIRST, SECOND, KIND, PROG = ARGS[3], ARGS[4], ARGS[5], int(ARGS[6])
TORN, TWICE = json.loads(ARGS[7]), ARGS[8] == "twice"
PART, PARTS = int(ARGS[9]), int(ARGS[10])


def power_up(image, cut=None, torn=0, form=False):
    flash = Flash(image=image)
    flash.cut_at, flash.torn = cut, torn
    mount(flash, KIND, form, PROG)
    return flash


def staged(path):
    return path.endswith(".ota-new") or path.endswith(".ota-old")


def live():
    return {p: d for p, d in tree().items() if not staged(p)}


def stage():
    updater(SECOND, trial_boots=2).run(reset=False)


# What a board goes through, step by step.
UPDATE = (stage, boot, boot, confirm)
REVERT = (stage, boot, boot, boot, boot)


def whole(files):
    """Which release `files` are."""
    for name, want in (("old", OLD), ("new", NEW)):
        if files == dict(HAND, **want):
            return name
    return "mix of %s" % sorted(p for p in files if files[p] not in (OLD.get(p), NEW.get(p)))


def judge(image):
    """Power up, boot, and go on with the board's life; gives the verdict and the boot's operations."""
    flash = power_up(image)
    bare = "boot.py" not in tree()
    boot()
    verdict = "no boot.py" if bare else whole(live())
    ops = flash.ops
    # What comes later must work, and leave nothing lying about.
    if status()["phase"] == "trial":
        confirm()
    elif status()["refused"] != 2:
        for step in UPDATE:
            step()
    end = status()
    want = dict(HAND, **(OLD if end["refused"] == 2 else NEW))
    if tree() != want or end["phase"] != "idle":
        verdict += ", later %s with %s" % (end["phase"], sorted(set(tree()) ^ set(want)))
    umount(flash)
    return verdict, ops


def cut(image, k, torn, job):
    """Power up `image`, lose power at operation `k` of `job`; the image is as the cut left it."""
    flash = power_up(image, k, torn)
    for step in job:
        try:
            step()
        except Exception:
            if not flash.dead:
                raise
        # No program runs on without power; littlefs could spin on what its cache has.
        if flash.dead:
            break
    flash.dead = True
    umount(flash)


def sweep(base, job, seen, found):
    flash = power_up(bytearray(base))
    for step in job:
        step()
    total = flash.ops
    umount(flash)
    for k in range(PART, total, PARTS):
        for torn in TORN:
            image = bytearray(base)
            cut(image, k, torn, job)
            ops = look(image, seen, found, "cuts")
            for j in range(ops if TWICE else 0):
                second = bytearray(image)
                cut(second, j, 128, (boot,))
                look(second, seen, found, "second_cuts")
    return total


def look(image, seen, found, kind):
    digest = hashlib.sha256(image).digest()
    if digest in seen:
        return 0
    seen.add(digest)
    verdict, ops = judge(bytearray(image))
    found[kind] += 1
    found["found"][verdict] = found["found"].get(verdict, 0) + 1
    return ops


def main():
    base = bytearray(b"\xff" * (64 * 4096))
    flash = power_up(base, form=True)
    for path, data in HAND.items():
        ramflash.write(path, data)
    install(FIRST)
    umount(flash)
    found = {"cuts": 0, "second_cuts": 0, "found": {}}
    seen = set()
    ops = [sweep(base, job, seen, found) for job in (UPDATE, REVERT)]
    tell(ops=ops, **found)


main()
