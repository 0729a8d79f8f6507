"""A file of a release comes to stand beside its target, in the smallest form that works."""

from .bootguard import NEW
from .errors import HashError, NotFoundError, StorageError, TransportError
from .fetch import fetch, hash_of, pieces


def stage_file(u, path, old, entry):
    """Put the new content of `path` on flash, verified, for the Updater `u`; a generator of progress.

    Args:
        old, entry (dicts): its lines in the live manifest, None for none, and in the new one.
    """
    want = entry["h"]
    hashed = u.verifier.hasher() is not None
    there = u.storage.size(path + NEW)
    if there == entry["s"] and hashed:
        if (yield from hash_of(u, path + NEW)) == want:
            return
    u.tell("fetch", path)
    bases = {path: (old or {}).get("h", "")}
    if hashed and "m" in entry:
        try:
            bases[entry["m"]] = yield from hash_of(u, entry["m"])
        except (OSError, StorageError):
            pass  # nothing that can be read is there
    error = None
    for limit, name, packed, base in _ways(bases, entry, there, hashed):
        rest = not packed and limit < entry["s"]
        if error:
            if rest:  # there is no start of it any more
                continue
            u.tell("fallback", error)
        try:
            _, got = yield from _fetch(u, path, entry["s"], limit, name, packed, base)
            if got == want or not hashed:
                return
            error = HashError("%s: sha256 is %s, the manifest says %s" % (path, got, want))
        except (HashError, NotFoundError, MemoryError, ImportError) as e:
            error = e
        except TransportError as e:
            # A server that answers may have another form all the same. What is here of the whole file
            # stays for the next time, unless it is the rest of it that the server does not give.
            if not e.status or e.retry_s or not packed and not (rest and e.status in (200, 416)):
                raise
            error = e
        u.storage.remove(path + NEW)
    raise error


def _fetch(u, path, size, limit, name, packed, base):
    new_hasher = u.verifier.hasher
    if not packed:
        return (yield from fetch(u, path, name, size, new_hasher, start=size - limit))
    if name:
        from .patch import Inflater, patched, whole

    old = base and u.storage.open(base)

    def unpack(stream):
        if not name:
            return pieces(u, old)
        if not old:
            return whole(Inflater(stream), size, u.buffer)
        old.seek(0)
        return patched(old, Inflater(stream), size, u.buffer)

    try:
        return (yield from fetch(u, path, name, size, new_hasher, unpack=unpack, limit=limit))
    finally:
        if old:
            old.close()


def _ways(bases, entry, there, hashed):
    # How a file may come: (bytes to fetch, name, whether that is not how it is stored, path of what
    # it is made of), the fewest bytes first. `bases` are what the board has: path -> SHA-256.
    want = entry["h"]
    blob = "blobs/%s/%s" % (want[:2], want)
    ways = [(entry["s"], blob, 0, "")]
    if hashed:
        if there and there < entry["s"]:  # the start of it came before
            ways.append((entry["s"] - there, blob, 0, ""))
        if "z" in entry:
            ways.append((entry["z"], blob + ".z", 1, ""))
        for path in bases:
            base = bases[path]
            if base == want:  # a copy: no request
                ways.append((0, "", 1, path))
            base = base[:16]
            if base in entry.get("d", ()):
                ways.append((entry["d"][base], "deltas/%s-%s" % (base, want[:16]), 1, path))
    return sorted(ways)
