"""What an Updater is made with: checked, or understood. In RAM only while one is made."""

import sys

from .builtin import own
from .bootguard import base
from .errors import OtaError


def _check(name, value, good, write):
    if not good:
        raise OtaError("Updater: %s is %r: write %s" % (name, value, write))


def _device_id():
    try:
        return own("binascii").hexlify(own("machine").unique_id()).decode()
    except (ImportError, AttributeError):
        return ""


def set_up(u, files, channel, layout):
    """Check what the Updater `u` has, put it into plain form, and give it what was left out.

    Raises:
        OtaError: with what to write instead.
    """
    if isinstance(u.transport, str):
        from .transports.http import HttpTransport

        u.transport = HttpTransport(u.transport)
    _check("transport", type(u.transport).__name__, hasattr(u.transport, "open"), "HttpTransport(url)")
    if u.verifier is None:
        from .verifiers import Sha256Verifier

        u.verifier = Sha256Verifier()
    if u.storage is None:
        from .storage import suitable

        u.storage = suitable(base())
    if u._device_id is None:
        u._device_id = _device_id()
    good = isinstance(channel, str) and channel and not set(b" /\\") & set(channel.encode())
    _check("channel", channel, good, "a name, as 'stable'")
    _check("layout", layout, layout in ("prefix", "subdir"), "'prefix' or 'subdir'")
    good = type(u._trial_boots) is int and u._trial_boots >= 0
    _check("trial_boots", u._trial_boots, good, "a whole number")
    _check("device_id", u._device_id, isinstance(u._device_id, str), "text")
    _check("on_event", u._on_event, not u._on_event or callable(u._on_event), "a function")
    u.root = u.storage.root
    u.buffer = memoryview(bytearray(u.chunk))
    u.keep = paths("keep", u.keep or (), u.root)
    if files is None:
        from .channel import Channel

        u._source = Channel(u, channel)
    else:
        from .fileset import FileSet

        u._source = FileSet(u, paths("files", files, u.root), layout)
    if sys.modules.pop("ota.setup", None):
        delattr(sys.modules["ota"], "setup")


def paths(name, given, root):
    """What is `given` (list of str, or str) for `keep` or `files`, as manifests have paths (list of str)."""
    plain = []
    for path in [given] if isinstance(given, str) else given:
        short = str(path)
        if short.startswith(root):
            short = short[len(root) :]
        while short[:1] == "/" or short[:2] == "./":
            short = short[short.find("/") + 1 :]
        if short.rstrip("*")[-1:] == "/":
            short = short.rstrip("*")
        if name == "keep":
            short = short.rstrip("/")
        plain.append(short)
        # What fits no path would protect nothing.
        odd = b"*?[\\" if name == "keep" else b"*\\"
        wrong = {"", ".", ".."} & set(short.split("/")) or set(odd) & set(short.encode())
        _check(name, path, isinstance(path, str) and not wrong, "a path as 'a.py' or, to keep, 'data/'")
    return plain
