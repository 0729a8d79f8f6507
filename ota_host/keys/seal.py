"""Signatures on manifests: split off, made, checked."""

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HostError
from .board import BoardKey
from .signer import Signer

LINES = 8  # of signatures in a manifest
LINE = 1024  # bytes in one, with its line feed
Signature = dict[str, Any]  # as a manifest has it

_BEGIN = b'\n{"sig"'


def split(raw: bytes, name: str | Path = "manifest") -> tuple[bytes, list[Signature]]:
    """The bytes that signatures of the manifest `raw` cover, and the signatures (list of dict).

    Raises:
        HostError: what follows the covered bytes is no line of signatures; `name` says where.
    """
    at = raw.find(_BEGIN) + 1
    if not at:
        return raw, []
    return raw[:at], read_lines(raw[at:], name)


def read_lines(raw: bytes, name: str | Path) -> list[Signature]:
    """The signatures (list of dict) of lines of signatures (bytes), such as a .sig file; raises HostError."""
    found: list[Signature] = []
    for line in raw.splitlines():
        try:
            signatures = json.loads(line)["sig"]
            for s in signatures:
                _decode(s)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise HostError(f"{name}: not a line of signatures; it begins with {line[:16]!r}") from None
        found += signatures
    return found


def _decode(signature: Signature) -> bytes:
    if not all(isinstance(signature[key], str) for key in ("key", "alg", "sig")):
        raise ValueError
    try:
        return base64.b64decode(signature["sig"], validate=True)
    except binascii.Error:
        return b""


def _line(signature: Signature) -> bytes:
    return json.dumps({"sig": [signature]}, separators=(",", ":")).encode() + b"\n"


def join(body: bytes, signatures: Sequence[Signature], name: str | Path = "manifest") -> bytes:
    """A signed manifest (bytes), one line a signature.

    Raises:
        HostError: more of them, or longer ones, than boards take.
    """
    lines = [_line(s) for s in signatures]
    if len(lines) > LINES:
        raise HostError(f"{name}: {len(lines)} signatures; boards accept at most {LINES}")
    for line, signature in zip(lines, signatures, strict=True):
        if len(line) > LINE:
            raise HostError(
                f"{name}: the signature of {signature['key']} makes the line {len(line)} bytes long; the limit is {LINE}"
            )
    return body + b"".join(lines)


def _is_by(key: BoardKey, body: bytes, signature: Signature) -> bool:
    named = signature["key"] == key.id and signature["alg"] == key.alg
    return named and key.verifies(body, _decode(signature))


def sign_manifest(raw: bytes, signers: Sequence[Signer], board_keys: Iterable[str | BoardKey] = ()) -> bytes:
    """The manifest with the signatures of `signers`.

    A signature that such a key has made of the same bytes stays as it is, so that signing again
    changes nothing. Signatures of others stay, unless their key is known and they do not verify.

    Args:
        raw (bytes): signed or not.
        signers (list of Signer): who signs.
        board_keys (list of str or BoardKey): keys of others that are known.

    Returns:
        bytes

    Raises:
        HostError: more signatures than boards take.
    """
    body, there = split(raw)
    known = {key.id: key for key in map(_as_key, [*board_keys, *(s.board_key for s in signers)])}
    kept: dict[str, Signature] = {}
    for s in there:
        if s["key"] not in known or _is_by(known[s["key"]], body, s):
            kept.setdefault(s["key"], s)
    for signer in signers:
        if signer.key_id not in kept:
            signature = base64.b64encode(signer.sign(body)).decode()
            kept[signer.key_id] = {"key": signer.key_id, "alg": signer.alg, "sig": signature}
    return join(body, list(kept.values()))


def _as_key(key: str | BoardKey) -> BoardKey:
    return key if isinstance(key, BoardKey) else BoardKey.parse(key)


def check_signatures(raw: bytes, board_keys: Iterable[str | BoardKey], name: str | Path = "manifest") -> list[str]:
    """The ids of those of `board_keys` (str or BoardKey) whose signature on the manifest `raw` (bytes) verifies."""
    body, signatures = split(raw, name)
    # As boards do: of two signatures that name one key, only the first counts.
    first = {s["key"]: s for s in reversed(signatures)}
    keys = dict.fromkeys(map(_as_key, board_keys))
    return [key.id for key in keys if key.id in first and _is_by(key, body, first[key.id])]


@dataclass(frozen=True)
class Seal:
    """Who signs what is published, and what boards trust.

    `signers` (list of Signer); `keys` (list of BoardKey), and the `threshold`: how many of them must have signed.
    """

    signers: tuple[Signer, ...] = ()
    keys: tuple[BoardKey, ...] = ()
    threshold: int = 1

    def sign(self, raw: bytes) -> bytes:
        """The manifest `raw` (bytes) with the signatures of `signers`; raises HostError."""
        return sign_manifest(raw, self.signers, self.keys) if self.signers else raw

    def check(self, raw: bytes, name: str | Path) -> None:
        """Refuse what boards would refuse: fewer signatures than the threshold; raises HostError."""
        problem = self.problem(raw, name)
        if problem:
            expected, found = problem
            raise HostError(f"{name}: expected {expected}, found {found}; boards would refuse it")

    def problem(self, raw: bytes, name: str | Path) -> tuple[str, str] | None:
        """(what is expected, what is found) when boards would refuse the manifest `raw` (bytes), else None."""
        if not self.keys:
            return None
        good = check_signatures(raw, self.keys, name)
        if len(good) >= self.threshold:
            return None
        ids = ", ".join(key.id for key in self.keys)
        return f"signatures of {self.threshold} of the keys {ids}", f"{len(good)} that verify{': ' * bool(good)}{', '.join(good)}"

    def secrets(self) -> dict[str, bytes]:
        """The HS256 secrets in play, as texts (bytes) that must not get on a server."""
        known = [*self.keys, *(BoardKey.parse(s.board_key) for s in self.signers)]
        return {key.id: base64.b64encode(key.raw) for key in known if key.alg == "HS256"}
