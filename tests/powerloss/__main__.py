"""All of the proof against power cuts, with one line of JSON at the end: `make powerloss`.

It writes powerloss/report.md and powerloss/report.svg below the build folder. `python tests/powerloss
--only NAME` runs the scenarios whose name has NAME in it, and nothing else; `--list` says what there is.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from powerloss.mutants import MUTANTS, caught  # noqa: E402
from powerloss.peers import peer_cuts  # noqa: E402
from powerloss.report import picture, table  # noqa: E402
from powerloss.scenarios import FIRST, JOBS, alone, scenario, self_update, whole_library  # noqa: E402
from support import ROOT  # noqa: E402

from ota_host.proof import SHAPES, prove  # noqa: E402

PEERS = ("micropython_ota 2.1.0", "mip")
TORN = ("one byte", "half", "every other bit")
# In a folder with many names a boot takes a tenth of a second, and longer.
LONG = {"a folder of 70 names": 4, "a folder of 70 names, undone": 4}


def sweeps(folder):
    """What is proven: (name, function that makes the scenario, options of `prove`)."""
    for number, job in enumerate(FIRST):
        depth = 1 if job.startswith("flash filled") else 3
        third = 100 if job in ("update", "revert") else 400
        yield job, partial(scenario, folder / f"a{number}", job), {"depth": depth, "parts": 4, "third": third}
    for job in ("update", "revert"):
        options = {"depth": 3, "parts": 4, "shapes": TORN, "third": 400}
        yield f"self-update {job}", partial(self_update, folder / f"self-{job}", job), options
        # Twice as many operations, and so four times as many pairs: of these a half.
        yield f"{job} prog 32", partial(scenario, folder / f"q{job}", job, prog=32), {"parts": 4}
        options = {"depth": 2, "parts": 8, "shapes": TORN if job == "update" else TORN[2:], "every": 2}
        yield f"{job} prog 32", partial(scenario, folder / f"p{job}", job, prog=32), options
        yield f"{job} prog 32 block 512", partial(scenario, folder / f"b{job}", job, prog=32, block=512, blocks=256), {"parts": 4}
    for number, job in enumerate(job for job in JOBS if job not in FIRST):
        made = partial(scenario, folder / f"c{number}", job)
        if job in LONG:
            yield job, made, {"shapes": TORN[:1], "every": LONG[job], "depth": 2, "second_every": 12}
            continue
        # Whatever is in the way: all first cuts, and all second ones of one kind.
        yield job, made, {}
        yield f"{job} twice", partial(scenario, folder / f"d{number}", job), {"shapes": TORN[:1], "depth": 2}
    for job in ("update", "revert"):
        yield f"whole library {job}", partial(whole_library, folder / f"w{job}", job), {"shapes": TORN[:1], "every": 2}
        for name in ("confirm", "rollback") if job == "update" else ():
            options = {"shapes": SHAPES, "depth": 3, "third": 20}
            yield f"{name} alone", partial(alone, folder / f"e{name}", name), options


def run_sweeps(folder, only=""):
    proofs = []
    for name, made, options in sweeps(folder):
        if only not in name:
            continue
        began, spent = time.monotonic(), sum(os.times()[2:4])
        said = prove(made(), **options)
        proofs.append(said)
        cpu = sum(os.times()[2:4]) - spent
        counts = f"{said.ops} operations, {len(said.states)} states ({said.cuts} + {said.second_cuts} + {said.third_cuts})"
        took = f"{time.monotonic() - began:.0f} s, {cpu:.0f} s of processors"
        print(f"{name}: {counts}, {dict(said.found)}, {took}", flush=True)
        for where, verdict in said.bad:
            print(f"  BAD at {where}: {verdict}", flush=True)
    return proofs


def run_mutants(folder):
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda n: caught(MUTANTS[n], folder / f"mutant{n}"), range(len(MUTANTS))))
    for mutant, what in zip(MUTANTS, said):
        print(f"mutant: {mutant.name}: {what or 'SURVIVED'}", flush=True)
    return sum(map(bool, said))


def run_pico(folder):
    """Cuts on the real firmware: (how many, how many were bad); none where it cannot be had."""
    try:
        from powerloss.pico import pico_cuts
    except ImportError:
        return 0, 0
    got = pico_cuts(folder / "pico")
    print(f"pico-w: {got}", flush=True)
    return got["cuts"], got["bad"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-pico", action="store_true", help="leave out the Pico W firmware")
    parser.add_argument("--only", metavar="NAME", help="only the scenarios whose name has NAME in it")
    parser.add_argument("--list", action="store_true", help="print the names of the scenarios")
    options = parser.parse_args()
    if options.list:
        print(*dict.fromkeys(name for name, _, _ in sweeps(Path())), sep="\n")
        return 0
    if options.only:
        with tempfile.TemporaryDirectory() as name:
            return 1 if sum(p.bad_states for p in run_sweeps(Path(name), options.only)) else 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers = {peer: peer_cuts(peer, SHAPES) for peer in PEERS}
        proofs = run_sweeps(folder)
        mutants = run_mutants(folder)
        pico, pico_bad = (0, 0) if options.no_pico else run_pico(folder)
    ours = proofs[0]
    peers["mpota"] = {"found": dict(ours.found) if ours.bad_states else {"old": ours.cuts}}
    out = ROOT / "build" / "powerloss"
    out.mkdir(parents=True, exist_ok=True)
    lines = {"mpota: " + p.name: p.line for p in proofs[:3]}
    lines.update({peer: peers[peer]["line"] for peer in PEERS})
    (out / "report.svg").write_text(picture(lines))
    (out / "report.md").write_text(table(proofs, peers))
    print((out / "report.md").read_text())
    bad = sum(p.bad_states for p in proofs) + pico_bad
    total = {name: sum(getattr(p, name) for p in proofs) for name in ("cuts", "second_cuts", "third_cuts")}
    total.update(outside=sum(p.outside for p in proofs))
    total.update(bad=bad, states=sum(len(p.states) for p in proofs), mutants=len(MUTANTS), mutants_caught=mutants)
    print(json.dumps({**total, "pico_w_cuts": pico}))
    return 1 if bad or mutants < len(MUTANTS) else 0


if __name__ == "__main__":
    sys.exit(main())
