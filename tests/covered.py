"""How much of `ota_host`, and of `ota` on CPython, the fast tests run that stay in CPython for the most part.

    python tests/covered.py [arguments of pytest]

What MicroPython runs is not counted: not in the tests that are left out here, and not on the boards of those that
start some. Processes that the tests start in CPython are. Ends with a line for each package, and with exit code 1
when a test fails or the total is below the floor in pyproject.toml.
"""

import json
import pathlib
import subprocess
import sys
from collections import defaultdict

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / ".cache" / "coverage"
# tests/test_<name>.py; those that are not here need minutes, or run nearly nothing in CPython.
TESTS = (
    "adoption cli clock collect contracts damage damaged_boards deltas demo deploy differences fences fuzz http keep keys "
    "leftovers legacy_mended manifest mend mirror odd_boards one_run only_ota_error packed phases plan policy prove "
    "publish rules run_again serve signature signed staging status tuf tuf_host updater url version watch way_out "
    "wrong_answers boards"
)


def coverage(*words, **options):
    """Run coverage.py; its settings are in pyproject.toml."""
    return subprocess.run([sys.executable, "-m", "coverage", *words], cwd=ROOT, check=False, **options)


def files():
    """The tests, in whatever folder each is.

    Raises:
        SystemExit: one of them is gone.
    """
    found = {name: next((ROOT / "tests").rglob(f"test_{name}.py"), None) for name in TESTS.split()}
    gone = [f"test_{name}.py" for name, path in found.items() if path is None]
    if gone:
        raise SystemExit(f"TESTS in {__file__} names {', '.join(gone)}, which tests/ does not have; correct the list")
    return [str(path) for path in found.values()]


def totals(reports):
    """Package -> [lines that ran, lines], of what coverage.py writes as JSON; `total` last."""
    sums = defaultdict(lambda: [0, 0])
    for name, report in sorted(reports.items()):
        for package in (str(pathlib.PurePath(name).parent), "total"):
            sums[package][0] += report["summary"]["covered_lines"]
            sums[package][1] += report["summary"]["num_statements"]
    total = sums.pop("total")
    return {**sums, "total": total}


def main(words):
    DATA.mkdir(parents=True, exist_ok=True)
    coverage("erase")
    options = ["-q", "-m", "not slow and not pico_w", *(words or ["-n", "2"])]
    tests = coverage("run", "-m", "pytest", *options, *files())
    coverage("combine", "--quiet")
    coverage("json", "--quiet", "--fail-under=0", "-o", str(DATA / "report.json"))
    for name, (ran, lines) in totals(json.loads((DATA / "report.json").read_text())["files"]).items():
        print(f"{name:<24} {ran:>5} of {lines:>5} lines  {100 * ran / lines:5.1f} %")
    floor = coverage("report", "--format=total", capture_output=True, text=True)
    sys.stderr.write(floor.stdout if floor.returncode else "")
    return tests.returncode or floor.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
