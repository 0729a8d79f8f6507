"""What this library may take: counts of bytes and requests, none of them a time.

    python bench/budgets.py             what it takes now, beside the budget; exit code 1 when one is exceeded
    python bench/budgets.py --record    takes what it takes now as the new record, with 3 % to grow

tests/test_budgets.py does the same in the tests.
"""

import json
import math
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT / "tests")
    sys.path.insert(0, str(ROOT))

from bench import boards  # noqa: E402
from bench.subjects import Bench  # noqa: E402
from bench.web import Web  # noqa: E402
from bench.workloads import Layout, make  # noqa: E402
from ota_host.keys import generate  # noqa: E402

FILE = ROOT / "bench" / "budgets.json"
GROW = 1.03
TRIES = 4  # of a heap: the collector may take a number for a pointer
BELOW = 4  # KB: heaps from the limit down; one that is a little smaller may fall into better pieces


def sizes(folder):
    """Bytes of each board file as .mpy, and of all: {what: bytes}."""
    found = boards.compile_all(folder)
    ours = {f"{path}, B": size for path, size in sorted(found.items()) if path.startswith("ota/")}
    return {**ours, "all of ota/ as .mpy, B": sum(ours.values())}


def benches(web, mpy, temp):
    """The workloads that have a budget, {name: Bench}."""
    layout = Layout(web.www, generate(temp / "key"))
    return {name: Bench(make(name), web, layout, mpy, temp, ("ours",)) for name in "abcf"}


def counts(made):
    """Bytes and requests on the wire of b and f, bytes of the flash of a: {what: count}."""
    found = {}
    for name in "bf":
        # One check of 16 asks without an ETag, drawn at random: the least of four is one that did not.
        wire = min((_wire(made[name]) for _ in range(4)), key=lambda wire: wire.both)
        found[f"({name}) requests"] = wire.requests
        found[f"({name}) on the wire, B"] = wire.both
    for prog in (32, 256):
        cost = made["a"].update("ours", prog, COUNTED=1)
        for what in ("programmed", "erased", "read"):
            found[f"(a) flash {what}, {prog} B programs, B"] = getattr(cost, what)
    return found


def _wire(bench):
    bench.web.forget()
    bench.update("ours")
    return bench.web.wire()


def completes(bench, kb):
    """Whether the update of `bench` completes in a heap of `kb` KB."""
    for _ in range(TRIES):
        try:
            bench.update("ours", heap=f"{kb}k")
            return True
        except boards.Failed:
            pass
    return False


def heap_name(name):
    return f"({name}) signed, 64-bit, smallest heap, KB"


def limit(value):
    """The budget for what takes `value` today."""
    return math.floor(value * GROW)


def read():
    """The budgets: {what: {"now": what it took when it was recorded, "limit": what it may take}}."""
    return json.loads(FILE.read_text())


def measure(record=False):
    """What everything takes: {what: count}. A heap is bisected to be recorded, else only tried at its limit."""
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=folder) as name:
        temp = Path(name)
        found = sizes(temp / "mpy")
        with Web(temp / "web") as web:
            made = benches(web, temp / "mpy", temp)
            found.update(counts(made))
            for workload in "ac":
                what = heap_name(workload)
                if record:
                    found[what] = boards.smallest(lambda kb: completes(made[workload], kb), high=512)
                else:
                    most = read()[what]["limit"]
                    fits = any(completes(made[workload], most - less) for less in range(BELOW))
                    found[what] = most if fits else most + 1
        return found


def exceeded(found, budgets):
    """The lines of `found` that have no budget, or are over it."""
    return [what for what, count in found.items() if what not in budgets or count > budgets[what]["limit"]]


def table(found, budgets):
    """Each count with its change against the record, as Markdown; of a heap only whether its limit is enough."""
    lines = ["| what | now | recorded | change | limit |", "|---|---|---|---|---|"]
    for what, count in found.items():
        had = budgets.get(what, {"now": 0, "limit": 0})
        change = f"{100 * (count - had['now']) / had['now']:+.1f} %" if had["now"] else "new"
        over = " **over**" if count > had["limit"] else ""
        if what.endswith("smallest heap, KB"):
            change, count = "", f"more than {had['limit']}" if over else f"at most {count}"
        lines.append(f"| {what} | {count} | {had['now']} | {change} | {had['limit']}{over} |")
    return "\n".join(lines)


def main():
    record = "--record" in sys.argv
    found = measure(record)
    budgets = read() if FILE.exists() else {}
    if record:
        budgets = {what: {"now": count, "limit": limit(count)} for what, count in found.items()}
        lines = ",\n".join(f" {json.dumps(what)}: {json.dumps(row)}" for what, row in budgets.items())
        FILE.write_text("{\n" + lines + "\n}\n")
    print(table(found, budgets))
    return 1 if exceeded(found, budgets) else 0


if __name__ == "__main__":
    sys.exit(main())
