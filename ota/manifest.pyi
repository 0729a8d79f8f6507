from collections.abc import Callable, Iterator
from typing import Any

LINE: int
FILES: int
PATH: int
SIGNATURES: int
NUMBER: int
SUFFIXES: tuple[str, ...]

def check_path(path: str) -> str: ...
def check_header(header: dict[str, Any]) -> dict[str, Any]: ...
def check_entry(entry: dict[str, Any]) -> dict[str, Any]: ...

class Reader:
    header: dict[str, Any]
    digest: bytes
    signatures: list[dict[str, Any]]
    raw: bytes
    readline: Callable[[int], bytes]
    def __init__(
        self, readline: Callable[[int], bytes], update: Callable[[bytes], object] | None = None, url: str = "?"
    ) -> None: ...
    def __iter__(self) -> Iterator[dict[str, Any]]: ...
