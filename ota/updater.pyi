from collections.abc import Callable, Generator, Iterable
from typing import Any, Literal

from .storage import Storage
from .transports import Transport
from .verifiers import Verifier

class Release:
    version: str
    seq: int
    header: dict[str, Any]
    def close(self) -> None: ...

class Updater:
    chunk: int
    safe: int
    transport: Transport
    storage: Storage
    verifier: Verifier
    keep: list[str]
    project: str | None
    ready: bool
    root: str
    def __init__(
        self,
        transport: Transport | str,
        *,
        storage: Storage | None = None,
        verifier: Verifier | None = None,
        files: Iterable[str] | None = None,
        channel: str = "stable",
        layout: Literal["prefix", "subdir"] = "prefix",
        keep: Iterable[str] = (),
        trial_boots: int = 3,
        device_id: str | None = None,
        on_event: Callable[[str, Any], object] | None = None,
        project: str | None = None,
    ) -> None: ...
    def device_id(self) -> str: ...
    def check(self) -> Release | None: ...
    def stage(self, release: Release) -> None: ...
    def install(self) -> None: ...
    def steps(self) -> Generator[tuple[str, int, int | None]]: ...
    def run(self, reset: bool = True) -> bool: ...
    async def run_async(self, reset: bool = True) -> bool: ...
