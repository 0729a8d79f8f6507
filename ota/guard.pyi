from collections.abc import Callable

from .updater import Updater

def feed() -> None: ...
def launch(
    name: str,
    updater: Callable[[], Updater | None] | None = None,
    *,
    watchdog: int = 0,
    confirm_s: int = 600,
    failures: int = 3,
    pause_s: int = 60,
    rounds: int = 60,
) -> None: ...
