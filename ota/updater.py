"""Updater: the order of the steps of an update, nothing else."""

from .builtin import own
from .bootguard import lean, load, note_sums, problems, reset, save, unsound
from .errors import OtaError, StorageError, Theirs, ours
from .storage import all_of, begin, guarded

_waiting = []  # the roots of what was staged since the last reset


class Release:
    """What a server offers. `version` (str), `seq` (int), `header` (dict of the manifest)."""

    def __init__(self):
        self.stream = None
        self.take({}, "")

    def take(self, header, etag, reader=None):
        self.header = header
        self.version = header.get("version")
        self.seq = header.get("seq")
        self.etag = etag
        self.reader = reader

    def close(self):
        if self.stream:
            self.stream.close()
        self.stream = self.reader = None


class Updater:
    """Updates the files of this board from a server.

    Args:
        transport (Transport): where releases come from.
        storage (Storage): where they go; default: what suits the board's file system.
        verifier (Verifier): what must be true of them; default `Sha256Verifier`.
        files (list of str): the legacy layout, no manifest; `layout` (str): `prefix` or `subdir`.
        channel (str): which manifest of the project to follow.
        keep (tuple of str): files and folders that are not replaced once they exist.
        trial_boots (int): boots that a release has to call `ota.confirm()` in; 0: no trial.
        device_id (str): what a rollout draws by; default `machine.unique_id()` in hex.
        on_event: called with (name, detail); see the reference for the names.
        project (str): the only project to accept; default: that of the live release.
    """

    chunk = 1024  # bytes moved at a time, in the one buffer of an update
    safe = 65536  # bytes of a large file after which it is closed: what a power cut cannot take back

    def __init__(
        self, transport, *, storage=None, verifier=None, files=None, channel="stable", layout="prefix",
        keep=(), trial_boots=3, device_id=None, on_event=None, project=None
    ):  # fmt: skip
        lean()
        self.transport = transport
        self.storage = storage
        self.verifier = verifier
        self.keep = keep
        self.project = project
        self.ready = False  # whether a staged release waits for the reset
        self._trial_boots = trial_boots
        self._device_id = device_id
        self._on_event = on_event
        with ours:
            from .setup import set_up
            set_up(self, files, channel, layout)

    def tell(self, event, detail):
        """Report to `on_event`."""
        if self._on_event:
            try:
                self._on_event(event, detail)
            except Exception as e:
                raise Theirs(e)

    def device_id(self):
        """What this device is known by (str)."""
        return self._device_id

    def check(self):
        """Ask the server once; returns the Release on offer for this board, or None."""
        with ours:
            begin()
            release = self._find(load(self.root))
            if release:
                release.close()
            return release

    def stage(self, release):
        """Download and verify `release` beside the live files; may be stopped and made again."""
        with ours:
            steps = guarded(self._stage(release, load(self.root)))
        all_of(steps)

    def install(self):
        """Make the staged release live, as `ota.boot()` does; reset the board afterwards."""
        with ours:
            begin()
            state = load(self.root)
            if state["phase"] in ("ready", "committing"):
                from .bootguard import advance
                if not advance(self.root, state) or state["refused"] == state["seq"]:
                    raise StorageError(problems[-1])
            self.ready = False

    def steps(self):
        """All of an update up to the reset, a chunk a step: a generator of (path, done, size).

        At the end `ready` says whether a release waits for the reset. To stop before, `close()` it.
        """
        with ours:
            return guarded(self._steps())

    def _steps(self):
        self.ready = False
        try:
            state = load(self.root)
            if state["phase"] == "ready" and self.root in _waiting:
                self.ready = True
            elif state["phase"] in ("ready", "committing", "reverting", "cleaning"):
                from .bootguard import advance  # nobody calls ota.boot()
                self.ready = advance(self.root, state)
            else:
                yield from self._update(state)
        finally:
            self.transport.close()

    def _update(self, state):
        while True:
            try:
                release = self._find(state)
                if release:
                    yield from self._stage(release, state)
                return
            except OtaError as e:
                if not self.transport.other():
                    raise
                self.tell("other", e)
            state = load(self.root)

    def run(self, reset=True):
        """Check, stage and reset into the new release; with `reset` (bool) False leave that to the caller.

        Returns:
            bool: whether a release waits for the reset. False: nothing new.
        Raises:
            OtaError: the live release runs on; what is staged stays for the next try.
        """
        all_of(self.steps())
        return self._finish(reset)

    async def run_async(self, reset=True):
        """As `run()`, giving other tasks their turn after every chunk; cancel the task to end it."""
        with ours:
            sleep = own("asyncio", "asyncio.core", "select", "time").sleep
        steps = self.steps()
        try:
            for _ in steps:
                await sleep(0)
        finally:
            steps.close()
        return self._finish(reset)

    def _finish(self, restart):
        if self.ready and restart:
            reset()
        return self.ready

    def _find(self, state):
        if state["phase"] not in ("idle", "staging"):
            return self.tell(state["phase"], None)
        release = Release()
        found = False
        try:
            if self._source.find(state, release):
                self.tell("found", release.version)
                found = True
                return release
            if state["phase"] == "staging":
                from .staging import drop
                drop(self, state)
        finally:
            if not found:  # also after an error: a board has few sockets
                release.close()

    def _stage(self, release, state):
        try:
            if state["phase"] not in ("idle", "staging"):
                raise OtaError("phase is %s: reset the board first" % state["phase"])
            if state["phase"] == "idle" and unsound(self.root, state, "live"):
                state["live"] = ""  # what is on the board is found out anew
            yield from self._source.stage(release, state)
            state.update({"trial": self._trial_boots, "bare": 0 if self.verifier.hasher() else 1})
            note_sums(self.root, state)
            save(self.root, state, "ready")
            _waiting.append(self.root)
        finally:
            release.close()
        self.ready = True
        self.tell("ready", release.version)
