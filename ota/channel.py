"""The manifest layout: releases as `ota publish` writes them, one channel of a project."""

import sys

from .builtin import own
from .bootguard import base, header, lines, note_sums, save, spare
from .errors import ManifestError, NotFoundError, NotModified, PolicyError, TransportError, VerifyError
from .transports import Lines

getrandbits = own("random").getrandbits


class Channel:
    """Finds and stages the newest release of one channel for the Updater `u`."""

    def __init__(self, u, name):
        self._u = u
        self._name = name
        self._crc = ""  # see _ask

    def find(self, state, release, whole=False, tries=0):
        """Fill `release` and return True when the channel offers one for this board; only the header is read.

        One request, two without a difference from what is live. With `whole` no difference is asked for.
        """
        u = self._u
        live = header(u.root, state["live"])
        about, why_held = self._before(state, live)
        u.verifier.begin(u.transport, self._name, state)
        try:
            stream = self._ask(state, live, about[-1], whole)
        except NotModified:
            if state["phase"] != "staging":
                u.tell("blocked" if why_held else "current", why_held)
                return False
            release.take(header(u.root, state["next"]), state["etag"])
            return True
        from .manifest import Reader
        from .policy import judge
        release.stream = stream
        try:
            reader = Reader(Lines(stream).readline, u.verifier.update, stream.url)
            why = judge(reader.header, *about)
        except (ManifestError, PolicyError, TransportError) as e:
            return self._anew(state, release, e, tries + 1)
        etag = "%s %s" % (self._tagged(), stream.etag) if stream.etag else ""
        release.take(reader.header, etag if len(etag) < 200 else "", reader)
        detail = release.version
        if why == "refused" or why_held:
            from .obstacles import explain
            why, detail = explain(state, release, why, why_held)
        if not why:
            return True
        release.close()
        if state["phase"] == "idle" and release.etag != state["etag"]:
            state["etag"] = release.etag
            save(u.root, state)
        u.tell(why, detail)
        return False

    def _before(self, state, live):
        # What a header is judged by, and why the release that was dropped last still cannot be installed.
        from .policy import clock
        about = state, self._u.project or live.get("project"), self._u.device_id(), clock(state)
        if state["phase"] != "staging" and "blocked" not in state:
            return about, None
        from .obstacles import look_again
        return about, look_again(self._u, about)

    def _tagged(self):
        # What an etag is of, for two objects may have the same; short, to keep the state in its list.
        return self._name + ("/%s" % self._crc[:4] if self._crc else "")

    def _ask(self, state, live, time, whole):
        u = self._u
        of, tag = ("", None) if whole else self._known(state, live, time)
        if tag and u.verifier.seen:  # the verifier has asked already
            raise NotModified(self._name)
        # On a full flash it is the write that says so; what a cut left in the slot is written over.
        left = u.storage.size(".ota/" + spare(state)) or 0
        limit = max(u.storage.free() + left, u.storage.block)
        # Of the file lines that the answer is the difference from; empty for all of the manifest.
        for self._crc in ("" if whole else live.get("crc", ""), ""):
            name = self._name + (".d/%s" % self._crc if self._crc else "") + ".manifest"
            try:
                return u.transport.open(name, 0, tag if of == self._tagged() else None, limit=limit)
            except TransportError as e:
                # A bucket may say 403 for what is not there.
                if not self._crc or not isinstance(e, NotFoundError) and (e.retry_s or not e.status):
                    raise
                u.tell("fallback", e)

    def _anew(self, state, release, error, tries):
        # It broke off, or was a bad difference: whether there is a release when it, or the whole, is asked for.
        from .transports.why import again
        u = self._u
        cut = isinstance(error, TransportError) and again(u.transport, error, tries)
        if not cut and not (self._crc and getattr(error, "status", 1)):
            raise error
        u.tell("retry" if cut else "fallback", error)
        release.close()
        return self.find(state, release, not cut, tries if cut else 0)

    def _known(self, state, live, time):
        # What the board has a tag of, and the tag; None when "still the same" would be no news.
        u = self._u
        of, tag = (state["etag"].split(" ", 1) + [""])[:2]
        if live.get("expires", time) < time or u.verifier.seen not in ("", state.get("seen")):
            return of, None  # of a server that is held back
        if u.verifier.signs and not u.verifier.seen and not getrandbits(4):
            return of, None  # no tag is signed: somebody may have given us that of the next release
        return of, tag

    def stage(self, release, state):
        """Put all that differs on flash, verified; a generator of progress."""
        u = self._u
        # One seq is one release: what was authenticated when it came need not come again.
        if state["phase"] != "staging" or state["seq"] != release.seq:
            yield from self._begin(release, state)
        release.close()
        _unload("manifest", "policy", "staging")
        from .place import stage_file
        from .plan import FETCH, PATCH, beside, plan
        for what, path, old, entry in plan(lines(u.root, state["live"]), lines(u.root, state["next"])):
            if what in (FETCH, PATCH):
                yield from stage_file(u, path if old else beside(u.root, path), old, entry)

    def _begin(self, release, state):
        u = self._u
        if state["phase"] == "staging":
            from .staging import drop
            drop(u, state)
        state["next"] = ""
        if not state["live"]:
            save(u.root, state)  # its slot may get the next manifest, and a cut come before `adopt`
            if self._crc:
                release.close()  # it has turned out to be no base for a difference
        if not release.reader:
            seq = release.seq
            if not self.find(state, release) or release.seq != seq:
                raise PolicyError("the channel %s no longer offers seq %d" % (self._name, seq))
        slot = spare(state)
        for tries in range(1, 99):
            try:
                yield from self._take(release, state, slot)
                break
            except (ManifestError, VerifyError, MemoryError, TransportError) as e:
                if not self._anew(state, release, e, tries):
                    raise
        from .staging import prepare
        yield from prepare(u, state, slot, release)
        # The tag of a difference is of no use once its base is not live, but to say that one has asked.
        etag = "" if self._crc and not u.verifier.seen else release.etag
        state.update({"next": slot, "seq": release.seq, "etag": etag})
        if u.verifier.signs:
            state["signed"] = 1
        if u.verifier.seen:
            state["seen"] = u.verifier.seen
        note_sums(u.root, state)
        save(u.root, state, "staging")

    def _take(self, release, state, slot):
        # Puts the manifest into `slot`, and asks whose it is.
        u, good = self._u, False
        try:
            signed = yield from self._receive(release.reader, state["live"], slot)
            release.close()
            _unload("manifest", "policy", "merge", "obstacles")  # a signature needs the room
            u.verifier.authenticate(*signed)
            good = True
        finally:
            if not good:  # it may have taken all of the flash
                u.storage.remove(".ota/" + slot)

    def _receive(self, reader, live, slot):
        # Writes the manifest to `slot` as it comes, checked line by line; gives what says whose it is.
        old, count = None, 0
        try:
            if self._crc:
                _unload("policy")
                from .merge import merge
                old = open(base(self._u.root) + ".ota/" + live, "rb")
                reader.readline = merge(reader.readline, old.readline)
            with self._u.storage.open(".ota/" + slot, "wb") as out:
                out.write(reader.raw)
                for _ in reader:
                    out.write(reader.raw)
                    count += 1
                    yield "manifest", count, reader.header["files"]
        finally:
            if old:
                old.close()
        return reader.digest, reader.signatures, reader.header


def _unload(*names):
    package = sys.modules["ota"]
    for name in names:
        if sys.modules.pop("ota." + name, None):
            delattr(package, name)
