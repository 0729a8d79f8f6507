"""One metadata file of TUF 1.0: its form, its signatures, whether it is in time."""

import gc

from ...builtin import own
from ...errors import SignatureError, VerifyError
from .keys import holds

json = own("json")
sha256 = own("hashlib").sha256

TOP = ("root", "timestamp", "snapshot", "targets")
_SHAPE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError)


def bad(name, what):
    raise VerifyError("%s metadata: %s" % (name, what))


def canonical(x):
    """The pieces (bytes) of `x` in canonical JSON, which is what is signed."""
    if isinstance(x, dict):
        mark = b"{"
        for key in sorted(x):
            yield mark
            yield from canonical(key)
            yield b":"
            yield from canonical(x[key])
            mark = b","
        yield b"{}" if mark == b"{" else b"}"
    elif isinstance(x, list):
        mark = b"["
        for item in x:
            yield mark
            yield from canonical(item)
            mark = b","
        yield b"[]" if mark == b"[" else b"]"
    elif isinstance(x, str):
        yield b'"%s"' % x.replace("\\", "\\\\").replace('"', '\\"').encode()
    elif x is None or x is True or x is False:
        yield b"null" if x is None else b"true" if x else b"false"
    elif isinstance(x, int):
        yield str(x).encode()
    else:
        raise ValueError("a number with a point")


def _integer(x, least=0):
    if type(x) is not int or x < least:
        raise ValueError("%r is no whole number from %d" % (x, least))


def _check_role(role):
    _integer(role["threshold"], 1)
    ids = role["keyids"]
    if not isinstance(ids, list) or len(set(ids)) != len(ids):
        raise ValueError("key ids are no list, or twice the same")


def _check_entries(entries, key):
    for entry in entries.values():
        _integer(entry[key])
        _integer(entry.get("length", 0))
        for digest in entry.get("hashes", {}).values():
            digest.encode()


def _check(signed, kind):
    # What later code relies on.
    if signed["_type"] != kind:
        raise ValueError("type %r" % signed["_type"])
    _integer(signed["version"], 1)
    if signed["spec_version"].split(".")[0] != "1":
        raise ValueError("spec_version %r" % signed["spec_version"])
    time = signed["expires"]
    form = "".join(["0" if "0" <= c <= "9" else c for c in time])
    if form != "0000-00-00T00:00:00Z":
        raise ValueError("expires %r" % time)
    if kind == "root":
        for name in TOP:
            _check_role(signed["roles"][name])
        signed["keys"].get
    elif kind == "targets":
        _check_entries(signed["targets"], "length")
        delegations = signed.get("delegations") or {"keys": {}}
        delegations["keys"].get
        for role in delegations.get("roles") or ():
            _check_role(role)
            name = role["name"]
            if not isinstance(name, str) or not name or name in TOP:
                raise ValueError("delegation to %r" % name)
            role["terminating"]
            if ("paths" in role) == ("path_hash_prefixes" in role):
                raise ValueError("%s: paths or path_hash_prefixes, not both" % name)
            for text in role.get("paths", role.get("path_hash_prefixes")):
                text.encode()
    else:
        _check_entries(signed["meta"], "version")


class Metadata:
    """A parsed file. `signed` (dict) is what counts.

    Args:
        f: the open file. kind (str): root, timestamp, snapshot or targets. name (str): of the role.
    Raises:
        VerifyError: it breaks a rule of the format, or is more than fits into RAM.
    """

    def __init__(self, f, kind, name):
        self.name = name
        gc.collect()  # what stays then lies close together, and a buffer finds room
        try:
            whole = json.load(f)
            self.signed = whole["signed"]
            _check(self.signed, kind)
            self._sigs = {}
            for s in whole["signatures"]:
                if s["keyid"] in self._sigs:
                    raise ValueError("two signatures of key %s" % s["keyid"])
                self._sigs[s["keyid"]] = s["sig"]
            hasher = sha256()
            for piece in canonical(self.signed):
                hasher.update(piece)
            self._digest = hasher.digest()
        except _SHAPE as e:
            bad(name, repr(e))
        except MemoryError:
            bad(name, "does not fit into RAM")
        self.version = self.signed["version"]

    def check_signed(self, keys, role):
        """Raise SignatureError unless enough of the `keys` ({id: key}) of `role` (dict) signed it."""
        good = set()  # one key under two ids is one key
        for name in role["keyids"]:
            key = keys.get(name)
            if len(good) < role["threshold"] and key and name in self._sigs:
                if holds(key, self._sigs[name], self._digest, lambda: canonical(self.signed)):
                    good.add(str(key["keyval"]["public"]))
        if len(good) < role["threshold"]:
            many = self.name, self.version, len(good), role["threshold"]
            raise SignatureError("%s metadata %d: %d of %d signatures hold" % many)

    def check_time(self, now):
        """Raise VerifyError when it expired before `now` (text as in `expires`)."""
        if self.signed["expires"] <= now:
            bad(self.name, "version %d expired at %s" % (self.version, self.signed["expires"]))
