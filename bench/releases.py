"""Workload e: what a board fetches from one release of a real project to the next."""

import statistics

from . import boards, fetch
from .boards import Failed
from .subjects import Bench
from .workloads import Workload

BOARDS = 3  # pairs that a real board updates as well


def compiled(files, folder):
    """`files` with every module as .mpy, or None when one of them does not compile."""
    out = {}
    for i, (path, data) in enumerate(files.items()):
        if path in ("boot.py", "main.py"):
            out[path] = data
            continue
        source = folder / str(i) / path.rsplit("/", 1)[-1]
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(data)
        try:
            boards.compile_to(source.parent, ("", source))
        except Failed:
            return None
        out[path[:-3] + ".mpy"] = source.with_suffix(".mpy").read_bytes()
    return out


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


def pairs(temp):
    """(project, versions, kind, old files, new files) of every pair that can be compared in both kinds."""
    for n, (name, was, becomes, old, new) in enumerate(fetch.releases()):
        yield name, f"{was} to {becomes}", "py", old, new
        both = compiled(old, temp / f"{n}a"), compiled(new, temp / f"{n}b")
        if all(both) and both[0] != both[1]:
            yield name, f"{was} to {becomes}", "mpy", *both


def run(rows, web, layout, mpy, temp):
    """Publish every pair, add up what a board fetches, and let real boards fetch some of it."""
    sums, checked = {}, 0
    projects = set()
    for n, (name, versions, kind, old, new) in enumerate(pairs(temp / "pairs")):
        place = f"e/{n}"
        first = layout.ours(f"{place}/host", old, "v1.0.0")
        second = layout.ours(f"{place}/host", new, "v1.0.1")
        changed = {p: d for p, d in new.items() if old.get(p) != d}
        takes = offered(first, second)
        if set(takes) != set(changed):
            raise AssertionError(f"{name} {versions}: {set(takes) ^ set(changed)}")
        raw = sum(map(len, changed.values()))
        one = {"raw": raw, "ours": sum(takes.values()), "manifest": len(second.raw), "all": sum(map(len, new.values()))}
        one["added"] = sum(len(d) for p, d in changed.items() if p not in old)
        projects.add(name)
        sums.setdefault(kind, []).append(one)
        if checked < 2 * BOARDS and raw > 2000 and not [p for p in new if p in ("boot.py", "main.py")]:
            checked += _on_a_board(rows, web, layout, mpy, temp, (n, name, versions, kind), old, new, one)
    for kind, found in sums.items():
        _report(rows, kind, found, projects)


def _on_a_board(rows, web, layout, mpy, temp, which, old, new, want):
    n, name, versions, kind = which
    bench = Bench(Workload(f"e{n}", name, old, new), web, layout, mpy, temp, ("ours",), (32,))
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
        ("ours", "contents"): total["ours"],
        ("ours", "contents and manifest"): total["ours"] + total["manifest"],
        ("micropython_ota", "contents"): total["all"],
        ("limit", "contents"): total["raw"],
    }
    for (subject, of), size in share.items():
        rows.add("e", subject, "share_of_changed", round(100 * size / total["raw"], 2), "%", of=of, **more)
    rows.add("e", "ours", "share_of_added", round(100 * total["added"] / total["raw"], 2), "%", **more)
    for key in ("raw", "ours", "manifest", "all"):
        rows.add("e", "ours", f"median_{key}", round(statistics.median(one[key] for one in found)), "B", **more)
    each = [100 * one["ours"] / one["raw"] for one in found if one["raw"]]
    rows.add_spread("e", "ours", "share_of_changed_a_pair", each, "%", **more)
