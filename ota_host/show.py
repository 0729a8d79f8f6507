"""What the command says: results on standard output, everything else on standard error."""

import contextlib
import json
import sys

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

err = Console(stderr=True, soft_wrap=True, highlight=False)
out = Console(soft_wrap=True, highlight=False)


def error(message):
    """One line that says why it failed."""
    err.print(Text.assemble(("error: ", "bold red"), " ".join(str(message).split("\n"))))


def warning(message):
    """One line about what may surprise."""
    err.print(Text.assemble(("warning: ", "yellow"), str(message)))


def as_json(value):
    """One line of JSON for a script."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def progress():
    """Gives a callable (what, done, total) that draws a bar, on a terminal, while it is used."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        tasks = {}

        def tell(what, done, total):
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield tell


def published(done):
    """What a publication did."""
    for message in done.warnings:
        warning(message)
    head = f"{done.project} {done.version} (seq {done.seq}) on {done.channel}"
    size = f"{done.files} files, {decimal(done.size)}"
    if done.draft:
        out.print(Text(f"drafted {head}: {size}; next: ota sign {done.draft} --key KEY"))
        return
    if done.signed:
        size += f", signed by {', '.join(done.signed)}"
    if done.changed:
        blobs = sum(name.startswith("blobs/") for name in done.written)
        out.print(Text(f"published {head}: {size}, {blobs} of the contents new"))
    else:
        out.print(Text(f"nothing to do: {head} is published already"))


def audited(reports):
    """A table of the channels, and every problem."""
    for report in reports:
        table = Table(title=f"{report.project or '?'}: {report.folder}", title_justify="left")
        for column in ("channel", "version", "seq", "files", "size", "rollout"):
            table.add_column(column)
        for channel, header in report.channels.items():
            share = f"{header.get('rollout', {}).get('percent', 100)} %"
            cells = channel, header["version"], header["seq"], header["files"], decimal(header["size"]), share
            table.add_row(*(Text(str(cell)) for cell in cells))
        out.print(table)
        counts = f"{report.releases} releases, {report.contents} contents, {report.forms} smaller forms, "
        counts += f"{report.unused} files of no release"
        out.print(Text(counts + (f", legacy {report.legacy}" if report.legacy else "")))
        for message in report.warnings:
            warning(message)
        for p in report.problems:
            error(f"{p.file}: expected {p.expected}, found {p.found}")


def serving(root, urls, host):
    """Where the releases of the projects in `root` (Path) are, ready to paste; `urls` (list of str) lead to `root`."""
    projects = sorted({path.parent.name for path in root.glob("*/*.manifest")}) or ["<project>"]
    out.print(Text(f"serving {root}; Ctrl-C ends it"))
    for url in urls:
        for project in projects:
            out.print(Text(f"  {url}/{project}"))
    if host in ("127.0.0.1", "::1", "localhost"):
        out.print(Text("only this PC reaches it; for boards: ota serve --host 0.0.0.0"))


def request(entry):
    """A line for one request to the server."""
    color = "red" if entry["status"] >= 400 else "green" if entry["status"] in (200, 206) else "cyan"
    who = entry["client"] + (f" ({entry['agent']})" if entry["agent"] else "")
    what = f"{entry['method']} {entry['path']}"
    numbers = f"{entry['bytes']} B {entry['ms']} ms"
    plain = "".join(c if c.isprintable() else "?" for c in f"{who}  {what}  ")
    out.print(Text.assemble(plain, (str(entry["status"]), color), "  " + numbers))
