"""What the benchmark is to show, and whether it does."""

from .growth import first_break

# The limits; each has a line in `targets`.
SHARE = {"py": 7, "mpy": 21}  # % of the changed raw bytes
TIMES_FEWER, HEAP_KB, HEAP_APART = 40, 40, 1.05
PROGRAMMED, ERASED, FLASH_TIME, B_FASTER, C_WALL, POLL_BYTES = 1.10, 1.35, 1.30, 10, 1.5, 400


def ratio(a, b):
    """a / b to two places, None when one of them is not there."""
    return round(a / b, 2) if a is not None and b else None


def targets(rows):
    """[what, target, measured, met]; what was not measured is left out."""
    found = [*_wire(rows), *_heap(rows), *_flash(rows), *_time(rows), *_idle(rows)]
    return [line for line in found if None not in line[2]]


def _wire(rows):
    def share(subject, kind, of="files that changed or came"):
        kept = [r for r in rows if r["metric"] == "share_of_changed" and r["kind"] == kind and r["of"] == of]
        return next((r["value"] for r in kept if r["subject"] == subject), None)

    for kind, limit in SHARE.items():
        got = share("ours", kind, "files that changed"), share("ours", kind)
        met = None not in got and got[0] <= limit
        yield f"wire, (e), .{kind}, % of the raw bytes of changed files; with files that came", f"at most {limit}", got, met
    got = ratio(share("micropython_ota", "py"), share("ours", "py", "the same, and the manifest"))
    pair = rows.get("e", "ours", "times_fewer_than_micropython_ota_a_pair", kind="py")
    met = None not in (got, pair) and min(got, pair) >= TIMES_FEWER
    yield "wire, (e), .py, times fewer than micropython_ota, all in all; median pair", f"at least {TIMES_FEWER}", (got, pair), met


def _heap(rows):
    pair = tuple(rows.get(w, "ours", "smallest_heap") for w in "ac")
    met = None not in pair and max(pair) <= HEAP_KB and max(pair) <= min(pair) * HEAP_APART
    yield "smallest heap, signed, .mpy, with the boots, KB: (a), (c)", f"{HEAP_KB}, within 5 %", pair, met
    for form in ("mpy", "core"):
        pair = tuple(rows.get(w, "ours", "smallest_heap_of_form", form=form) for w in "ac")
        met = None not in pair and max(pair) <= HEAP_KB
        yield f"the same of the update alone, {form}, KB: (a), (c)", f"{HEAP_KB}", pair, met


def _flash(rows):
    changed = rows.get("a", "workload", "changed_bytes")
    for prog in (32, 256):
        pair = tuple(ratio(rows.get("a", "ours", f"flash_{m}", prog=prog), changed) for m in ("programmed", "erased"))
        met = None not in pair and pair[0] <= PROGRAMMED and pair[1] <= ERASED
        yield f"flash a changed byte, (a), {prog} B programs: programmed, erased", f"{PROGRAMMED}, {ERASED}", pair, met
    for prog in (32, 256):
        got = ratio(*(rows.get("a", s, "flash_time", prog=prog) for s in ("ours", "limit")))
        yield f"modelled flash time of (a), {prog} B programs, times the limit", f"at most {FLASH_TIME}", (got,), got and got <= FLASH_TIME


def _time(rows):
    got = ratio(*(rows.get("b", s, "wall", 100) for s in ("micropython_ota", "ours")))
    yield "time of (b) at 100 ms, times faster than micropython_ota", f"at least {B_FASTER}", (got,), (got or 0) >= B_FASTER
    for rtt in (0, 100):
        got = ratio(*(rows.get("c", s, "wall", rtt) for s in ("ours", "limit")))
        yield f"wall time of (c) at {rtt} ms, times the limit", f"at most {C_WALL}", (got,), got and got <= C_WALL


def _idle(rows):
    got = tuple(rows.get("f", "ours", m) for m in ("requests", "wire_both"))
    got += tuple(rows.get("f", "ours", m, prog=32) for m in ("flash_programmed", "flash_erased"))
    met = None not in got and got[0] == 1 and got[1] <= POLL_BYTES and not got[2] + got[3]
    yield "idle poll: requests, bytes, flash programmed, erased", f"1, {POLL_BYTES}, 0, 0", got, met


def show(rows):
    """The targets as Markdown, and what breaks first."""
    lines = ["| what | target | measured | met |", "|---|---|---|---|"]
    for what, target, measured, met in targets(rows):
        lines.append(f"| {what} | {target} | {', '.join(map(str, measured))} | {'yes' if met else 'no'} |")
    for server in ("nginx", "ota serve"):
        if rows.get("growth", "ours", "polls", server=server, connections=1):
            lines += ["", f"What breaks first of {server} under polls: {first_break(rows, server)}."]
    return "\n".join(lines) + "\n"
