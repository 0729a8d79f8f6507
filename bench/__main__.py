"""This library beside `micropython_ota`, `senko`, `mip` and the limit: `make bench`.

    python bench                     everything but the emulated Pico W, about ten minutes
    python bench --quick             workloads a and b once, about a minute
    python bench --pico              a and b on the Pico W firmware in the emulator alone, a quarter of an hour
    python bench --pico --only b     b alone on it

It writes bench/results.json, bench/table.md, bench/figures.md and pictures below docs/explanation/img; `--out` puts all of it elsewhere.
What --pico measures goes into the results that are there, and stays in them when everything else is measured again.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT / "tests")
sys.path.insert(0, str(ROOT))

from bench import boards, fetch, growth, link, measure, pico, releases, report, targets  # noqa: E402
from bench.rows import Rows  # noqa: E402
from bench.subjects import SUBJECTS, Bench  # noqa: E402
from bench.web import Web  # noqa: E402
from bench.workloads import Layout, make  # noqa: E402
from ota_host.keys import generate  # noqa: E402


def say(what):
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def memory():
    """The folder for flash images: in RAM where there is such a folder, so that the disk is not measured."""
    return "/dev/shm" if Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > 1 << 30 else None


def opened():
    """A Link, or None and why."""
    try:
        return link.Link()
    except OSError as e:
        say(f"LEFT OUT 100 ms and loss: no TUN device here ({e}); it takes Linux, /dev/net/tun and root or unshare")
        return None


def run(options, rows, temp, web):
    """Measure; `rows` has what there is whenever it is stopped."""
    mpy, layout = temp / "mpy", Layout(web.www, generate(temp / "key"))
    peers = fetch.peers()
    boards.compile_all(mpy, *peers)
    there = {"ours", "mip", "limit", *(path.stem for _, path in peers)}
    subjects = [s for s in SUBJECTS if s in there]
    wanted = options.only or ("ab" if options.quick else "abcdefg")
    say(f"boards and servers for {', '.join(wanted)}")
    benches = [Bench(make(n), web, layout, mpy, temp, subjects) for n in wanted if n not in "eg"]
    say("bytes on the wire and on flash")
    for bench in benches:
        measure.costs(bench, rows)
    say("wall time")
    measure.walls(benches, rows, 1 if options.quick else 5)
    lines = opened()
    if lines:
        say("wall time over slow links")
        measure.links(benches, rows, lines, 1 if options.quick else 3, measure.LINKS[:1] if options.quick else measure.LINKS)
        for bench in benches:
            if bench.load.name == "a":
                measure.bundle(bench, rows, lines, 1 if options.quick else 5)
        lines.close()
    say("heaps")
    for bench in benches:
        measure.heaps(bench, rows, ("ours", "micropython_ota", "limit") if options.quick else None)
    if {"a", "c"} <= set(wanted):
        measure.forms(rows, temp)
    if "e" in wanted:
        say("real releases")
        releases.run(rows, web, layout, mpy, temp)
    if "g" in wanted:
        say("growth")
        growth.updates(rows, web, layout, mpy, temp)
        known = [b for b in benches if b.load.name == "b"]
        growth.servers(rows, web, known[0] if known else Bench(make("b"), web, layout, mpy, temp, subjects))


def emulated(options):
    """Measure on the emulated Pico W, into the results that are there; what is done is written at once."""
    rows = Rows.load((options.out or ROOT / "bench") / "results.json")
    with tempfile.TemporaryDirectory(prefix="mpota-bench-", dir=memory()) as name:
        temp = Path(name)
        layout = Layout(temp / "www", generate(temp / "key"))
        (temp / "www").mkdir()
        loads = [make(n) for n in options.only or "ab" if n in "ab"]
        say(f"the emulated Pico W for {', '.join(load.name for load in loads)}")
        for done in pico.run(rows, loads, temp, layout):
            write(rows, options.out)
            say(f"written: {', '.join(done)}")


def write(rows, out):
    """Everything that was measured, in the folder `out` (None: where the repository has it)."""
    bench = out or ROOT / "bench"
    images = out / "img" if out else ROOT / "docs/explanation/img"
    images.mkdir(parents=True, exist_ok=True)
    rows.save(bench / "results.json")
    (bench / "table.md").write_text(report.table(rows))
    (bench / "figures.md").write_text(report.figures(rows) + "\n" + targets.show(rows))
    for name, svg in report.pictures(rows).items():
        (images / name).write_text(svg)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="workloads a and b, one repetition")
    parser.add_argument("--pico", action="store_true", help="the emulated Pico W alone, into the results that are there")
    parser.add_argument("--only", default="", help="some of the workloads a to f and growth, g, such as ac")
    parser.add_argument("--out", type=Path, help="folder for what is written; must be there")
    options = parser.parse_args()
    if options.pico:
        return emulated(options)
    link.enter()
    out = options.out or (Path(tempfile.mkdtemp(prefix="bench-")) if options.quick or options.only else None)
    began, rows = time.monotonic(), Rows()
    if not out:
        rows += [row for row in Rows.load(ROOT / "bench" / "results.json") if row.get("emulated")]
    try:
        with tempfile.TemporaryDirectory(prefix="mpota-bench-", dir=memory()) as name:
            with Web(Path(name) / "web") as web:
                run(options, rows, Path(name), web)
    finally:
        write(rows, out)
    print("\n" + targets.show(rows))
    say(f"{len(rows)} figures in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
