# Runs inside the unix MicroPython, never in CPython. Loses power at every flash operation of a
# scenario, boots what is left, and says which release it is. See `Scenario` in __init__.py.
#
# A clean run writes a journal of its operations. What the flash holds after a power cut in one of
# them follows from it exactly, so that nothing has to run on a flash that is dead.
import hashlib
import json
import os
import sys

import ramflash
from oracle import Oracle, record, staged, tree

HOME = "/flash"
OUTSIDE = 199  # of so many states one is also looked at by another reader
JOB = {}
TIME = sys.modules.get("time") or __import__("time")
DROPPED = []  # generators that were stopped, each with the files that were open


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


class Faulty:
    """The module `os` of a board on which some calls fail: see `Scenario.faults`."""

    left = []  # of each fault how many calls still fail since the last power-on; below 0: all of them

    def __getattr__(self, name):
        do = getattr(os, name)
        if not any(fault[0] == name for fault in JOB["faults"]):
            return do

        def call(*paths):
            for i, (what, end, errno, _) in enumerate(JOB["faults"]):
                if what == name and self.left[i] and any(path.endswith(end) for path in paths):
                    self.left[i] -= 1
                    raise OSError(errno)
            return do(*paths)

        return call


def repair():
    """From here to the next power-on nothing fails any more."""
    Faulty.left = [0] * len(JOB["faults"])


def _load():
    import ota

    if JOB["faults"]:
        old = sys.modules.pop("ota.bootguard", None)  # it may have let go of what moves files
        __import__("ota.bootguard")
        guard = sys.modules["ota.bootguard"]
        guard.os = Faulty()
        guard.problems = old.problems if old else guard.problems
    return ota


def boot():
    library(True)
    _load().boot(HOME)


def confirm():
    library(True)
    _load()
    from ota.trial import confirm

    confirm(HOME)


def rollback():
    library(True)
    _load()
    from ota.trial import rollback

    rollback(HOME)


def status():
    library(False)
    from ota.trial import status

    return status(HOME)


def updater(server):
    library(False)
    _load()
    # By its public names, as a core has no others.
    from ota import SdTransport, Updater

    storage = None
    if JOB["storage"]:
        name, cls = JOB["storage"].split(":")
        storage = getattr(__import__(name, None, None, (cls,)), cls)(HOME + "/")
    u = Updater(SdTransport(server), storage=storage, trial_boots=2)
    u.safe = JOB["safe"]
    return u


def stage(server, chunks=None, close=True):
    from_server = updater(server).steps()
    for _ in from_server:
        if chunks is not None:
            chunks -= 1
            if chunks < 0:
                break
    if chunks is not None:
        DROPPED.append((from_server, ramflash._files[:]))
    if close:
        from_server.close()


def stage_if_allowed(server):
    """As `stage`, of a release that the board may refuse."""
    updater(server)
    from ota import OtaError

    try:
        stage(server)
    except OtaError:
        pass


def fill(names=False):
    """What an application does to a flash: leave no room, with `names` not even for one more small file."""
    for size in (JOB["block"], 250, 1) if names else (JOB["block"],):
        for n in range(1000):
            try:
                with open("filler%d.%d" % (n, size), "wb") as f:
                    f.write(bytes(size))
            except OSError as e:
                if e.errno not in (28, 36):
                    raise
                break


def free():
    """Take all of that back."""
    for name in os.listdir():
        if name.startswith("filler"):
            os.remove(name)


def remove(path):
    """Remove what is there: a file, or a folder with all that is in it."""
    try:
        kind = os.stat(path)[0]
    except OSError:
        return
    if kind & 0x4000:
        for name in os.listdir(path):
            remove(path + "/" + name)
        os.rmdir(path)
    else:
        os.remove(path)


def damage(what):
    """Zeros over the first staged file, or over a manifest: what `what` names, `next` or `live`."""
    path = ([p for p in tree() if p.endswith(".ota-new")] + [""])[0]
    if what:
        state = record()
        path = ".ota/" + state[4 if what == "next" else 3]
    ramflash.write(path, bytes(os.stat(path)[6]))


