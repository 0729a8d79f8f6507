"""All of the proof against power cuts, with one line of JSON at the end: `make powerloss`.

It writes powerloss/report.md and powerloss/report.svg below the build folder.
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from powerloss.mutants import MUTANTS, caught  # noqa: E402
from powerloss.peers import peer_cuts  # noqa: E402
from powerloss.report import picture, table  # noqa: E402
from powerloss.scenarios import JOBS, scenario, self_update  # noqa: E402
from support import ROOT  # noqa: E402

from ota_host.proof import SHAPES, prove  # noqa: E402

PEERS = ("micropython_ota 2.1.0", "mip")
TORN = ("one byte", "half", "every other bit")


def sweeps(folder):
    """What is proven: (scenario, options of `prove`)."""
    for number, job in enumerate(JOBS):
        depth = 1 if job.startswith("flash filled") else 3
        third = 100 if job in ("update", "revert") else 400
        yield scenario(folder / f"a{number}", job), {"depth": depth, "parts": 4, "third": third}
    for job in ("update", "revert"):
        yield self_update(folder / f"self-{job}", job), {"depth": 3, "parts": 4, "shapes": TORN, "third": 400}
        # Twice as many operations, and so four times as many pairs: of these a half.
        yield scenario(folder / f"q{job}", job, prog=32), {"parts": 4}
        shapes = TORN if job == "update" else TORN[2:]
        yield scenario(folder / f"p{job}", job, prog=32), {"depth": 2, "parts": 8, "shapes": shapes, "every": 2}
        yield scenario(folder / f"b{job}", job, prog=32, block=512, blocks=256), {"parts": 4}


def run_sweeps(folder):
    proofs = []
    for one, options in sweeps(folder):
        began = time.monotonic()
        proofs.append(prove(one, **options))
        said = proofs[-1]
        seconds = time.monotonic() - began
        print(f"{said.name}: {said.ops} operations, {len(said.states)} states, {dict(said.found)}, {seconds:.0f} s", flush=True)
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
    options = parser.parse_args()
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
