"""The benchmark as a Markdown table, ratios first, and as pictures: bars side by side and curves of growth."""

import html
import math

from .subjects import SUBJECTS
from .targets import ratio

COLOURS = {"ours": "#4c78a8", "micropython_ota": "#e45756", "senko": "#f2a541", "mip": "#9d755d", "limit": "#54a24b"}
WORKLOADS = {
    "a": "20 files of 10 KB, all changed",
    "b": "20 files, one line changed",
    "c": "one file of 1 MB",
    "d": "500 files, 3 changed",
    "f": "nothing new",
}
# metric, how it is called, its row's conditions
FIGURES = (
    ("wire_both", "bytes on the wire", {}),
    ("requests", "requests", {}),
    ("flash_programmed", "flash programmed, B", {"prog": 32}),
    ("flash_erased", "flash erased, B", {"prog": 32}),
    ("flash_read", "flash read, B", {"prog": 32}),
    ("flash_time", "modelled flash time, ms", {"prog": 32}),
    ("wall", "wall time, ms", {}),
    ("wall", "wall time at 100 ms, ms", {"rtt_ms": 100}),
    ("wall", "wall time at 100 ms and 1 % loss, ms", {"rtt_ms": 100, "loss": 1}),
    ("smallest_heap", "smallest heap, KB", {}),
    ("peak_heap", "peak heap, B", {}),
    ("emulated_time", "time on a Pico W without its flash, emulated s", {}),
    ("emulated_flash_time", "flash time on a Pico W, modelled s", {}),
)


def _row(rows, workload, subject, metric, where):
    where = {"rtt_ms": 0, "loss": 0, **where}
    for row in rows:
        if (row["workload"], row["subject"], row["metric"]) == (workload, subject, metric):
            if all(row.get(k, 0) == v for k, v in where.items()):
                return row
    return None


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cell(rows, workload, subject, metric, where):
    row = _row(rows, workload, subject, metric, where)
    if row is None or row["value"] is None:
        return "–"
    text = _number(row["value"])
    return f"{text} ({_number(row['low'])}–{_number(row['high'])})" if row.get("n", 1) > 1 else text


def _times(rows, workload, metric, where, other):
    pair = [_row(rows, workload, s, metric, where) for s in (other, "ours")]
    if None in pair:
        return "–"
    got = ratio(*(r["value"] for r in pair))
    return "–" if got is None else f"{got:.3g}×"


# What of FIGURES stands in the short table.
SHORT = ("bytes on the wire", "modelled flash time, ms", "wall time at 100 ms, ms", "smallest heap, KB")