class Clock:
    """The module `time` of a board that knows what time it is."""

    now = 0

    def __getattr__(self, name):
        return getattr(TIME, name)

    def time(self):
        return self.now or TIME.time()


def at_rest():
    """Nothing of an update may be there."""
    left = [p for p in tree() if staged(p) and not p.startswith("filler")]
    if left or record()[0] != "idle":
        raise ValueError("%s with %s" % (record()[0], left))


def set_clock(text):
    """The time that it is from here on, in seconds since 1970."""
    Clock.now = int(text)
    # The library takes it for the built-in one.
    sys.modules["time"] = Clock()


def collect():
    """The collector comes to what was stopped and closes its files; it cannot do it here, where the flash needs the heap."""
    while DROPPED:
        for f in DROPPED.pop()[1]:
            f.close()


# The words of a scenario; each gets what stands behind it.
WORDS = {
    "stage": lambda _: stage(JOB["second"]),
    "stop": lambda text: stage(JOB["second"], int(text)),
    "drop": lambda text: stage(JOB["second"], int(text), False),
    "collect": lambda _: collect(),
    "try": lambda _: stage_if_allowed(JOB["second"]),
    "withdraw": lambda _: stage(JOB["first"]),
    "newer": lambda _: stage(JOB["later"]),
    "boot": lambda _: boot(),
    "confirm": lambda _: confirm(),
    "rollback": lambda _: rollback(),
    "damage": damage,
    "fill": lambda text: fill(text == "names"),
    "free": lambda _: free(),
    "clock": set_clock,
    "folder": lambda path: ramflash.folder(path),
    "write": lambda path: ramflash.write(path, b"of the application"),
    "remove": lambda path: remove(path),
    "repair": lambda _: repair(),
    "rest": lambda _: at_rest(),
    "deploy": lambda _: deploy(),
}


def step(text):
    """Do one step of a scenario."""
    word, _, rest = text.partition(" ")
    WORDS[word](rest)


def power_up(image, form=False):
    flash = ramflash.Flash(block=JOB["block"], image=image)
    flash.whole_sectors = JOB["kind"] == "fat"
    ramflash.mount(flash, JOB["kind"].split()[0], form, JOB["prog"])
    Faulty.left = [fault[3] or -1 for fault in JOB["faults"]]
    guard = sys.modules.get("ota.bootguard")
    if guard:
        del guard.problems[:]
    return flash


class Judge:
    def __init__(self):
        self.oracle = Oracle(JOB)
        self.accepted = ()  # of the step in which the power failed
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
        gone = self.oracle.before_boot()
        was = record()
        flash.journal = []
        boot()
        journal = flash.journal
        flash.journal = None
        files = tree()
        verdict = self.oracle.whole(files, self.accepted)
        if len(self.seen) % OUTSIDE == 1:
            path = "%s.%d" % (JOB["digests"], len(self.seen))
            with open(path, "wb") as f:
                f.write(flash.image)
            self.outside.append((path, verdict))
        told = status()
        wrong = self.oracle.after_boot(verdict, was, record(), told, files, self.accepted)
        life = (told["phase"], told["boots"], told["refused"], told["blocked"], sorted(files.items()))
        life = hashlib.sha256(json.dumps(life).encode()).digest()
        if life not in self.lives:
            self.lives.add(life)
            if verdict in ("old", "new"):
                wrong += self.later(flash, told, verdict, files)
        ramflash.umount(flash)
        return gone or verdict + wrong, journal

    def later(self, flash, told, verdict, files):
        """Go on with the board's life; gives what went wrong with it."""
        if told["blocked"]:
            ops = flash.ops
            stage_if_allowed(JOB["second"])
            if flash.ops != ops:
                return ", blocked and still fetched"
        free()
        for text in JOB["mend"] if told["seq"] != 2 else ():
            step(text)
        # What the application has made, or got back, beside the release.
        known = self.oracle.names(self.accepted)
        own = tree()
        own = {p: h for p, h in own.items() if JOB[verdict].get(p) != h and not staged(p) and (h or p in known)}
        if told["phase"] == "trial":
            confirm()
        elif told["refused"] != 2 and told["seq"] < 3:
            for text in ("stage", "boot", "boot", "confirm"):
                step(text)
        end = status()
        name = "new" if end["seq"] > 1 else "old"
        wrong = _ended(end, name, own, told["floor"], name == verdict)
        if end["refused"] == end["seq"] and not JOB["stays"]:
            wrong += ", a refused release runs"
        if wrong or not JOB["later"]:
            return wrong
        for text in ("newer", "boot", "boot", "confirm"):
            step(text)
        return _ended(status(), "new", own, 3)


