"""The serial line of a test board: a pseudo-terminal behind a stable link, and a log of what the board said."""

import contextlib
import os
import pty
import time
import tty

# A board may be this many bytes ahead of its reader before it has to wait.
AHEAD = 16 * 1024
# Seconds without a reader after which output is dropped instead of waited for, as a USB serial port does.
PATIENCE = 0.5
# Bytes of one log file; what comes later is not logged, so that a chatty board cannot fill the disk.
LOG_LIMIT = 64 * 1024 * 1024


class SerialLine:
    """One pty pair that outlives every reset of the board.

    Programs open `link`, a symbolic link to the terminal; both ends stay open here, so they may come and go.

    Args:
        link: path of the symbolic link to make; an old one is replaced.
        log: path of the file that gets a copy of everything the board says.
    """

    def __init__(self, link: str, log: str) -> None:
        self.link = os.path.abspath(link)
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self._log = open(log, "ab", buffering=0)  # noqa: SIM115  (until `close`)
        self._logged = 0
        self._pending = bytearray()
        self._stuck_since: float | None = None
        self._unwatched = False
        self._make_link()

    def _make_link(self) -> None:
        fresh = "%s.%d" % (self.link, os.getpid())
        os.symlink(os.ttyname(self._slave), fresh)
        os.replace(fresh, self.link)

    @property
    def waiting(self) -> bool:
        """Whether there is output that nobody has taken yet."""
        return bool(self._pending)

    @property
    def full(self) -> bool:
        """Whether the board should be kept from saying more."""
        return len(self._pending) >= AHEAD and not self._unwatched

    def send(self, data: bytes) -> None:
        """Pass on what the board said; never blocks."""
        if self._logged < LOG_LIMIT:
            self._log.write(data)
            self._logged += len(data)
        self._pending += data
        self.flush()

    def flush(self) -> None:
        """Give the reader what it takes; after `PATIENCE` without one keep only the newest output."""
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while self._pending:
                n = os.write(self.master, self._pending[:4096])
                del self._pending[:n]
                taken += n
        if taken or not self._pending:
            self._unwatched = False
            self._stuck_since = time.monotonic() if self._pending else None
            return
        if self._stuck_since is None:
            self._stuck_since = time.monotonic()
        if time.monotonic() - self._stuck_since >= PATIENCE:
            self._unwatched = True
            del self._pending[:-AHEAD]

    def receive(self) -> bytes:
        """What a program wrote to the port, or b"" when that was nothing."""
        try:
            return os.read(self.master, 4096)
        except OSError:
            return b""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if os.readlink(self.link) == os.ttyname(self._slave):
                os.unlink(self.link)
        os.close(self.master)
        os.close(self._slave)
        self._log.close()