def table(rows, figures=SHORT):
    """Markdown: for each workload what another takes, in times of what ours takes."""
    others = [s for s in SUBJECTS if s != "ours"]
    lines = ["How many times as much as `mpota` each takes; the limit is a bare loop that survives nothing.", ""]
    lines += ["| workload | figure | " + " | ".join(others) + " |", "|---|---|" + "---|" * len(others)]
    for workload, says in WORKLOADS.items():
        for metric, name, where in [f for f in FIGURES if f[1] in figures]:
            cells = [_times(rows, workload, metric, where, other) for other in others]
            if set(cells) != {"–"}:
                lines.append(f"| ({workload}) {says} | {name.split(',')[0]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def figures(rows):
    """Markdown: all ratios, all figures, what failed, and the real releases."""
    lines = [table(rows, [name for _, name, _ in FIGURES])]
    lines += ["The figures: medians, with the lowest and the highest.", ""]
    lines += ["| workload | figure | " + " | ".join(SUBJECTS) + " |", "|---|---|" + "---|" * len(SUBJECTS)]
    for workload in WORKLOADS:
        for metric, name, where in FIGURES:
            cells = [_cell(rows, workload, s, metric, where) for s in SUBJECTS]
            if set(cells) != {"–"}:
                lines.append(f"| ({workload}) | {name} | " + " | ".join(cells) + " |")
    fails = [r for r in rows if r["metric"] == "fails" and r["workload"] in WORKLOADS]
    if fails:
        lines += ["", "What cannot be done:", ""]
        lines += [f"- ({r['workload']}) {r['subject']}: {r['value']}" for r in fails]
    return "\n".join([*lines, *_releases(rows)]) + "\n"


def _releases(rows):
    found = [r for r in rows if r["metric"] == "share_of_changed"]
    if not found:
        return []
    lines = ["", f"(e) {found[0]['projects']} projects of PyPI, from each release to the next:", ""]
    lines += ["| files | pairs | bytes fetched | % of the changed raw bytes |", "|---|---|---|---|"]
    lines += [f"| .{r['kind']} | {r['pairs']} | {r['subject']}, {r['of']} | {r['value']} |" for r in found]
    return lines


# Pictures

STYLE = "<style>text{font:11px sans-serif;fill:#333}.s{font-size:9px;fill:#666}.h{font-size:13px}</style>"


def _svg(width, height, parts):
    background = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{STYLE}{background}{"".join(parts)}</svg>\n'


def _text(x, y, text, cls="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{cls}" text-anchor="{anchor}">{html.escape(str(text))}</text>'


def bars(rows, metric, title, where, workloads="abcdf"):
    """An SVG of horizontal bars on a logarithmic scale, a group for each workload; None without figures."""
    groups = []
    for workload in workloads:
        found = [(s, _row(rows, workload, s, metric, where)) for s in SUBJECTS]
        groups.append((workload, [(s, r["value"]) for s, r in found if r and r["value"]]))
    values = [v for _, group in groups for _, v in group]
    if not values:
        return None
    low, high = math.log10(min(values)) - 0.3, math.log10(max(values))
    left, width, y, parts = 260, 420, 44, [_text(8, 18, title, "h")]
    for workload, group in groups:
        if group:
            parts.append(_text(8, y + 11, f"({workload}) {WORKLOADS[workload]}"))
        for subject, value in group:
            length = max(2, (math.log10(value) - low) / (high - low) * width)
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="12" fill="{COLOURS[subject]}"/>')
            parts.append(_text(left + length + 4, y + 10, f"{_number(value)}  {subject}", "s"))
            y += 15
        y += 10
    return _svg(left + width + 160, y, parts)


def curves(lines, title, across, up):
    """An SVG of `lines` ({name: [(x, y)]}), both axes logarithmic; None without points."""
    points = [p for line in lines.values() for p in line]
    if not points:
        return None
    left, top, width, height = 70, 40, 460, 240
    ends = []
    for axis in (0, 1):
        logs = [math.log10(max(p[axis], 1e-3)) for p in points]
        ends.append((math.floor(min(logs)), max(math.ceil(max(logs)), math.floor(min(logs)) + 1)))

    def place(x, y):
        (x0, x1), (y0, y1) = ends
        fx = (math.log10(max(x, 1e-3)) - x0) / (x1 - x0)
        fy = (math.log10(max(y, 1e-3)) - y0) / (y1 - y0)
        return left + fx * width, top + (1 - fy) * height

    parts = [_text(8, 18, title, "h"), _text(left + width / 2, top + height + 34, across, "", "middle"), _text(8, 34, up)]
    for e in range(ends[0][0], ends[0][1] + 1):
        x, _ = place(10**e, 1)
        parts.append(f'<path d="M{x:.0f},{top}v{height}" stroke="#eee"/>' + _text(x, top + height + 14, f"{10**e:,g}", "s", "middle"))
    for e in range(ends[1][0], ends[1][1] + 1):
        _, y = place(1, 10**e)
        parts.append(f'<path d="M{left},{y:.0f}h{width}" stroke="#eee"/>' + _text(left - 6, y + 4, f"{10**e:,g}", "s", "end"))
    palette = ["#4c78a8", "#54a24b", "#e45756", "#f2a541"]
    for n, (name, line) in enumerate(lines.items()):
        colour = COLOURS.get(name, palette[n % 4])
        spots = [place(*p) for p in line]
        parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in spots)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
        parts.append(_text(left + width + 10, spots[-1][1] + 4, name))
    return _svg(left + width + 130, top + height + 44, parts)


def _line(rows, metric, what, **where):
    found = [r for r in rows if r["workload"] == "growth" and r["metric"] == metric and what in r]
    found = [r for r in found if all(r.get(k) == v for k, v in where.items())]
    return [(r[what], r["value"]) for r in found if r["value"] is not None]


def pictures(rows):
    """{file name: SVG} of all that was measured."""
    out = {
        "wire.svg": bars(rows, "wire_both", "Bytes on the wire, both ways (logarithmic)", {}),
        "flash-time.svg": bars(rows, "flash_time", "Modelled flash time, ms (logarithmic)", {"prog": 32}),
        "wall-100.svg": bars(rows, "wall", "Wall time at 100 ms of round-trip time, ms (logarithmic)", {"rtt_ms": 100}),
        "pico-w.svg": bars(rows, "emulated_time", "Time on the emulated Pico W without its flash, s (logarithmic)", {}),
        "heap.svg": bars(rows, "smallest_heap", "Smallest heap that completes, KB, 64-bit (logarithmic)", {}),
    }
    for what, across in (("files", "files of 1 KB, all changed"), ("kilobytes", "KB of one file, changed")):
        for metric, up in (("flash_time", "modelled flash time, ms"), ("peak_heap", "peak heap, B")):
            lines = {s: _line(rows, metric, what, subject=s) for s in ("ours", "limit")}
            name = f"growth-{what}-{metric.replace('_', '-')}.svg"
            out[name] = curves({s: line for s, line in lines.items() if line}, f"{up} of an update", across, up)
    for metric, title in (("polls", "Polls answered a second"), ("poll_p99", "99 % of polls answered within, ms")):
        lines = {s: _line(rows, metric, "connections", server=s) for s in ("nginx", "ota serve")}
        out[f"{metric.replace('_', '-')}.svg"] = curves({s: x for s, x in lines.items() if x}, title, "boards that poll at once", "")
    return {name: svg for name, svg in out.items() if svg}
