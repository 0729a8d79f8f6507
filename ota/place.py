"""A file of a release comes to stand beside its target, in the smallest form that works."""

from .bootguard import NEW
from .errors import HashError, NotFoundError, TransportError
from .fetch import fetch, hash_of


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
    error = None
    for limit, name, kind in _ways(old, entry, there, hashed):
        rest = not kind and limit < entry["s"]
        if error:
            if rest:  # there is no start of it any more
                continue
            u.tell("fallback", error)
        try:
            _, got = yield from _fetch(u, path, entry["s"], limit, name, kind)
            if got == want or not hashed:
                return
            error = HashError("%s: sha256 is %s, the manifest says %s" % (path, got, want))
        except (HashError, NotFoundError, MemoryError, ImportError) as e:
            error = e
        except TransportError as e:
            # A server that answers may have another form all the same. What is here of the whole file
            # stays for the next time, unless it is the rest of it that the server does not give.
            if not e.status or e.retry_s or not kind and not (rest and e.status in (200, 416)):
                raise
            error = e
        u.storage.remove(path + NEW)
    raise error


def _fetch(u, path, size, limit, name, kind):
    new_hasher = u.verifier.hasher
    if not kind:
        return (yield from fetch(u, path, name, size, new_hasher, start=size - limit))
    from .patch import Inflater, patched, whole

    old = u.storage.open(path) if kind == "d" else None

    def unpack(stream):
        if not old:
            return whole(Inflater(stream), size, u.buffer)
        old.seek(0)
        return patched(old, Inflater(stream), size, u.buffer)

    try:
        return (yield from fetch(u, path, name, size, new_hasher, unpack=unpack, limit=limit))
    finally:
        if old:
            old.close()


def _ways(old, entry, there, hashed):
    # How a file may come: (bytes to fetch, name, kind), the fewest bytes first.
    want = entry["h"]
    blob = "blobs/%s/%s" % (want[:2], want)
    ways = [(entry["s"], blob, "")]
    if hashed:
        if there and there < entry["s"]:  # the start of it came before
            ways.append((entry["s"] - there, blob, ""))
        if "z" in entry:
            ways.append((entry["z"], blob + ".z", "z"))
        base = old["h"][:16] if old and old.get("h") else ""
        if base in entry.get("d", ()):
            ways.append((entry["d"][base], "deltas/%s-%s" % (base, want[:16]), "d"))
    return sorted(ways)
