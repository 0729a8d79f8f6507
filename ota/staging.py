"""What comes to stand beside the live files before an install.

Every function that takes long is a generator of (path, bytes done, bytes in all or
None), so that its caller can feed a watchdog between two chunks. `u` is the Updater.
"""

import json
from binascii import hexlify
from hashlib import sha256

from .bootguard import NEW, abandon, advance, critical, header, lines, merge, same, save, spare
from .errors import HashError, NoSpaceError, NotFoundError, StorageError, TransportError
from .plan import FETCH, PATCH, kept, plan


def drop(u, state):
    """Delete what is staged of a release that is not wanted any more."""
    abandon(u.root, state)
    advance(u.root, state)
    state["next"] = ""


def write_lines(u, slot, entries):
    """Write `entries` (dicts) as the manifest in `slot`."""
    u.storage.mkdir(".ota")
    with u.storage.open(".ota/" + slot, "wb") as out:
        for entry in entries:
            out.write(json.dumps(entry).encode() + b"\n")


def hash_of(u, path):
    """Read the file at `path` back; returns its SHA-256 (hex)."""
    hasher = sha256()
    done = 0
    with u.storage.open(path, "rb") as f:
        while True:
            n = f.readinto(u.buffer)
            if not n:
                return hexlify(hasher.digest()).decode()
            hasher.update(u.buffer[:n])
            done += n
            yield path, done, None


def _truth(u, live, slot):
    # Gives (path, line, line as the disk has it): a revert must find what was there.
    for path, x, y in merge(lines(u.root, live), lines(u.root, slot)):
        size = u.storage.size(path)
        if size is None:
            yield path, x, None
        elif kept(path, u.keep):
            # What is to stay looks unchanged, or unknown when the release drops it.
            yield path, x, (x if same(x, y) else y)
        elif x and x.get("s") == size:
            yield path, x, x
        else:
            yield path, x, {"p": path, "s": size, "h": ""}


def adopt(u, state, slot):
    """Make the live manifest tell what is on the board, for every path of it or of `slot`.

    Files that somebody put there by hand enter it with their hash, missing ones leave it.
    """
    old = header(u.root, state["live"])
    new = header(u.root, slot)
    # Another project's files are not this one's to delete.
    mine = new["project"] == old.get("project") or not new["project"] or not old.get("project")
    live = state["live"] if mine else ""
    if live == state["live"]:
        for _, x, line in _truth(u, live, slot):
            if line is not x:
                break
        else:
            return
    to = spare(state, slot)
    with u.storage.open(".ota/" + to, "wb") as out:
        first = {"ota": 1, "project": new["project"], "version": "", "seq": 0}
        out.write(json.dumps(old if live and old else first).encode() + b"\n")
        for path, _, line in _truth(u, live, slot):
            if line and line.get("h") == "":
                line["h"] = yield from hash_of(u, path)
            if line:
                out.write(json.dumps(line).encode() + b"\n")
    state["live"] = to
    state.get("sums", {}).pop(to, None)
    save(u.root, state)


def check_space(u, live, slot):
    """Raise NoSpaceError unless all that the release in `slot` adds fits on the board."""
    need = 4 * u.storage.block  # folders and the state
    for what, path, x, y in plan(lines(u.root, live), lines(u.root, slot)):
        if what in (FETCH, PATCH):
            if u.storage.size(path + NEW) is None:
                need += _blocks(u, y["s"])
            if x and critical(path, x, y):
                need += _blocks(u, x["s"])
    check_free(u, need)


def check_free(u, need):
    """Raise NoSpaceError when fewer than `need` bytes are free."""
    free = u.storage.free()
    if need > free:
        raise NoSpaceError("the update needs %d bytes of flash, %d are free" % (need, free))


def _blocks(u, size):
    return -(-size // u.storage.block) * u.storage.block


def fetch(u, path, name, size=None, hasher=None, guard=None):
    """Stage what the server has as `name` beside `path`; returns (bytes, hex digest or None).

    Args:
        size: the length that it must have, in bytes; None when only the server knows it.
        hasher: gets every byte; None for no hash.
        guard: is called with the first bytes, and raises when they cannot be right.
    """
    done = tries = 0
    with u.storage.open(path + NEW, "wb") as out:
        while size is None or done < size:
            try:
                for n in _receive(u, name, done, size, hasher, out, guard and (guard, path)):
                    done += n
                    yield path, done, size
                if size is not None and done < size:
                    raise HashError("%s is %d bytes, not %d" % (name, done, size))
                break
            except TransportError as e:
                tries += 1
                # Without a size or a hash nothing says that the rest belongs to the start.
                if isinstance(e, NotFoundError) or tries > u.transport.retries or size is None:
                    raise
                u.tell("retry", e)
    if not hasher:
        return done, None
    digest = hexlify(hasher.digest()).decode()
    back = yield from hash_of(u, path + NEW)
    if back != digest:
        raise StorageError("%s reads back as %s, was written as %s" % (path + NEW, back, digest))
    return done, digest


def _receive(u, name, start, size, hasher, out, guard):
    # One request, written to `out` as it comes; gives the length of each piece.
    stream = u.transport.open(name, start, limit=size)
    try:
        if size is None and stream.size:
            check_free(u, _blocks(u, stream.size))
        while True:
            n = stream.readinto(u.buffer)
            if not n:
                return
            chunk = u.buffer[:n]
            if guard:
                guard[0](guard[1], chunk)
                guard = None
            if hasher:
                hasher.update(chunk)
            out.write(chunk)
            yield n
    finally:
        stream.close()
