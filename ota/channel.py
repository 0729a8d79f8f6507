"""The manifest layout: releases as `ota publish` writes them, one channel of a project.

Imports stand where they are needed: while the manifest comes, the code that stages files
is not in RAM yet, and while files come, the manifest's reader is not there any more.
"""

import sys
from random import getrandbits

from .bootguard import NEW, header, lines, save, spare
from .errors import HashError, NotFoundError, NotModified, PolicyError
from .transports import Lines


class Channel:
    """Finds and stages the newest release of one channel for the Updater `u`."""

    def __init__(self, u, name):
        self._u = u
        self._name = name

    def find(self, state, release):
        """Fill `release` and return True when the channel offers one for this board.

        One request; of the manifest only the header is read yet.
        """
        u = self._u
        u.verifier.begin(u.transport, self._name, state)
        from .policy import clock, judge

        live = header(u.root, state["live"])
        time = clock(state)
        known = self._known(state, live, time)
        try:
            if known and u.verifier.seen:  # the verifier has asked already
                raise NotModified(self._name)
            # On a full flash it is the write that says so; what a cut left in the slot is written over.
            left = u.storage.size(".ota/" + spare(state)) or 0
            limit = max(u.storage.free() + left, u.storage.block)
            stream = u.transport.open(self._name + ".manifest", 0, known, limit=limit)
        except NotModified:
            if state["phase"] != "staging":
                u.tell("current", None)
                return False
            release.take(header(u.root, state["next"]), state["etag"])
            return True
        from .manifest import Reader

        release.stream = stream
        reader = Reader(Lines(stream).readline, u.verifier.update)
        etag = "%s %s" % (self._name, stream.etag) if stream.etag else ""
        release.take(reader.header, etag if len(etag) < 200 else "", reader)
        why = judge(reader.header, state, u.project or live.get("project"), u.device_id(), time)
        if not why:
            return True
        release.close()
        if state["phase"] == "idle" and release.etag != state["etag"]:
            state["etag"] = release.etag
            save(u.root, state)
        u.tell(why, release.version)
        return False

    def _known(self, state, live, time):
        # The etag to ask with; None when "still the same" would be no news.
        u = self._u
        # Etags of two channels may be equal, so the name goes with it.
        name, _, etag = state["etag"].partition(" ")
        if live.get("expires", time) < time or u.verifier.seen not in ("", state.get("seen")):
            return None  # of a server that is held back
        if u.verifier.signs and not u.verifier.seen and not getrandbits(4):
            return None  # no tag is signed: somebody may have given us that of the next release
        return etag if name == self._name else None

    def stage(self, release, state):
        """Put all that differs on flash, verified; a generator of progress."""
        u = self._u
        # One seq is one release: what was authenticated when it came need not come again.
        if state["phase"] != "staging" or state["seq"] != release.seq:
            yield from self._begin(release, state)
        release.close()
        _unload("manifest", "policy", "staging")
        from .plan import FETCH, PATCH, plan

        for what, path, old, entry in plan(lines(u.root, state["live"]), lines(u.root, state["next"])):
            if what in (FETCH, PATCH):
                yield from self._stage_file(path, old, entry)

    def _begin(self, release, state):
        u = self._u
        if state["phase"] == "staging":
            from .staging import drop

            drop(u, state)
        state["next"] = ""
        if not release.reader:
            seq = release.seq
            if not self.find(state, release) or release.seq != seq:
                raise PolicyError("the channel %s no longer offers seq %d" % (self._name, seq))
        slot = spare(state)
        good = False
        try:
            signed = yield from self._receive(release.reader, slot)
            release.close()
            _unload("manifest", "policy")  # a signature needs the room
            u.verifier.authenticate(*signed)
            good = True
        finally:
            if not good:  # it may have taken all of the flash
                u.storage.remove(".ota/" + slot)
        from .staging import adopt, check_space
        yield from adopt(u, state, slot)
        check_space(u, state["live"], slot)
        state.update({"next": slot, "seq": release.seq, "etag": release.etag})
        if u.verifier.signs:
            state["time"] = max(state["time"], release.header.get("time", 0))
            if u.verifier.seen:
                state["seen"] = u.verifier.seen
        save(u.root, state, "staging")

    def _receive(self, reader, slot):
        # Writes the manifest to `slot` as it comes, checked line by line; gives what says whose it is.
        count = 0
        with self._u.storage.open(".ota/" + slot, "wb") as out:
            out.write(reader.raw)
            for _ in reader:
                out.write(reader.raw)
                count += 1
                yield "manifest", count, reader.header["files"]
        return reader.digest, reader.signatures, reader.header

    def _stage_file(self, path, old, entry):
        u = self._u
        want = entry["h"]
        hashed = u.verifier.hasher() is not None
        there = u.storage.size(path + NEW)
        if there == entry["s"] and hashed:
            from .fetch import hash_of

            if (yield from hash_of(u, path + NEW)) == want:
                return
        u.tell("fetch", path)
        error = None
        for limit, name, kind in _ways(old, entry, there, hashed):
            if error:
                u.tell("fallback", error)
            try:
                _, got = yield from self._fetch(path, entry["s"], limit, name, kind)
                if got == want or not hashed:
                    return
                error = HashError("%s: sha256 is %s, the manifest says %s" % (path, got, want))
            except (HashError, NotFoundError, MemoryError, ImportError) as e:
                error = e
            u.storage.remove(path + NEW)
        raise error

    def _fetch(self, path, size, limit, name, kind):
        from .fetch import fetch

        u = self._u
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


def _unload(*names):
    package = sys.modules["ota"]
    for name in names:
        if sys.modules.pop("ota." + name, None):
            delattr(package, name)
