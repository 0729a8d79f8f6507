"""The side of a PC: publishing, signing, serving, and test boards. Nothing of this goes on a board."""

from importlib import metadata


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return metadata.version("mpota")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "unknown"
