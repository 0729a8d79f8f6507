"""What boot.py does before the boot guard runs: whether it calls `ota.boot()`, and what it imports until then."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

_BOOT = ("ota.boot", "ota.bootguard.boot")
_LEGACY = ("ota.ota_update", "ota.legacy.ota_update", "micropython_ota.ota_update")
_DEF = re.compile(r"(?:async\s+)?def\b|lambda\b")
_DEFERRED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

# The same as in ota/bootguard.py, which a test holds: these are boot-critical without a mark.
VITAL = ("boot.py", "main.py", "micropython_ota.py", "lib/micropython_ota.py")
VITAL_FOLDERS = ("ota/", "lib/ota/")


def is_vital(path: str) -> bool:
    """Whether the board takes `path` for boot-critical by its name."""
    return path in VITAL or path.startswith(VITAL_FOLDERS)


def parse(path: str, source: bytes) -> ast.Module:
    """The syntax tree of a `source` (bytes) that MicroPython can compile, whatever this PC's Python says."""
    return _whole(source) or _by_line(source)


def is_whole(source: bytes) -> bool:
    """Whether `parse` understands all of a `source` (bytes), and not only those of its lines that stand for themselves."""
    return _whole(source) is not None


def _whole(source: bytes) -> ast.Module | None:
    # MicroPython takes a tab for the way to the next multiple of 8, CPython refuses it beside spaces.
    for text in (source, source.expandtabs(8)):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError):
            pass
    return None


def _by_line(source: bytes) -> ast.Module:
    lines: list[str] = []
    inside: int | None = None  # the indentation of the function that a line is in
    for line in source.decode(errors="replace").expandtabs(8).splitlines():
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if text and inside is not None and indent <= inside:
            inside = None
        lines.append(text if _stands_alone(text, inside is not None) else "")
        if inside is None and _DEF.match(text):
            inside = indent
    return ast.parse("\n".join(lines))


def _stands_alone(text: str, is_deferred: bool) -> bool:
    try:
        nodes = ast.parse(text).body
    except (SyntaxError, ValueError):
        return False
    return not is_deferred or all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes)


def calls_boot(tree: ast.AST) -> int:
    """The line on which a module calls `ota.boot()` while it is imported, or 0."""
    return _find(_executed(tree), _BOOT)


def calls_ota_update(tree: ast.AST) -> int:
    """The line on which a module calls the legacy `ota_update`, in a function or not, or 0."""
    return _find(ast.walk(tree), _LEGACY)


def _find(nodes: Iterable[ast.AST], wanted: Collection[str]) -> int:
    names: dict[str, str] = {}
    calls: list[ast.Call] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call):
            calls.append(node)
    lines = [c.lineno for c in calls if _dotted(c.func, names) in wanted]
    return min(lines, default=0)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    # All that runs when the module is imported, in the order of the source.
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _DEFERRED):
            yield child
            yield from _executed(child)


def _dotted(node: ast.AST, names: Mapping[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def imported_early(files: Collection[str], sources: Mapping[str, bytes]) -> list[str]:
    """The project's own files that boot.py imports before `ota.boot()`, and what they import.

    Args:
        files (collection of str): the paths on the board.
        sources (dict): path on the board -> Python source (bytes), where there is one.

    Returns:
        list of str: sorted; without those that are boot-critical by their name.
    """
    tree = parse("boot.py", sources["boot.py"])
    until = calls_boot(tree) or float("inf")
    todo = [n for n in _imports(tree, "") if n[1] <= until]
    found: set[str] = set()
    seen: set[str] = set()
    while todo:
        module, _ = todo.pop()
        for path, name in _resolve(module, files):
            if path in seen:
                continue
            seen.add(path)
            if path.startswith(VITAL_FOLDERS):
                continue  # all of the library is
            if not is_vital(path):
                found.add(path)
            if path in sources:
                package = name if "/__init__." in path else name.rpartition(".")[0]
                todo += _imports(parse(path, sources[path]), package)
    return sorted(found)


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    # Every module that is named, wherever it stands: (dotted name, line).
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join(filter(None, [*parts[: len(parts) - node.level + 1], base]))
            yield base, node.lineno
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def relative_imports(path: str, source: bytes, name: str) -> Iterator[str]:
    """The modules of its own package that a module imports, wherever in it: paths below the package's folder (str).

    Args:
        path (str): for messages. source (bytes): of the module.
        name (str): its path below the folder of the package, without the end.
    """
    package = name.split("/")[:-1]
    for node in ast.walk(parse(path, source)):
        if isinstance(node, ast.ImportFrom) and node.level and node.module:
            yield "/".join([*package[: len(package) - node.level + 1], *node.module.split(".")])


def _resolve(module: str, files: Collection[str]) -> Iterator[tuple[str, str]]:
    # The files that importing a dotted name runs, by the board's path: here first, then lib/.
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        stem = "/".join(parts[:i])
        for folder in ("", "lib/"):
            there = [folder + stem + end for end in ("/__init__.py", "/__init__.mpy", ".py", ".mpy")]
            path = next((p for p in there if p in files), None)
            if path:
                yield path, ".".join(parts[:i])
                break
