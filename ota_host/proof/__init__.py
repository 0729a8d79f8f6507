"""The proof against power cuts: every flash operation of an update, cut, booted and looked at.

`prove` runs `cuts.py` on the real MicroPython, in several processes, and adds up what it found.
`cuts.py` and `ramflash.py` run there, never in CPython.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypedDict

from ..boards.images import read_tree
from ..errors import OutsideError
from ..extras import install

HERE = Path(__file__).parent
SHAPES = ("none", "one byte", "half", "all but one", "all", "every other bit")


class Facts(TypedDict):
    """What one process found, as `cuts.py` prints it; see `Proof`."""

    ops: int
    programmed: int
    erased: int
    cuts: list[int]
    found: dict[str, int]
    bad: list[list[Any]]
    line: list[list[Any]]
    outside: list[tuple[str, str]]


@dataclass
class Scenario:
    """What a board goes through, and what it may be found as.

    Args:
        old, new: {path: sha256 hex} of the two releases, with what else is on the board.
        first, second: folders that hold them as a server does.
        steps: what the board does. The updates: `stage`, `try` (the board may refuse to), `stop N` (after N
            chunks), `drop N` (the same, but the generator is not closed) and `collect` (the collector comes to
            it), `withdraw` (the server offers the first again), `newer` (it offers `later`). The board:
            `boot`, `confirm`, `rollback`, `clock SECONDS`. What the application does: `write PATH`,
            `folder PATH`, `remove PATH`, `fill` (it takes all of the flash; `fill names`: also what is left for
            names), `free`, `damage` (it writes zeros over a staged file; `damage next`: over a manifest).
        ends: which release a clean run ends in, `old` or `new`.
        later: folder with the next good release, of the same files as the second: it has to install afterwards.
        turns: (number of a step, {"old": …, "new": …}): what the board may be found as from this step on,
            where the application changes what is on the board.
        mend: steps that take away what is in the way, before the next good release has to install.
        blocked: the path that `status()["blocked"]` names while it is there; or `no room`.
        stays: whether a release that failed its trial may stay.
        spared: paths of leftovers that may stay.
        unknown: whether the board may have lost the manifest of what is live.
        faults: (function of `os`, end of its last path, errno, how many calls of it fail after each power-on; 0: all).
        imports: {sha256 of a file: {path of a module that it imports before `ota.boot()`: contents, as
            sha256, that go with it}}; `boot.py` and what it imports have to be importable at every cut.
        cut: number of the step at which the cuts begin.
        deploy: the code of `ota deploy` that settles the state and writes it: the board got the first
            release that way, twice.
        hand: {path: text} that is on the board before its first release.
        kind, prog, block, blocks: file system and flash: `lfs2` on NOR flash, `fat` on an SD card whose sectors
            are written whole, `fat raw` on NOR flash.
        storage: `module:Class` of a Storage plug-in, default what suits the file system.
        own: the library on the board is part of the releases, and boots.
        safe: `Updater.safe`, bytes of a large file that a power cut cannot take back.
        path: folders to import from, before the library.
    """

    name: str
    old: dict[str, str]
    new: dict[str, str]
    first: str
    second: str
    steps: tuple[str, ...]
    ends: str
    hand: dict[str, str] = field(default_factory=dict)
    kind: str = "lfs2"
    prog: int = 256
    block: int = 4096
    blocks: int = 64
    storage: str = ""
    own: bool = False
    safe: int = 65536
    path: tuple[str, ...] = ()
    later: str = ""
    turns: tuple[tuple[int, dict[str, dict[str, str]]], ...] = ()
    mend: tuple[str, ...] = ()
    blocked: str = ""
    stays: bool = False
    spared: tuple[str, ...] = ()
    unknown: bool = False
    faults: tuple[tuple[str, str, int, int], ...] = ()
    imports: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    cut: int = 0
    deploy: tuple[str, ...] = ()


@dataclass
class Proof:
    """What `prove` found.

    `ops` operations of the clean run, `states` distinct states of the flash, of which `cuts`,
    `second_cuts` and `third_cuts`; `found` {verdict: states}; `bad` examples of those that are
    neither `old` nor `new`; `line` (operation, shape, verdict) of each first cut; `outside`
    states of which another reader found the same.
    """

    name: str
    ops: int = 0
    states: set[bytes] = field(default_factory=set)
    cuts: int = 0
    second_cuts: int = 0
    third_cuts: int = 0
    found: Counter[str] = field(default_factory=Counter)
    bad: list[list[Any]] = field(default_factory=list)
    line: list[list[Any]] = field(default_factory=list)
    outside: int = 0
    programmed: int = 0
    erased: int = 0

    @property
    def bad_states(self) -> int:
        return sum(n for what, n in self.found.items() if what not in ("old", "new"))

    def add(self, facts: Facts, digests: bytes) -> None:
        self.ops = facts["ops"]
        self.programmed, self.erased = facts["programmed"], facts["erased"]
        self.states.update(digests[i : i + 8] for i in range(0, len(digests), 8))
        for depth, name in enumerate(("cuts", "second_cuts", "third_cuts")):
            setattr(self, name, getattr(self, name) + facts["cuts"][depth])
        self.found.update(facts["found"])
        self.bad += facts["bad"]
        self.line += facts["line"]


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """{path: sha256 hex} of {path: bytes}."""
    return {path: sha256(data).hexdigest() for path, data in files.items()}


def prove(
    scenario: Scenario,
    *,
    shapes: Sequence[str] = SHAPES,
    depth: int = 1,
    every: int = 1,
    second_every: int = 1,
    third: int = 50,
    parts: int = 2,
    stop: bool = False,
    timeout: float = 1800,
) -> Proof:
    """Cut the power at every flash operation of a scenario.

    Args:
        shapes: how a torn operation ends, of `SHAPES`.
        depth: 1: one cut; 2: a second one at every operation of the boot that follows; 3: a third
            one in every `third`-th of these.
        every, second_every: only every n-th operation of the clean run, and of a boot after a cut.
        parts: processes, two of which run at a time.
        stop: at the first bad state.
    Raises:
        OutsideError: MicroPython is not there, or ended with an error.
    """
    proof = Proof(scenario.name)
    plan = dict(vars(scenario), shapes=[SHAPES.index(s) for s in shapes], depth=depth, every=every)
    plan.update(second_every=second_every, third=third, parts=parts, stop=stop)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        jobs = [dict(plan, part=i, digests=f"{folder}/{i}") for i in range(parts)]
        for job, facts in zip(jobs, pool.map(lambda j: _run(j, timeout), jobs), strict=True):
            proof.add(facts, Path(job["digests"]).read_bytes())
            for image, verdict in facts["outside"]:
                _look(proof, scenario, image, verdict)
    return proof


def _look(proof: Proof, scenario: Scenario, image: str, verdict: str) -> None:
    # With a reader that has nothing to do with the board: what it finds is the verdict.
    try:
        there = read_tree(image, fs=scenario.kind.split()[0], block=scenario.block)
        files = digests({p: d for p, d in there.items() if not _is_of_an_update(p)})
    except OSError:  # FAT beyond reading
        files = None
    trees = [vars(scenario), *(trees for _, trees in scenario.turns)]
    proof.outside += 1
    # It does not see empty folders.
    known = [{p: h for p, h in t[verdict].items() if h} for t in trees] if verdict in ("old", "new") else [files]
    if files not in known:
        proof.found["not what another reader finds"] += 1
        proof.bad.append([[image], verdict])


def _is_of_an_update(path: str) -> bool:
    return path.startswith((".ota/", "filler")) or any(part.endswith((".ota-new", ".ota-old")) for part in path.split("/"))


def _run(job: Mapping[str, Any], timeout: float) -> Facts:
    micropython = Path(sys.executable).parent / "micropython"
    if not micropython.exists():
        raise OutsideError(f"no MicroPython beside {sys.executable}; run {install('boards')}")
    where = [*job["path"], str(HERE), str(HERE.parent.parent), ".frozen"]
    env = dict(os.environ, MICROPYPATH=":".join(where))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(job, f)
        f.flush()
        command = [str(micropython), "-X", "heapsize=96M", "-c", "import cuts; cuts.main(%r)" % f.name]
        # Not the repository's root: `ota` would be found by a relative path, lost at a chdir.
        done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode or "FACTS " not in done.stdout:
        raise OutsideError("the proof of %s stopped: %s" % (job["name"], (done.stdout + done.stderr)[-2000:]))
    facts: Facts = json.loads(done.stdout.split("FACTS ")[-1])
    return facts
