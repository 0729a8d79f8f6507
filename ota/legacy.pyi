from collections.abc import Iterable
from typing import overload

@overload
def generate_auth(user: None = None, passwd: None = None) -> None: ...
@overload
def generate_auth(user: str | None = None, passwd: str | None = None) -> str | None: ...
def check_version(host: str, project: str, auth: str | None = None, timeout: float | None = 5) -> tuple[bool, str]: ...
def ota_update(
    host: str,
    project: str,
    filenames: Iterable[str],
    use_version_prefix: bool = True,
    user: str | None = None,
    passwd: str | None = None,
    hard_reset_device: bool = True,
    soft_reset_device: bool = False,
    timeout: float | None = 5,
    reset_device: bool | None = None,
) -> None: ...
def check_for_ota_update(
    host: str,
    project: str,
    user: str | None = None,
    passwd: str | None = None,
    timeout: float | None = 5,
    soft_reset_device: bool = False,
) -> None: ...
