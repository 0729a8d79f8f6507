"""What the command says: results on standard output, everything else on standard error."""

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from .shared_types import Progress as Tell
from .shared_types import Request

if TYPE_CHECKING:
    from .audit import Report
    from .preview import FileNote, Preview
    from .prune import Pruned
    from .put import Published
    from .releases import Listing

err = Console(stderr=True, soft_wrap=True, highlight=False)
out = Console(soft_wrap=True, highlight=False)


def error(message: object) -> None:
    """One line that says why it failed."""
    err.print(Text.assemble(("error: ", "bold red"), " ".join(str(message).split("\n"))))


def warning(message: object) -> None:
    """One line about what may surprise."""
    err.print(Text.assemble(("warning: ", "yellow"), str(message)))


def as_json(value: object) -> None:
    """One line of JSON for a script."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def progress() -> Iterator[Tell]:
    """Gives a callable (what, done, total) that draws a bar, on a terminal, while it is used."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield tell


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 file`, `2 files`; `plural` where an s does not make it."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def published(done: "Published") -> None:
    """What a publication did."""
    for message in done.warnings:
        warning(message)
    head = f"{done.project} {done.version} (seq {done.seq}) on {done.channel}"
    size = f"{count(done.files, 'file')}, {size_of(done.size)}"
    if done.draft:
        out.print(Text(f"drafted {head}: {size}; next: ota sign {done.draft} --key KEY"))
        return
    if done.signed:
        size += f", signed by {', '.join(done.signed)}"
    if done.changed:
        blobs = sum(name.startswith("blobs/") and not name.endswith(".z") for name in done.written)
        out.print(Text(f"published {head}: {size}, {blobs} of the contents new"))
    else:
        out.print(Text(f"nothing to do: {head} is published already"))


def size_of(number: int) -> str:
    """A number of bytes in words."""
    return decimal(number).replace("1 bytes", "1 byte") if number == 1 else decimal(number)


def largest(files: "Iterable[FileNote]") -> None:
    """The largest files of a release (dicts with `path` and `size`)."""
    shown = ", ".join(f"{file['path']} ({size_of(file['size'])})" for file in files)
    out.print(Text(f"largest: {shown}"))


def previewed(made: "Preview") -> None:
    """What a publication would change."""
    for message in made.warnings:
        warning(message)
    head = f"{made.project} {made.version or '(no version yet)'} (seq {made.seq}) on {made.channel}"
    out.print(Text(f"would publish {head}: {count(made.files, 'file')}, {size_of(made.size)}"))
    for what in ("new", "changed", "removed"):
        for file in getattr(made, what):
            sizes = [size_of(file["size"])] if "size" in file else []
            sizes += [f"was {size_of(file['before'])}"] if "before" in file else []
            sizes += [f"from {file['from']}"] if "from" in file else []
            out.print(Text(f"  {what:<8} {file['path']}  ({', '.join(sizes)})"))
    since = f"{count(made.unchanged, 'file')} unchanged since {made.previous}"
    out.print(Text(f"  {since if made.previous else f'{made.channel} has no release yet'}"))
    if made.fetch:
        who = f"a board with {made.previous}" if made.previous else "a board with none of it"
        amounts = f"{made.fetch['raw']} bytes; {made.fetch['compressed']} compressed; {made.fetch['delta']} with deltas"
        out.print(Text(f"{who} fetches {amounts}"))
        largest(made.largest)
    out.print("nothing was written")


def audited(reports: "Sequence[Report]", is_fixed: bool = False) -> None:
    """A table of the channels, what was repaired, and every problem."""
    for report in reports:
        table = Table(title=f"{report.project or '?'}: {report.folder}", title_justify="left")
        for column in ("channel", "version", "seq", "files", "size", "rollout"):
            table.add_column(column)
        for channel, header in report.channels.items():
            share = f"{header.get('rollout', {}).get('percent', 100)} %"
            cells = channel, header["version"], header["seq"], header["files"], decimal(header["size"]), share
            table.add_row(*(Text(str(cell)) for cell in cells))
        out.print(table)
        counts = f"{count(report.releases, 'release')}, {count(report.contents, 'file')}, "
        counts += f"{count(report.forms, 'compressed or delta variant')}, {count(report.unused, 'unreferenced file')}"
        out.print(Text(counts + (f", legacy {report.legacy}" if report.legacy else "")))
        for fix in report.fixed:
            out.print(Text(f"{fix.file}: {fix.how}"))
        for message in report.warnings:
            warning(message)
        for p in report.problems:
            remedy = f"; {p.remedy}" if is_fixed and p.remedy else ""
            error(f"{p.file}: expected {p.expected}, found {p.found}{remedy}")
    if not is_fixed and any(report.problems for report in reports):
        err.print(Text("`ota verify --fix` repairs what the rest of the tree allows"))


def listed(found: "Listing") -> None:
    """A table of the releases of a project."""
    table = Table(title=f"{found.project or '?'}: {found.folder}", title_justify="left")
    for column in ("version", "seq", "state", "published", "files", "size", "update"):
        table.add_column(column, no_wrap=column == "version")
    for row in found.releases:
        on = [f"{c} ({t['rollout']} %)" if t["rollout"] != 100 else c for c, t in row.channels.items()]
        when = time.strftime("%Y-%m-%d", time.gmtime(row.published))
        state = ", ".join(on) or row.state
        cells = row.version, row.seq, state, when, row.files, decimal(row.bytes), decimal(row.fetch_bytes)
        table.add_row(*(Text(str(cell)) for cell in cells))
    out.print(table)
    for name in found.damaged:
        warning(f"{found.folder}/{name} is damaged and not in this list; `ota verify --fix` repairs what it can")


def pruned(done: "Pruned") -> None:
    """What was removed, or would be."""
    if done.dry_run:
        for name in done.removed:
            out.print(Text(name))
    verb = "would remove" if done.dry_run else "removed"
    what = f"{len(done.removed)} files, {decimal(done.bytes)}, of {len(done.releases)} releases"
    names = f" ({', '.join(done.releases)})" if done.releases else ""
    out.print(Text(f"{verb} {what}{names}; kept {', '.join(done.kept) or 'none'}"))


def serving(root: Path, urls: Sequence[str], host: str) -> None:
    """Where the releases of the projects in `root` (Path) are, ready to paste; `urls` (list of str) lead to `root`."""
    projects = sorted({path.parent.name for path in root.glob("*/*.manifest")}) or ["<project>"]
    out.print(Text(f"serving {root}; Ctrl-C ends it"))
    for url in urls:
        for project in projects:
            out.print(Text(f"  {url}/{project}"))
    if host in ("127.0.0.1", "::1", "localhost"):
        out.print(Text("only this PC reaches it; for boards: ota serve --host 0.0.0.0"))


def request(entry: Request) -> None:
    """A line for one request to the server."""
    color = "red" if entry["status"] >= 400 else "green" if entry["status"] in (200, 206) else "cyan"
    who = entry["client"] + (f" ({entry['agent']})" if entry["agent"] else "")
    what = f"{entry['method']} {entry['path']}"
    numbers = f"{entry['bytes']} B {entry['ms']} ms"
    plain = "".join(c if c.isprintable() else "?" for c in f"{who}  {what}  ")
    out.print(Text.assemble(plain, (str(entry["status"]), color), "  " + numbers))
