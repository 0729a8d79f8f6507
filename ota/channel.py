"""The manifest layout: releases as `ota publish` writes them, one channel of a project.

Imports stand where they are needed: while the manifest comes, the code that stages files
is not in RAM yet, and while files come, the manifest's reader is not there any more.
"""

import sys

from . import own
from .bootguard import base, exists, header, lines, note_sums, save, spare, unsound
from .errors import ManifestError, NotFoundError, NotModified, PolicyError, StorageError, TransportError, VerifyError
from .transports import Lines

getrandbits = own("random").getrandbits


class Channel:
    """Finds and stages the newest release of one channel for the Updater `u`."""

    def __init__(self, u, name):
        self._u = u
        self._name = name
        self._crc = ""  # see _ask

    def find(self, state, release, whole=False):
        """Fill `release` and return True when the channel offers one for this board.

        One request, two when the server has no difference from what is live; of the manifest only
        the header is read yet. With `whole` no difference is asked for.
        """
        u = self._u
        from .policy import clock, judge

        live = header(u.root, state["live"])
        time = clock(state)
        about = state, u.project or live.get("project"), u.device_id(), time
        held = self._held(state)
        if state["phase"] == "staging":
            self._judge_again(about)
        u.verifier.begin(u.transport, self._name, state)
        try:
            stream = self._ask(state, live, time, whole)
        except NotModified:
            if state["phase"] != "staging":
                u.tell("blocked" if held else "current", held)
                return False
            release.take(header(u.root, state["next"]), state["etag"])
            return True
        from .manifest import Reader

        release.stream = stream
        try:
            reader = Reader(Lines(stream).readline, u.verifier.update)
            why = judge(reader.header, *about)
        except (ManifestError, PolicyError) as e:
            if not self._crc:
                raise
            return self._whole(state, release, e)
        etag = "%s %s" % (self._tagged(), stream.etag) if stream.etag else ""
        release.take(reader.header, etag if len(etag) < 200 else "", reader)
        detail = release.version
        if why == "refused":
            detail = "%s (seq %d): seq %s was undone" % (detail, release.seq, state["refused"])
            state["blocked"] = [release.seq, detail, None]
        elif not why and held and release.seq == state["blocked"][0]:
            why, detail = "blocked", held
        if not why:
            return True
        release.close()
        if state["phase"] == "idle" and release.etag != state["etag"]:
            state["etag"] = release.etag
            save(u.root, state)
        u.tell(why, detail)
        return False

    def _held(self, state):
        # Why the release that was dropped last cannot be installed yet; None when it can.
        blocked = state.get("blocked")
        if not blocked:
            return None
        by = blocked[2]
        if isinstance(by, str):
            held = exists(self._u.root + by)
        else:
            held = by is None or self._u.storage.free() < by
        if held:
            return blocked[1]
        state.pop("blocked")
        state["etag"] = ""  # so that the next answer has it again

    def _judge_again(self, about):
        # What is staged may have expired since, and its manifest may have been damaged.
        from .policy import judge

        state = about[0]
        error = None
        try:
            wanted = not unsound(self._u.root, state, "next") and not judge(header(self._u.root, state["next"]), *about)
        except PolicyError as e:
            wanted, error = False, e
        if not wanted:
            from .staging import drop

            self._u.tell("dropped", error)
            drop(self._u, state)

    def _tagged(self):
        # What an etag is of. Those of two objects may be equal, so the name goes with it.
        # Four digits are enough, and in 128 bytes littlefs keeps the state in the folder's list.
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
                if not self._crc or e.retry_s or not e.status and not isinstance(e, NotFoundError):
                    raise
                u.tell("fallback", e)

    def _whole(self, state, release, error):
        # The difference was no good: whether there is a release when all of the manifest is asked for.
        self._u.tell("fallback", error)
        release.close()
        return self.find(state, release, True)

    def _known(self, state, live, time):
        # What the board has a tag of, and the tag; None when "still the same" would be no news.
        u = self._u
        of, _, tag = state["etag"].partition(" ")
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
        from .plan import FETCH, PATCH, plan
        from .staging import staged

        for what, path, old, entry in plan(lines(u.root, state["live"]), lines(u.root, state["next"])):
            if what in (FETCH, PATCH):
                yield from stage_file(u, path if old else staged(u, path), old, entry)

    def _begin(self, release, state):
        u = self._u
        if state["phase"] == "staging":
            from .staging import drop

            drop(u, state)
        state["next"] = ""
        if not state["live"]:  # its slot may get the next manifest, and a cut come before `adopt`
            save(u.root, state)
        if self._crc and not state["live"]:  # it has turned out to be no base for a difference
            release.close()
        if not release.reader:
            seq = release.seq
            if not self.find(state, release) or release.seq != seq:
                raise PolicyError("the channel %s no longer offers seq %d" % (self._name, seq))
        slot = spare(state)
        while True:
            try:
                yield from self._take(release, state, slot)
                break
            except (ManifestError, VerifyError, MemoryError) as e:
                if not self._crc or not self._whole(state, release, e):
                    raise
        from .staging import adopt, check_space
        try:
            yield from adopt(u, state, slot)
            check_space(u, state["live"], slot)
        except (PolicyError, StorageError) as e:
            if hasattr(e, "by"):
                state.update({"blocked": [release.seq, str(e), e.by], "etag": release.etag})
                save(u.root, state)
            raise
        state.pop("blocked", None)
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
        u = self._u
        good = False
        try:
            signed = yield from self._receive(release.reader, state["live"], slot)
            release.close()
            _unload("manifest", "policy", "merge")  # a signature needs the room
            u.verifier.authenticate(*signed)
            good = True
        finally:
            if not good:  # it may have taken all of the flash
                u.storage.remove(".ota/" + slot)

    def _receive(self, reader, live, slot):
        # Writes the manifest to `slot` as it comes, checked line by line; gives what says whose it is.
        old = None
        count = 0
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
