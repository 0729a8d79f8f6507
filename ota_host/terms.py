"""The terms of a publication: for whom, how long, and since when. They stand in a manifest's header."""

import json
import re
import secrets
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from ota.manifest import NUMBER

from . import keep
from .errors import ConfigError
from .tree import Manifest, parse_manifest

_DAY = 86400  # seconds
# The version of content that is published again.
AGAIN = re.compile(r"(?P<tag>.*)[+.]rollback\.\d+")
# The format's order of the header's keys.
_ORDER = ("ota", "project", "channel", "version", "seq", "time", "expires", "files", "size", "crc", "requires", "keep", "rollout")
# What the headers of a channel and of its release have in common, beside the version.
OF_RELEASE = ("seq", "project", "requires", "keep")


@dataclass(frozen=True)
class Terms:
    """For whom and how long: `expires` in days from now (0: never), `rollout` in percent; None leaves it."""

    expires: int | None = None
    rollout: float | None = None
    now: float | None = None  # seconds since 1970, for tests

    @property
    def time(self) -> int:
        """Now, in whole seconds since 1970."""
        return int(time.time() if self.now is None else self.now)


def line(obj: Mapping[str, object]) -> bytes:
    """One line of a manifest (bytes)."""
    return json.dumps(obj, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def first_tag(version: str) -> str:
    """The version whose content `<version>+rollback.<n>` is."""
    again = AGAIN.fullmatch(version)
    return again["tag"] if again else version


def header_line(header: Mapping[str, object]) -> bytes:
    """The first line of a manifest (bytes); raises HostError when it is longer than boards read."""
    return keep.check_size(header, line(header))


def crc(lines: bytes) -> str:
    """The CRC-32 of the file lines (bytes) of a manifest, as its header has it."""
    return f"{zlib.crc32(lines):08x}"


def on_terms(manifest: Manifest, terms: Terms, channel: str, salt: str | None = None, signs: bool = False) -> Manifest:
    """The same release on other terms, without signatures; `manifest` itself when nothing changes.

    Args:
        manifest (Manifest): the release.
        terms (Terms): what changes.
        channel (str): who gets it.
        salt (str): of its rollout, if it had one before.
        signs (bool): it will be signed, and so carries its channel, to be good for no other one, and
            the time when it was made.
    """
    header = manifest.header.copy()
    made = header.pop("time", None)
    header["crc"] = crc(manifest.lines())
    if signs:
        header["channel"] = channel
    elif header.get("channel") != channel:
        header.pop("channel", None)
    if terms.expires is not None:
        header.pop("expires", None)
        if terms.expires:
            header["expires"] = _end_of_day(terms.time, terms.expires)
    rollout = header.get("rollout", {})
    if terms.rollout is not None and terms.rollout != rollout.get("percent", 100):
        header.pop("rollout", None)
        if terms.rollout < 100:
            percent = int(terms.rollout) if terms.rollout == int(terms.rollout) else terms.rollout
            header["rollout"] = {"percent": percent, "salt": rollout.get("salt") or salt or secrets.token_hex(8)}
    if made is not None and {"time": made, **header} == manifest.header:
        return manifest
    if signs:
        header["time"] = terms.time
    elif header == manifest.header:
        return manifest
    items = sorted(header.items(), key=lambda item: _ORDER.index(item[0]) if item[0] in _ORDER else len(_ORDER))
    return parse_manifest(header_line(dict(items)) + manifest.lines(), "the new manifest")


def _end_of_day(now: int, days: int) -> int:
    # Whole days, so that a job that runs twice a day publishes the same bytes.
    end = (now // _DAY + days + 1) * _DAY
    if end > NUMBER:
        raise ConfigError(f"expires = {days}: ends after 19 January 2038, the last time that boards accept")
    return end
