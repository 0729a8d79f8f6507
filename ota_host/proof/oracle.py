# Runs inside the unix MicroPython, never in CPython. Says which release a board is left with, and what is wrong with it.
#
# It reads the flash without the library, so that a fault of the library cannot hide itself.
import hashlib
import json
import os
from binascii import hexlify

import ramflash

SEQS = {"old": (1,), "new": (2, 3)}
# Where they are in the record of the state.
PHASE, N, SEQ, FLOOR, REFUSED, BOOTS, TRIAL = 0, 2, 5, 6, 7, 8, 9


def sum_of(path):
    """The SHA-256 (hex) of a file."""
    with open(path, "rb") as f:
        return hexlify(hashlib.sha256(f.read()).digest()).decode()


def tree():
    """{path: sha256} of all files, and {path/: ""} of the empty folders, without what is in .ota/."""
    return ramflash.tree(of=sum_of, empty="")


def record():
    """The newest record of the state (list), None when there is none."""
    best = None
    for name in ("state", "state.new"):
        try:
            with open(".ota/" + name) as f:
                found = json.load(f)
        except (OSError, ValueError):
            continue
        if isinstance(found, list) and (not best or found[N] > best[N]):
            best = found
    return best


def present(path):
    try:
        return os.stat(path)[6] > 0
    except OSError:
        return False


def staged(path):
    """Whether `path` is of an update, or the application's filler: no part of a release."""
    if path.startswith("filler"):
        return True
    for part in path.split("/"):
        if part.endswith(".ota-new") or part.endswith(".ota-old"):
            return True
    return False


class Oracle:
    """Judges by `job`, a Scenario as a dict."""

    def __init__(self, job):
        self._job = job
        self._vital = self._find_vital()

    def _find_vital(self):
        # What a board must never be without: for each such file the paths that it may have.
        old, new = self._job["old"], self._job["new"]
        found = []
        for path in old:
            if path in ("boot.py", "main.py") or path.startswith("ota/"):
                stem = path[: path.rfind(".")]
                ways = [p for p in (stem + ".py", stem + ".mpy") if p in old or p in new]
                if any(p in new for p in ways):
                    found.append(ways)
        return found

    def accepted(self, step):
        """What the board may be found as after a cut in step number `step`: a list of {"old": …, "new": …}."""
        found = [self._job]
        for number, trees in self._job["turns"]:
            if number < step:
                found = [trees]
            elif number == step:
                found.append(trees)
        return found

    def names(self, accepted):
        """All paths of `accepted` (set)."""
        return {path for trees in accepted for name in ("old", "new") for path in trees[name]}

    def whole(self, files, accepted):
        """Which release `files` are."""
        known = self.names(accepted)
        # A folder may be empty on the way.
        files = {p: h for p, h in files.items() if not staged(p) and (p[-1] != "/" or p in known)}
        for trees in accepted:
            for name in ("old", "new"):
                if files == trees[name]:
                    return name
        old, new = accepted[-1]["old"], accepted[-1]["new"]
        strange = [p for p in files if files[p] not in (old.get(p), new.get(p))]
        return "mix, with %s strange" % strange if strange else "mix"

    def before_boot(self):
        """What the boot would miss, as the flash is now; empty when nothing."""
        for ways in self._vital:
            if not any(map(present, ways)):
                return "%s is gone" % ways[0]
        todo = ["boot.py"] if self._job["imports"] else []
        while todo:
            path = todo.pop()
            for module, contents in self._job["imports"].get(sum_of(path), {}).items():
                if not present(module) or sum_of(module) not in contents:
                    return "%s cannot import its %s" % (path, module)
                todo.append(module)
        return ""

    def after_boot(self, verdict, was, now, told, files, accepted):
        """What is wrong with the board's record, or with what it says, after a boot that went from `was` to `now`."""
        wrong = ""
        if told["seq"] not in SEQS.get(verdict, ()) and not (told["seq"] == 0 and self._job["unknown"]):
            wrong += ", told as seq %s" % told["seq"]
        if told["phase"] == "idle":
            left = [p for p in files if staged(p) and not p.startswith("filler") and p not in self._job["spared"]]
            left += [p for p in files if p[-1] == "/" and not any(p in trees.get(verdict, ()) for trees in accepted)]
            wrong += ", litter %s" % left[0] if left else ""
        floor = max(1, was[FLOOR] if was else 0)
        stays = bool(told["seq"]) and told["seq"] == told["refused"]
        if told["floor"] < floor or now and now[FLOOR] < floor:
            wrong += ", floor sank to %s" % told["floor"]
        elif told["phase"] == "idle" and told["floor"] != told["seq"] and told["seq"] and not stays:
            wrong += ", idle with seq %s and floor %s" % (told["seq"], told["floor"])
        if was and was[PHASE] == told["phase"] == "trial" and told["boots"] <= was[BOOTS]:
            wrong += ", boot %s not counted" % was[BOOTS]
        if stays and not self._job["stays"]:
            wrong += ", a refused release runs"
        if was and was[PHASE] in ("trial", "reverting") and verdict == "old" and told["refused"] != was[SEQ]:
            wrong += ", undone and not refused"
        if not self._job["own"]:
            wrong += self._silence(was, told, files, stays)
        return wrong

    def _silence(self, was, told, files, stays):
        # What status() should say and does not.
        if told["phase"] != "idle":
            return ""
        said = told["problem"] or ""
        phase = was[PHASE] if was else ""
        if phase in ("ready", "committing") and told["seq"] == 1 and not said:
            return ", dropped without a word"
        if phase == "trial" and stays and "stays" not in said:
            return ", stays without a word"
        for path in files:
            at = path.find(".ota-aside")
            if (
                at > 0
                and told["seq"] == 1
                and told["refused"]
                and path[: at + 10] not in said
                and path not in self._job["spared"]
            ):
                return ", %s without a word" % path
            if path in self._job["spared"] and self._job["faults"] and phase not in ("", "idle") and not said:
                return ", %s left without a word" % path
        by = self._job["blocked"]
        if by and (by in files or by == "no room") and told["seq"] == 1 and by not in (told["blocked"] or ""):
            return ", not blocked by %s" % by
        return ""
