# Runs inside the unix MicroPython, never in CPython. Loses power at every flash operation of a
# scenario, boots what is left, and says which release it is. See `Scenario` in __init__.py.
#
# A clean run writes a journal of its operations. What the flash holds after a power cut in one of
# them follows from it exactly, so that nothing has to run on a flash that is dead.
import hashlib
import json
import os
import sys
from binascii import hexlify

import ramflash

HOME = "/flash"
OUTSIDE = 199  # of so many states one is also looked at by another reader
JOB = {}


def _forget():
    for name in list(sys.modules):
        if name == "ota" or name.startswith("ota."):
            del sys.modules[name]


def library(on_flash):
    """Where `ota` comes from: the flash, when the library is a part of the releases."""
    if JOB["own"]:
        _forget()
        sys.path[:] = [p for p in sys.path if p != HOME]
        if on_flash:
            sys.path.insert(0, HOME)


def boot():
    library(True)
    import ota

    ota.boot(HOME)


def confirm():
    library(True)
    from ota.trial import confirm

    confirm(HOME)


def rollback():
    library(True)
    from ota.trial import rollback

    rollback(HOME)


def status():
    library(False)
    from ota.trial import status

    return status(HOME)


def updater(server):
    library(False)
    # By its public names, as a core has no others.
    from ota import SdTransport, Updater

    storage = None
    if JOB["storage"]:
        name, cls = JOB["storage"].split(":")
        storage = getattr(__import__(name, None, None, (cls,)), cls)(HOME + "/")
    u = Updater(SdTransport(server), storage=storage, trial_boots=2)
    u.safe = JOB["safe"]
    return u


def stage(server, chunks=None):
    from_server = updater(server).steps()
    for _ in from_server:
        if chunks is not None:
            chunks -= 1
            if chunks < 0:
                break
    from_server.close()


def fill():
    """What an application does to a flash: leave no room."""
    for n in range(1000):
        try:
            with open("filler%d.bin" % n, "wb") as f:
                f.write(bytes(JOB["block"]))
        except OSError as e:
            if e.errno != 28:
                raise
            return


def free():
    """Take all of that back."""
    for name in os.listdir():
        if name.startswith("filler"):
            os.remove(name)


def step(text):
    """Do one step of a scenario."""
    word, _, number = text.partition(" ")
    if word == "stage":
        stage(JOB["second"])
    elif word == "stop":
        stage(JOB["second"], int(number))
    elif word == "withdraw":
        stage(JOB["first"])
    elif word == "damage":
        path = [p for p in tree() if p.endswith(".ota-new")][0]
        ramflash.write(path, bytes(os.stat(path)[6]))
    else:
        words = {"boot": boot, "confirm": confirm, "rollback": rollback, "fill": fill, "free": free}
        words[word]()


def power_up(image, form=False):
    flash = ramflash.Flash(block=JOB["block"], image=image)
    flash.whole_sectors = JOB["kind"] == "fat"
    ramflash.mount(flash, JOB["kind"].split()[0], form, JOB["prog"])
    return flash


def staged(path):
    return path.endswith(".ota-new") or path.endswith(".ota-old") or path.startswith("filler")


def litter(files, phase):
    """What an update left lying about, in a phase in which nothing may."""
    if phase != "idle":
        return ""
    left = [p for p in files if staged(p) and not p.startswith("filler")]
    return ", litter %s" % left[0] if left else ""


def _sum(path):
    with open(path, "rb") as f:
        return hexlify(hashlib.sha256(f.read()).digest()).decode()


def tree():
    """{path: sha256} of all files, without what is in .ota/."""
    return ramflash.tree(of=_sum)


def whole(files):
    """Which release `files` are."""
    for name in ("old", "new"):
        if files == JOB[name]:
            return name
    old, new = JOB["old"], JOB["new"]
    strange = [p for p in files if files[p] not in (old.get(p), new.get(p))]
    return "mix, with %s strange" % strange if strange else "mix"


class Judge:
    def __init__(self):
        self.seen = set()
        self.lives = set()
        self.cuts = [0, 0, 0]
        self.found = {}
        self.bad = []
        self.line = []
        self.out = open(JOB["digests"], "wb")
        self.outside = []  # (file with an image, verdict), for another reader to look at

    def look(self, image, depth, where):
        """Boot `image`, unless it was seen; gives the journal of that boot."""
        digest = hashlib.sha256(image).digest()[:8]
        if digest in self.seen:
            return ()
        self.seen.add(digest)
        self.out.write(digest)
        try:
            verdict, journal = self.verdict(image)
        except Exception as e:
            verdict, journal = "error %r" % e, ()
            os.chdir("/")
            try:
                ramflash.vfs.umount(HOME)
            except OSError:
                pass
        self.cuts[depth] += 1
        self.found[verdict] = self.found.get(verdict, 0) + 1
        if depth == 0:
            self.line.append((where[0], where[1], verdict))
        if verdict not in ("old", "new") and len(self.bad) < 5:
            self.bad.append([where, verdict])
        return journal

    def verdict(self, image):
        flash = power_up(bytearray(image))
        gone = [ways[0] for ways in JOB["vital"] if not any(map(present, ways))]
        flash.journal = []
        boot()
        journal = flash.journal
        flash.journal = None
        files = tree()
        verdict = whole({p: h for p, h in files.items() if not staged(p)})
        if len(self.seen) % OUTSIDE == 1:
            path = "%s.%d" % (JOB["digests"], len(self.seen))
            with open(path, "wb") as f:
                f.write(flash.image)
            self.outside.append((path, verdict))
        told = status()
        if told["seq"] != {"old": 1, "new": 2}.get(verdict):
            verdict += ", told as seq %s" % told["seq"]
        if gone:
            verdict = "%s is gone" % gone[0]
        life = (told["phase"], told["boots"], told["refused"], sorted(files.items()))
        life = hashlib.sha256(json.dumps(life).encode()).digest()
        if life not in self.lives:
            self.lives.add(life)
            verdict += later(told)
        verdict += litter(files, told["phase"])
        if told["floor"] < 1:
            verdict += ", floor %r" % told["floor"]
        ramflash.umount(flash)
        return verdict, journal


