"""What boards go through in the proof: the phases of an update, each cut at every operation."""

import hashlib
import zlib

from support import ROOT, delta, release

from ota_host import differences
from ota_host.proof import Scenario, digests
from ota_host.terms import crc, line
from ota_host.tree import parse_manifest

OLD = {
    "boot.py": "boot 1 " * 40,
    "lib/a.py": "a 1 " * 500,
    "lib/b.py": "b 1 " * 90,
    "lib/gone.py": "gone " * 30,
    "main.py": "main 1 " * 900,
    "ota/bootguard.mpy": "lib 1 " * 40,
    "ota/__init__.py": "lib 1 " * 40,
    "same.py": "same " * 10,
}
NEW = {
    "boot.py": "boot 2 " * 41,
    "by_hand.txt": "released",
    "lib/a.py": "a 2 " * 510,
    "lib/b.py": "b 2 " * 91,
    "lib/sub/new.py": "new " * 300,
    "main.py": "main 2 " * 910,
    "ota/bootguard.py": "lib 2 " * 40,
    "ota/__init__.py": "lib 2 " * 41,
    "same.py": "same " * 10,
}
# Contents that are long against their changes, so that deltas are worth it.
_LINES = {p: [f"{p} {i} {zlib.crc32(b'%d' % i)}\n" for i in range(150)] for p in ("boot.py", "lib/a.py", "main.py")}
VARIED = {p: "".join(lines) for p, lines in _LINES.items()}
EDITED = {p: "".join(lines[:90] + ["edited\n"] + lines[90:]) for p, lines in _LINES.items()}
# `by_hand.txt` is there before the first release that names it; a revert must bring it back.
HAND = {"by_hand.txt": "made by hand", "user.cfg": "mine"}

UPDATE = ("stage", "boot", "boot", "confirm")
REVERT = ("stage", "boot", "boot", "boot", "boot")
JOBS = {
    "update": (UPDATE, "new"),
    "revert": (REVERT, "old"),
    "rollback": (("stage", "boot", "boot", "rollback"), "old"),
    "resume": (("stop 2", "boot", "stop 14", "boot", *UPDATE), "new"),
    "withdrawn": (("stop 14", "withdraw"), "old"),
    "damaged while staging": (("stop 14", "damage", *UPDATE), "new"),
    "damaged when ready": (("stage", "damage", "boot"), "old"),
    "flash filled before the install": (("stage", "fill", "boot"), "old"),
    "files in parts": (("stop 9", "boot", *UPDATE), "new"),
    "deltas": (UPDATE, "new"),
    "wrong deltas": (UPDATE, "new"),
    "difference": (UPDATE, "new"),
}


def scenario(folder, job, *, old=OLD, new=NEW, hand=HAND, **flash):
    """One of `JOBS` between two releases, which are published below `folder`."""
    steps, ends = JOBS[job]
    trees, before = [], None
    if job == "files in parts":
        flash["safe"] = 2048
    if job.endswith("deltas"):
        old, new, hand = VARIED, EDITED, {}
    for name, files, seq in (("one", old, 1), ("two", new, 2)):
        data = {p: d.encode() for p, d in files.items()}
        release(folder / name, data, seq=seq, before=before if job.endswith("deltas") else None)
        trees.append(digests({**{p: d.encode() for p, d in hand.items()}, **data}))
        before = data
    if job == "wrong deltas":
        for path, text in new.items():
            base, digest = (hashlib.sha256(t.encode()).hexdigest()[:16] for t in (old[path], text))
            wrong = delta(old[path].encode(), text.replace("edited", "Edited").encode())
            (folder / f"two/deltas/{base}-{digest}").write_bytes(wrong)
    if job == "difference":
        hand = {}
        trees = [digests({p: d.encode() for p, d in files.items()}) for files in (old, new)]
        _offer_difference(folder)
    name = " ".join([job, *(f"{k} {v}" for k, v in flash.items())])
    return Scenario(name, *trees, str(folder / "one"), str(folder / "two"), steps, ends, hand, **flash)


def _offer_difference(folder):
    # The manifest of `two` comes as its difference from that of `one`.
    made = []
    for name in ("one", "two"):
        path = folder / name / "stable.manifest"
        there = parse_manifest(path.read_bytes(), name)
        path.write_bytes(line({**there.header, "crc": crc(there.lines())}) + there.lines())
        made.append(parse_manifest(path.read_bytes(), name))
    path = folder / "two" / differences.name("stable", made[0].header["crc"])
    path.parent.mkdir()
    path.write_bytes(differences.difference(*made))


def self_update(folder, job="update", **flash):
    """The library itself is replaced: the boot runs whatever mix of it is on the flash."""
    names = ("__init__", "bootguard", "errors", "trial")
    old = {f"ota/{n}.py": (ROOT / "ota" / f"{n}.py").read_text() for n in names}
    new = {path: text + "\n\nRELEASE = 2\n" for path, text in old.items()}
    first = {"boot.py": "import ota\nota.boot()\n", "main.py": "import app\n", **old}
    second = {"boot.py": "import ota\nota.boot() \n", "main.py": "import app2\n", **new}
    found = scenario(folder, job, old=first, new=second, hand={}, own=True, **flash)
    found.name = "self-update " + found.name
    found.path = (str(ROOT),)
    return found