def _ended(end, name, own, floor, kept=False):
    # Whether the board is at rest with all of the release `name` and of the application's; with
    # `kept` also where both have a path.
    want = {p: h for p, h in own.items() if p[:-1] not in JOB[name] and p not in JOB["spared"]}
    for path, digest in JOB[name].items():
        if path not in JOB["spared"] and not (kept and path in want):
            want[path] = digest
    found = {p: h for p, h in tree().items() if p not in JOB["spared"]}
    if found == want and end["phase"] == "idle" and end["floor"] >= floor:
        return ""
    return ", later %s, seq %s, floor %s with %s" % (end["phase"], end["seq"], end["floor"], sorted(set(found) ^ set(want)))


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


def sweep(judge, base, journal, marks):
    # `marks`: the number of the first operation of each step.
    every = JOB["every"] * JOB["parts"]
    count = 0
    step = 0
    if JOB["cut"]:  # how the flash was when that step began
        image = bytearray(base)
        for at, _, after in journal[: marks[JOB["cut"]]]:
            image[at : at + len(after)] = after
        base, journal = bytes(image), journal[marks[JOB["cut"]] :]
        marks = [0] * JOB["cut"] + [n - marks[JOB["cut"]] for n in marks[JOB["cut"] :]]
    for k, shape, image in states(base, journal, JOB["shapes"], JOB["part"], every):
        while step + 1 < len(marks) and marks[step + 1] <= k:
            step += 1
        judge.accepted = judge.oracle.accepted(step)
        one = bytes(image)
        second = judge.look(one, 0, [k, shape])
        if JOB["stop"] and judge.bad:
            return
        if JOB["depth"] < 2:
            continue
        for j, shape2, image2 in states(one, second, JOB["shapes"], k % JOB["second_every"], JOB["second_every"]):
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
    repair()
    for path, text in JOB["hand"].items():
        ramflash.write(path, text.encode())
    if JOB["deploy"]:
        for _ in range(2):
            deploy()
    else:
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


def deploy():
    """What `ota deploy` does to a board: the files of the first release, its manifest, and its own code for the state."""
    library(False)
    with open(JOB["first"] + "/stable.manifest", "rb") as f:
        head, *lines = f.read().split(b"\n")
    for line in lines:
        if line:
            entry = json.loads(line)
            with open("%s/blobs/%s/%s" % (JOB["first"], entry["h"][:2], entry["h"]), "rb") as f:
                ramflash.write(entry["p"], f.read())
    space = {}
    exec(JOB["deploy"][0], space)
    ramflash.write(".ota/a", b"\n".join([head] + lines))
    exec(JOB["deploy"][1], space)


def main(path):
    with open(path) as f:
        JOB.update(json.load(f))
    # Not the current folder: that is the flash.
    sys.path[:] = [p for p in sys.path if p]
    base = bytes(begin())
    flash = power_up(bytearray(base))
    flash.journal = []
    marks = []
    for text in JOB["steps"]:
        marks.append(len(flash.journal))
        step(text)
    judge = Judge()
    end = judge.oracle.whole(tree(), judge.oracle.accepted(len(marks)))
    if end != JOB["ends"]:
        judge.found["clean run ends in %s" % end] = 1
        judge.bad.append(["clean", end])
    journal = flash.journal
    flash.journal = None
    ramflash.umount(flash)
    if not (JOB["stop"] and judge.bad):
        sweep(judge, base, journal, marks)
    judge.out.close()
    facts = {"ops": len(journal), "cuts": judge.cuts, "found": judge.found, "bad": judge.bad}
    facts.update({"line": judge.line, "outside": judge.outside, "programmed": flash.programmed, "erased": flash.erased})
    print("FACTS " + json.dumps(facts))
