"""The client workflow of The Update Framework 1.0.34, section 5; the numbers are its steps."""

from ...errors import VerifyError
from .metadata import bad


class Client:
    """The trusted metadata of one repository, in a folder of the board.

    Args:
        files (Files): where `root.json` is, and the others will be.
        now (str): the time to go by, `YYYY-MM-DDThh:mm:ssZ`.
    """

    roots = 256  # new roots in one refresh
    delegations = 32  # roles asked for one target

    def __init__(self, files, now):
        self.files = files
        self._now = now

    def refresh(self):
        """Bring the four top-level roles up to date.

        Raises:
            OtaError: what is trusted stays as far as it came.
        """
        try:
            self._refresh_root()  # 5.3
            entry = self._refresh_timestamp()  # 5.4
            self._snapshot = self._role("snapshot", "snapshot", entry, self._root)  # 5.5
            self._targets = self._role("targets", "targets", self._meta("targets"), self._root)  # 5.6
        except MemoryError:
            bad("the repository's", "does not fit into RAM")

    def _trusted(self, kind, name, by):
        # What is kept of before, None when it no longer counts.
        try:
            found = self.files.read(kind, name)
            found.check_signed(by["keys"], by["roles"][name])
            return found
        except (OSError, VerifyError):
            return None

    def _refresh_root(self):
        root = self.files.read("root", "root")
        by = _of(root, "root")
        root.check_signed(by["keys"], by["roles"]["root"])
        version, root = root.version, None
        for _ in range(self.roots):  # 5.3.3
            # Of the root before there is in RAM only what counts: two whole ones need too much.
            new = self.files.get("root", "root", "%d." % (version + 1))
            if not new:
                break
            new.check_signed(by["keys"], by["roles"]["root"])  # 5.3.4
            roles = by["roles"]
            by = _of(new, "root")
            new.check_signed(by["keys"], by["roles"]["root"])
            if new.version != version + 1:  # 5.3.5
                bad("root", "version is %d, not %d" % (new.version, version + 1))
            version, new = new.version, None
            self.files.keep_root(version, _rotates(roles, by["roles"]))  # 5.3.8
        self.files.forget_rotated(version)  # 5.3.11
        by = None
        root = self.files.read("root", "root")
        root.check_time(self._now)  # 5.3.10
        self._root = _of(root, "timestamp", "snapshot", "targets")
        self.is_consistent = bool(root.signed.get("consistent_snapshot"))

    def _refresh_timestamp(self):
        old = self._trusted("timestamp", "timestamp", self._root)
        new = self.files.get("timestamp", "timestamp")
        if not new:
            bad("timestamp", "is not there")
        new.check_signed(self._root["keys"], self._root["roles"]["timestamp"])  # 5.4.2
        entry = _snapshot_of(new)
        if old:
            if new.version < old.version:
                bad("timestamp", "version %d is older than %d" % (new.version, old.version))
            was = _snapshot_of(old)["version"]
            if entry["version"] < was:
                bad("timestamp", "its snapshot %d is older than %d" % (entry["version"], was))
            if new.version == old.version:  # 5.4.3
                new = None
        (new or old).check_time(self._now)  # 5.4.4
        if new:
            self.files.keep("timestamp")  # 5.4.5
        return _snapshot_of(new or old)

    def _meta(self, name):
        entry = self._snapshot["meta"].get(name + ".json")
        if not entry:
            bad(name, "is not in the snapshot")
        return entry

    def _role(self, kind, name, entry, by):
        # Snapshot, targets and delegated targets; `by` gives the keys and the role.
        old = self._trusted(kind, name, by)
        if old and old.version == entry["version"] and old.signed["expires"] > self._now:
            if self.files.fits(self.files.path(name), entry):
                return old.signed
        prefix = "%d." % entry["version"] if self.is_consistent else ""
        new = self.files.get(kind, name, prefix, entry)  # 5.5.2, 5.6.2
        if not new:
            bad(name, "version %d is not there" % entry["version"])
        new.check_signed(by["keys"], by["roles"][name])
        if new.version != entry["version"]:  # 5.5.4, 5.6.4
            bad(name, "version is %d, not %d" % (new.version, entry["version"]))
        if kind == "snapshot" and old:  # 5.5.5
            for path, was in old.signed["meta"].items():
                if new.signed["meta"].get(path, {"version": 0})["version"] < was["version"]:
                    bad("snapshot", "%s is older than %d, or gone" % (path, was["version"]))
        new.check_time(self._now)
        self.files.keep(name)
        return new.signed

    def find(self, path):
        """The description (dict) of the target `path`, by the first role that has it (5.6.7).

        Raises:
            VerifyError: none has.
        """
        todo = [("targets", None)]
        seen = set()
        while todo and len(seen) <= self.delegations:
            name, by = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            signed = self._role("targets", name, self._meta(name), by) if by else self._targets
            if path in signed["targets"]:
                return signed["targets"][path]
            from .paths import delegated

            roles, terminating = delegated(signed.get("delegations") or {}, path)
            if terminating:
                todo = []
            todo.extend(roles)
        raise VerifyError("target %r: no role has it" % path)


def _of(root, *names):
    # What a root says about the roles `names`: their keys; and who signs each role.
    roles, keys = root.signed["roles"], root.signed["keys"]
    ids = [i for name in names for i in roles[name]["keyids"]]
    return {"keys": {i: keys[i] for i in ids if i in keys}, "roles": roles}


def _rotates(old, new):
    # Whether the keys of an online role change: what they signed may have been a thief's.
    for name in ("timestamp", "snapshot"):
        if set(old[name]["keyids"]) != set(new[name]["keyids"]):
            return True


def _snapshot_of(timestamp):
    try:
        return timestamp.signed["meta"]["snapshot.json"]
    except KeyError:
        bad("timestamp", "names no snapshot")
