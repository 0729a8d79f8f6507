"""What grows: cost against the number of files, their size, and the number of boards that poll."""

import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import boards
from .boards import Failed
from .subjects import Bench
from .workloads import KB, Workload, asset, source

FILES = (1, 10, 100, 300, 1000)  # of 1 KB
SIZES = (1, 16, 256, 1024, 4096)  # KB
POLLERS = (1, 10, 50, 200, 800)  # connections at a time
WATCHED = "512k"


def _names(count):
    return [f"m{i // 25:02d}/f{i % 25:02d}.txt" for i in range(count)]


def loads():
    """(metric, what grows, Workload)."""
    for count in FILES:
        old, new = ({p: source(f"{p}{v}", KB) for p in _names(count)} for v in (1, 2))
        yield "files", count, Workload(f"files{count}", f"{count} files of 1 KB", old, new, 128 + 3 * count)
    for size in SIZES:
        old, new = ({"assets.txt": asset(f"{v} {size}", size * KB)} for v in (1, 2))
        yield "kilobytes", size, Workload(f"size{size}", f"one file of {size} KB", old, new, 64 + 3 * size // 4)


def updates(rows, web, layout, mpy, temp):
    """An update of all that there is, with this library and at the limit."""
    for what, count, load in loads():
        bench = Bench(load, web, layout, mpy, temp, ("ours", "limit"), (32,))
        for subject in bench.subjects:
            web.forget()
            cost = bench.update(subject)
            wire = web.wire()
            peak = bench.update(subject, heap=WATCHED, WATCH=1, check=False).peak
            more = {what: count}
            rows.add("growth", subject, "wall", cost.us / 1000, "ms", **more)
            rows.add("growth", subject, "flash_time", round(cost.flash_ms), "ms", **more)
            rows.add("growth", subject, "wire_both", wire.both, "B", **more)
            rows.add("growth", subject, "peak_heap", peak, "B", **more)
        shutil.rmtree(bench.temp)


class Desk:
    """`ota serve` on a folder."""

    def __init__(self, root):
        self._root = root

    def __enter__(self):
        ota = boards.MICROPYTHON.parent / "ota"
        argv = [ota, "serve", self._root, "--port", "0", "--json"]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=boards.ROOT)
        self.port = int(re.search(r'"port": ?(\d+)', self._process.stdout.readline())[1])
        # Somebody has to read the log, or the server waits for it.
        self._reader = subprocess.Popen(["cat"], stdin=self._process.stdout, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *error):
        self._process.terminate()
        self._process.wait()
        self._reader.wait()


def _wrk(url, etag, connections, seconds):
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
    # Boards do not keep a connection from one poll to the next.
    argv += ["-H", f"If-None-Match: {etag}", "-H", "Connection: close", url]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", said).groups()
    late = float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return rate, late, sum(map(int, errors.groups() if errors else ())) + int(wrong[1] if wrong else 0)


def polls(rows, url, name, seconds=2):
    """`wrk` as boards that ask whether there is something new."""
    import urllib.request

    if not shutil.which("wrk"):
        print("LEFT OUT polls: wrk is not installed (on Debian, apt-get install wrk)")
        return
    with urllib.request.urlopen(url) as answer:
        etag = answer.headers["ETag"]
    for connections in POLLERS:
        rate, late, errors = _wrk(url, etag, connections, seconds)
        more = {"server": name, "connections": connections}
        rows.add("growth", "ours", "polls", round(rate), "1/s", **more)
        rows.add("growth", "ours", "poll_p99", round(late, 2), "ms", **more)
        rows.add("growth", "ours", "poll_errors", errors, "", **more)


def crowd(rows, bench, port, name, count=50):
    """`count` real boards make the update of `bench` at the same moment, from one server."""

    host = f"127.0.0.1:{port}" if port else "127.0.0.1"

    def one(number):
        try:
            return bench.update("ours", host=host, slot=f"-crowd{number}", check=False), None
        except Failed as e:
            return None, str(e)

    began = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        done = list(pool.map(one, range(count)))
    whole = time.monotonic() - began
    for number, (cost, _) in enumerate(done):
        if cost:
            bench.check(cost, f"-crowd{number}")
    took = [cost.us / 1e6 for cost, _ in done if cost]
    more = {"server": name, "boards": count}
    rows.add("growth", "ours", "crowd_updated", len(took), "", **more)
    rows.add("growth", "ours", "crowd_wall", round(whole, 2), "s", **more)
    if took:
        rows.add_spread("growth", "ours", "crowd_one", took, "s", **more)
    for why in sorted({why for _, why in done if why})[:3]:
        rows.add("growth", "ours", "fails", why, "", **more)


def servers(rows, web, bench):
    """nginx and `ota serve`, each under polls and under a crowd."""
    path = bench.place("ours") + "/sample/stable.manifest"
    polls(rows, web.url(path), "nginx")
    crowd(rows, bench, None, "nginx")
    with Desk(web.www) as desk:
        polls(rows, f"http://127.0.0.1:{desk.port}/{path}", "ota serve")
        crowd(rows, bench, desk.port, "ota serve")


def first_break(rows, server):
    """The least number of connections at which polls fail, or the slowest hundredth waits over a second."""
    for connections in POLLERS:
        where = {"server": server, "connections": connections}
        errors = rows.get("growth", "ours", "poll_errors", **where)
        late = rows.get("growth", "ours", "poll_p99", **where)
        if errors or (late or 0) > 1000:
            return f"{connections} connections at once: {errors} errors, 99 % within {late} ms"
    return f"nothing up to {POLLERS[-1]} connections at once"
