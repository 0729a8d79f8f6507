from collections.abc import Iterable, Iterator
from typing import Any

FETCH: str
PATCH: str
KEEP: str
DELETE: str

def kept(path: str, keep: Iterable[str], root: str | None = None) -> bool: ...
def plan(
    old: Iterator[dict[str, Any]], new: Iterator[dict[str, Any]], keep: Iterable[str] = ()
) -> Iterator[tuple[str, str, dict[str, Any] | None, dict[str, Any] | None]]: ...
def beside(root: str, path: str) -> str: ...
