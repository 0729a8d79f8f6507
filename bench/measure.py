"""Workloads a to d and f: what an update costs each updater in bytes, flash, heap and time."""

from concurrent.futures import ThreadPoolExecutor

import footprint

from ota_host import library

from .boards import Failed
from .subjects import PROGS

LINKS = ((100, 0), (100, 1))  # round-trip time in ms, loss in percent
SLOW = 20  # seconds that one update may take and still be repeated


def costs(bench, rows, progs=PROGS):
    """Bytes on the wire and on flash: the same each time, so each is measured once, on strict NOR."""
    name = bench.load.name
    rows.add(name, "workload", "changed_bytes", bench.load.changed_bytes, "B")
    for subject in bench.subjects:
        for prog in progs:
            bench.web.forget()
            try:
                cost = bench.update(subject, prog, COUNTED=1)
            except Failed as e:
                bench.failed[subject] = str(e)
                rows.add(name, subject, "fails", str(e), "")
                break
            wire = bench.web.wire()
            if prog == progs[0]:
                for metric, value in (("requests", wire.requests), ("connections", wire.connections)):
                    rows.add(name, subject, metric, value, "")
                for metric in ("up", "down", "both"):
                    rows.add(name, subject, f"wire_{metric}", getattr(wire, metric), "B")
            for metric in ("programmed", "erased", "read"):
                rows.add(name, subject, f"flash_{metric}", getattr(cost, metric), "B", prog=prog)
            rows.add(name, subject, "flash_time", round(cost.flash_ms), "ms", prog=prog)


def heaps(bench, rows, subjects=None):
    """The smallest heap, and the most that was in use whenever the flash was written."""
    for subject in subjects or bench.subjects:
        if subject in bench.failed:
            continue
        least = bench.heap(subject)
        rows.add(bench.load.name, subject, "smallest_heap", least, "KB")
        if bench.load.changed and least:
            peak = bench.update(subject, heap=f"{max(256, 2 * least)}k", WATCH=1).peak
            rows.add(bench.load.name, subject, "peak_heap", peak, "B")


def forms(rows, temp):
    """The smallest heap of workloads a and c alone, without the boots, from each form of the library."""
    with footprint.Bench(temp / "forms") as bench:
        for form in library.Form:
            tree = bench.tree(form.value)
            for workload, name in zip("ac", footprint.WORKLOADS, strict=True):
                rows.add(workload, "ours", "smallest_heap_of_form", bench.smallest(tree, name), "KB", form=form.value)


def walls(benches, rows, times=5):
    """Wall time on 127.0.0.1: the updaters take turns, so that none has all of a slow moment."""
    for bench in benches:
        able = [s for s in bench.subjects if s not in bench.failed]
        took = {s: [] for s in able}
        for _ in range(times):
            for subject in able:
                took[subject].append(bench.update(subject, check=False).us / 1000)
        for subject, values in took.items():
            rows.add_spread(bench.load.name, subject, "wall", values, "ms")


def over(bench, link, number, subject, rtt, loss, times):
    """Wall times of updates over a link of their own, in ms; `number` tells it from those at the same time."""
    values = []
    for i in range(times):
        host = link.lane(number, rtt, loss, seed=100 * number + i)
        try:
            values.append(bench.update(subject, host=host, slot=f"-{number}", check=not i).us / 1000)
        except Failed as e:
            return subject, values, str(e)
        if values[-1] > SLOW * 1000:
            break
    return subject, values, None


def links(benches, rows, link, times=3, kinds=LINKS):
    """Wall time over links that make everybody wait, three at once."""
    jobs = []
    with ThreadPoolExecutor(3) as pool:
        # The longest first, so that none is left alone at the end.
        for bench in sorted(benches, key=lambda b: -len(b.load.new)):
            for rtt, loss in kinds:
                for subject in bench.subjects:
                    if subject not in bench.failed:
                        words = (bench, link, 10 + len(jobs), subject, rtt, loss, times + 2 if loss else times)
                        jobs.append((bench, rtt, loss, pool.submit(over, *words)))
        for bench, rtt, loss, job in jobs:
            subject, values, why = job.result()
            more = {"loss": loss} if loss else {}
            if values:
                rows.add_spread(bench.load.name, subject, "wall", values, "ms", rtt, **more)
            if why:
                rows.add(bench.load.name, subject, "fails", why, "", rtt, **more)


def bundle(bench, rows, link, times=5):
    """Whether one response for all files is worth it: the limit with a request a file and with one for all."""
    for name, flag in (("limit", False), ("limit, one response", True)):
        values = []
        for i in range(times):
            host = link.lane(9, 100)
            values.append(bench.update("limit", host=host, bundle=flag, check=not i).us / 1000)
        rows.add_spread(bench.load.name, name, "wall_bundle", values, "ms", 100)
