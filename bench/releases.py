"""Workload e: what a board fetches from one release of a real project to the next."""

import statistics

from ota_host import differences, mpy
from ota_host.errors import HostError

from . import fetch
from .subjects import Bench
from .workloads import Workload

BOARDS = 3  # pairs that a real board updates as well


def compiled(files):
    """`files` as `ota publish --compile` ships them, or None when one of them does not compile."""
    try:
        made = mpy.compile_all({p: d for p, d in files.items() if p.rsplit("/", 1)[-1] not in ("boot.py", "main.py")})
    except HostError:
        return None
    return {p[:-3] + ".mpy" if made.get(p) else p: made.get(p) or d for p, d in files.items()}


def offered(old, new):
    """What a board that has the Manifest `old` takes of `new`, as the header of the smallest form: {path: bytes}."""
    had = {e["p"]: e["h"] for e in old.entries}
    out = {}
    for e in new.entries:
        if had.get(e["p"]) == e["h"]:
            continue
        forms = [e["s"]]
        forms += [e["z"]] if "z" in e else []
        forms += [n for base, n in e.get("d", {}).items() if had.get(e["p"], "").startswith(base)]
        out[e["p"]] = min(forms)
    return out


def short(old, new):
    """Bytes of what a board that has the Manifest `old` is sent for `new`: the difference."""
    return len(differences.difference(old, new))


def pairs():
    """(project, versions, kind, old files, new files) of every pair that can be compared in both kinds."""
    for name, was, becomes, old, new in fetch.releases():
        yield name, f"{was} to {becomes}", "py", old, new
        both = compiled(old), compiled(new)
        if all(both) and both[0] != both[1]:
            yield name, f"{was} to {becomes}", "mpy", *both


def run(rows, web, layout, modules, temp):
    """Publish every pair, add up what a board fetches, and let real boards fetch some of it."""
    sums, checked = {}, 0
    projects = set()
    for n, (name, versions, kind, old, new) in enumerate(pairs()):
        place = f"e/{n}"
        first = layout.ours(f"{place}/host", old, "v1.0.0")
        second = layout.ours(f"{place}/host", new, "v1.0.1")
        changed = {p: d for p, d in new.items() if old.get(p) != d}
        takes = offered(first, second)
        if set(takes) != set(changed):
            raise AssertionError(f"{name} {versions}: {set(takes) ^ set(changed)}")
        raw = sum(map(len, changed.values()))
        one = {"raw": raw, "ours": sum(takes.values()), "manifest": short(first, second), "all": sum(map(len, new.values()))}
        one["whole manifest"] = len(second.raw)
        one["raw added"] = sum(len(d) for p, d in changed.items() if p not in old)
        one["ours added"] = sum(n for p, n in takes.items() if p not in old)
        projects.add(name)
        sums.setdefault(kind, []).append(one)
        if checked < 2 * BOARDS and raw > 2000 and not [p for p in new if p in ("boot.py", "main.py")]:
            checked += _on_a_board(rows, web, layout, modules, temp, (n, name, versions, kind), old, new, one)
    for kind, found in sums.items():
        _report(rows, kind, found, projects)


def _on_a_board(rows, web, layout, modules, temp, which, old, new, want):
    n, name, versions, kind = which
    bench = Bench(Workload(f"e{n}", name, old, new), web, layout, modules, temp, ("ours",), (32,))
    web.forget()
    bench.update("ours", COUNTED=1)
    wire = web.wire()
    more = {"project": name, "versions": versions, "kind": kind}
    rows.add("e", "ours", "board_body", wire.body, "B", expected=want["ours"] + want["manifest"], **more)
    rows.add("e", "ours", "board_wire", wire.both, "B", changed=want["raw"], **more)
    return 1


def _report(rows, kind, found, projects):
    total = {key: sum(one[key] for one in found) for key in found[0]}
    more = {"kind": kind, "pairs": len(found), "projects": len(projects)}
    share = {
        ("ours", "files that changed"): (total["ours"] - total["ours added"], total["raw"] - total["raw added"]),
        ("ours", "files that changed or came"): (total["ours"], total["raw"]),
        ("ours", "the same, and the manifest"): (total["ours"] + total["manifest"], total["raw"]),
        ("ours", "the same, and the whole manifest"): (total["ours"] + total["whole manifest"], total["raw"]),
        ("micropython_ota", "files that changed or came"): (total["all"], total["raw"]),
        ("limit", "files that changed or came"): (total["raw"], total["raw"]),
    }
    for (subject, of), (size, raw) in share.items():
        rows.add("e", subject, "share_of_changed", round(100 * size / raw, 2), "%", of=of, **more)
    for key in ("raw", "ours", "manifest", "whole manifest", "all"):
        rows.add("e", "ours", f"median_{key.replace(' ', '_')}", round(statistics.median(one[key] for one in found)), "B", **more)
    fewer = [one["all"] / (one["ours"] + one["manifest"]) for one in found]
    rows.add_spread("e", "ours", "times_fewer_than_micropython_ota_a_pair", fewer, "", **more)
    each = [100 * one["ours"] / one["raw"] for one in found if one["raw"]]
    rows.add_spread("e", "ours", "share_of_changed_a_pair", each, "%", **more)
