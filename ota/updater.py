"""Updater: the order of the steps of an update, nothing else."""

from . import own
from .bootguard import base, lean, load, note_sums, problems, reset, save, unsound
from .errors import OtaError, StorageError
from .storage import refused, suitable, tidily


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
        transport (Transport): where releases come from. storage (Storage): where they go; default:
            what suits the board's file system.
        verifier (Verifier): what must be true of them; default `Sha256Verifier`.
        files (list of str): the legacy layout: these files and `version`, no manifest.
        layout (str): of these on the server, `prefix` or `subdir`. channel (str): what to follow.
        keep (tuple of str): paths, and folders ending in `/`, not replaced once they exist.
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
        if not hasattr(transport, "open"):
            raise OtaError("transport is a %s: use HttpTransport(url)" % type(transport).__name__)
        if verifier is None:
            from .verifiers import Sha256Verifier
            verifier = Sha256Verifier()
        self.transport, self.storage = transport, storage or suitable(base())
        self.root = self.storage.root
        self.verifier = verifier
        self.keep = keep
        self.project = project
        self.ready = False  # whether a staged release waits for install()
        self.buffer = memoryview(bytearray(self.chunk))
        self._trial_boots = trial_boots
        self._device_id = device_id
        self._on_event = on_event
        if files is None:
            from .channel import Channel
            self._source = Channel(self, channel)
        else:
            from .fileset import FileSet
            self._source = FileSet(self, files, layout)

    def tell(self, event, detail):
        """Report to `on_event`."""
        if self._on_event:
            self._on_event(event, detail)

    def device_id(self):
        """What this device is known by (str)."""
        if self._device_id is None:
            try:
                unique_id = own("machine").unique_id
                self._device_id = "".join("%02x" % b for b in unique_id())
            except (ImportError, AttributeError):
                self._device_id = ""
        return self._device_id

    def check(self):
        """Ask the server once; returns the Release on offer for this board, or None."""
        release = self._find(load(self.root))
        if release:
            release.close()
        return release

    def stage(self, release):
        """Download and verify `release` beside the live files; may be stopped and made again."""
        for _ in self._stage(release, load(self.root)):
            pass

    def install(self):
        """Make the staged release live, as `ota.boot()` does; reset the board afterwards."""
        state = load(self.root)
        if state["phase"] in ("ready", "committing"):
            from .bootguard import advance

            try:
                moved = advance(self.root, state)
            except (OSError, ValueError) as e:
                raise refused("install", e)
            if not moved or state["refused"] == state["seq"]:
                raise StorageError(problems[-1])
        self.ready = False

    def steps(self):
        """All of an update up to the reset, a chunk a step: a generator of (path, done, size).

        Feed a watchdog or draw progress between two steps. At the end `ready` says
        whether a release waits for the reset.
        """
        return tidily(self._steps())

    def _steps(self):
        state = load(self.root)
        if state["phase"] in ("ready", "committing"):  # nobody called ota.boot() since
            self.install()
            self.ready = load(self.root)["phase"] == "trial"
            return
        self.ready = False
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
        """Check, stage and reset into the new release.

        Args:
            reset (bool): False leaves the reset, after which the release is live, to the caller.
        Returns:
            bool: whether a release waits for the reset. False: nothing new.
        Raises:
            OtaError: the live release runs on; what is staged stays for the next try.
        """
        for _ in self.steps():
            pass
        return self._finish(reset)

    async def run_async(self, reset=True):
        """As `run()`, giving other tasks their turn after every chunk."""
        sleep = own("asyncio", "asyncio.core", "select", "time").sleep
        for _ in self.steps():
            await sleep(0)
        return self._finish(reset)

    def _finish(self, restart):
        self.transport.close()
        if self.ready and restart:
            reset()
        return self.ready

    def _find(self, state):
        if state["phase"] not in ("idle", "staging"):
            self.tell(state["phase"], None)
            return None
        release = Release()
        found = False
        try:
            found = self._source.find(state, release)
            if found:
                self.tell("found", release.version)
                return release
            if state["phase"] == "staging":
                from .staging import drop
                drop(self, state)
        except OSError as e:
            raise refused("flash", e)
        finally:
            if not found:  # also after an error: a board has few sockets
                release.close()

    def _stage(self, release, state):
        # Whatever of the file system fails between two yields comes out as ours.
        try:
            if state["phase"] == "idle" and unsound(self.root, state, "live"):
                state["live"] = ""  # what is on the board is found out anew
            yield from self._source.stage(release, state)
            state["trial"] = self._trial_boots
            state["bare"] = 0 if self.verifier.hasher() else 1
            note_sums(self.root, state)
            save(self.root, state, "ready")
        except OSError as e:
            raise refused("flash", e)
        finally:
            release.close()
        self.ready = True
        self.tell("ready", release.version)