def vital():
    """What a board must never be without: for each such file the paths that it may have."""
    found = []
    for path in JOB["old"]:
        if path in ("boot.py", "main.py") or path.startswith("ota/"):
            stem = path[: path.rfind(".")]
            ways = [p for p in (stem + ".py", stem + ".mpy") if p in JOB["old"] or p in JOB["new"]]
            if any(p in JOB["new"] for p in ways):
                found.append(ways)
    return found


def present(path):
    try:
        return os.stat(path)[6] > 0
    except OSError:
        return False


def later(told):
    """Go on with the board's life; gives what went wrong with it."""
    free()
    if told["phase"] == "trial":
        confirm()
    elif told["refused"] != 2:
        for text in ("stage", "boot", "boot", "confirm"):
            step(text)
    end = status()
    want = JOB["old" if end["refused"] == 2 else "new"]
    if tree() == want and end["phase"] == "idle" and end["floor"] >= told["floor"]:
        return ""
    return ", later %s with %s" % (end["phase"], sorted(set(tree()) ^ set(want)))


def torn(shape, before, after):
    """The bytes of an operation in which the power failed."""
    n = (0, 1, len(after) // 2, len(after) - 1, len(after))[shape] if shape < 5 else 0
    if shape < 5:
        return after[:n] + before[n:]
    out = bytearray(before)
    for i in range(len(out)):
        # Of the bits that change, every other one has.
        out[i] = before[i] & ~0x55 | after[i] & 0x55
    return out


def states(image, journal, shapes, first=0, every=1):
    """Give (operation, shape, image) of each cut; the image is only good until the next one."""
    image = bytearray(image)
    for k, (at, before, after) in enumerate(journal):
        if (k - first) % every == 0:
            for shape in shapes:
                image[at : at + len(before)] = torn(shape, before, after)
                yield k, shape, image
        image[at : at + len(before)] = after


def sweep(judge, base, journal):
    every = JOB["every"] * JOB["parts"]
    count = 0
    for k, shape, image in states(base, journal, JOB["shapes"], JOB["part"], every):
        one = bytes(image)
        second = judge.look(one, 0, [k, shape])
        if JOB["stop"] and judge.bad:
            return
        if JOB["depth"] < 2:
            continue
        for j, shape2, image2 in states(one, second, JOB["shapes"]):
            two = bytes(image2)
            third = judge.look(two, 1, [k, shape, j, shape2])
            count += 1
            if JOB["depth"] > 2 and third and count % JOB["third"] == 0:
                for i, shape3, image3 in states(two, third, JOB["shapes"]):
                    judge.look(bytes(image3), 2, [k, shape, j, shape2, i, shape3])


def begin():
    """A board with the first release; gives its image."""
    image = bytearray(b"\xff" * (JOB["blocks"] * JOB["block"]))
    flash = power_up(image, True)
    for path, text in JOB["hand"].items():
        ramflash.write(path, text.encode())
    stage(JOB["first"])
    boot_first()
    ramflash.umount(flash)
    return image


def boot_first():
    library(False)
    import ota

    for _ in range(2):
        ota.boot(HOME)
    from ota.trial import confirm

    confirm(HOME)


def main(path):
    with open(path) as f:
        JOB.update(json.load(f))
    JOB["vital"] = vital()
    # Not the current folder: that is the flash.
    sys.path[:] = [p for p in sys.path if p]
    base = bytes(begin())
    flash = power_up(bytearray(base))
    flash.journal = []
    for text in JOB["steps"]:
        step(text)
    judge = Judge()
    end = whole({p: h for p, h in tree().items() if not staged(p)})
    if end != JOB["ends"]:
        judge.found["clean run ends in %s" % end] = 1
        judge.bad.append(["clean", end])
    journal = flash.journal
    flash.journal = None
    ramflash.umount(flash)
    if not (JOB["stop"] and judge.bad):
        sweep(judge, base, journal)
    judge.out.close()
    facts = {"ops": len(journal), "cuts": judge.cuts, "found": judge.found, "bad": judge.bad}
    facts.update({"line": judge.line, "outside": judge.outside, "programmed": flash.programmed, "erased": flash.erased})
    print("FACTS " + json.dumps(facts))
