"""The picture of the proof: operations of an update to the right, what was found after each cut downwards."""

import html

from ota_host.proof import SHAPES

COLOURS = {"old": "#4c78a8", "new": "#54a24b"}
BAD = "#e45756"
CELL, LEFT, LINE = 4, 190, 9


def strip(name, line):
    """SVG rows of one subject: a row for each shape of a torn operation, a cell for each operation."""
    shapes = sorted({shape for _, shape, _ in line})
    rows = [f'<text x="0" y="11">{html.escape(name)}</text>']
    for row, shape in enumerate(shapes):
        y = 18 + row * LINE
        rows.append(f'<text x="{LEFT - 6}" y="{y + 7}" text-anchor="end" class="s">{SHAPES[shape]}</text>')
        for k, _, verdict in sorted(x for x in line if x[1] == shape):
            colour = COLOURS.get(verdict, BAD)
            title = f"<title>operation {k}: {html.escape(verdict)}</title>"
            rows.append(f'<rect x="{LEFT + k * CELL}" y="{y}" width="{CELL - 1}" height="7" fill="{colour}">{title}</rect>')
    return rows, 26 + len(shapes) * LINE


def picture(subjects):
    """An SVG of `subjects` ({name: [(operation, shape, verdict)]})."""
    parts, top, width = [], 24, 400
    for name, line in subjects.items():
        rows, height = strip(name, line)
        parts += [f'<g transform="translate(8,{top})">', *rows, "</g>"]
        top += height
        width = max([width, *(LEFT + (k + 4) * CELL for k, _, _ in line)])
    legend = "".join(
        f'<rect x="{8 + i * 130}" y="6" width="9" height="9" fill="{c}"/><text x="{21 + i * 130}" y="14">{t}</text>'
        for i, (t, c) in enumerate((("old, whole", COLOURS["old"]), ("new, whole", COLOURS["new"]), ("neither", BAD)))
    )
    style = "<style>text{font:11px sans-serif}.s{font-size:8px;fill:#666}</style>"
    size = f'width="{width}" height="{top}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{legend}{"".join(parts)}</svg>\n'


def table(proofs, peers):
    """The figures as Markdown."""
    rows = ["| scenario | operations | states | first cuts | second | third | neither old nor new |", "|---|---|---|---|---|---|---|"]
    for p in proofs:
        rows.append(f"| {p.name} | {p.ops} | {len(p.states)} | {p.cuts} | {p.second_cuts} | {p.third_cuts} | {p.bad_states} |")
    rows += ["", "| without any network after the cut | cuts | neither old nor new |", "|---|---|---|"]
    for name, got in peers.items():
        bad = sum(n for what, n in got["found"].items() if what not in COLOURS)
        rows.append(f"| {name} | {sum(got['found'].values())} | {bad} |")
    return "\n".join(rows) + "\n"
