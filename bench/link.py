"""A link with a delay and with loss, below TCP: a TUN device whose other end is this process.

A packet to 10.77.0.N comes back, late or never, with its two addresses exchanged: the board at 10.77.0.1 talks to a
server on the same machine, but every packet has crossed the link. Slow start, lost packets and handshakes are the
kernel's own. It needs root, or `unshare`, and stays inside a network namespace.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
INSIDE = "MPOTA_BENCH_NAMESPACE"


def enter():
    """Start this program again in a network namespace of its own, where that is allowed; else go on."""
    if os.environ.get(INSIDE) or sys.platform != "linux" or not os.path.exists("/dev/net/tun"):
        return
    flags = ["-n"] if os.getuid() == 0 else ["-rn"]
    if subprocess.run(["unshare", *flags, "ip", "link", "set", "lo", "up"], capture_output=True).returncode:
        return
    os.environ[INSIDE] = "1"
    script = 'ip link set lo up && exec "$@"'
    os.execvp("unshare", ["unshare", *flags, "sh", "-c", script, "sh", sys.executable, *sys.argv])


class Link:
    """The link; `lane(n, rtt_ms, loss)` makes 10.77.0.n an address behind it.

    Raises:
        OSError: this process may not make one.
    """

    def __init__(self):
        if not os.environ.get(INSIDE):
            raise OSError("not in a network namespace")
        self._lanes = {}
        self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._fd, TUNSETIFF, struct.pack("16sH22x", b"bench0", IFF_TUN | IFF_NO_PI))
        for words in ("addr add 10.77.0.1/24 dev bench0", "link set bench0 up"):
            subprocess.run(["ip", *words.split()], check=True)
        self._stop = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def lane(self, number, rtt_ms, loss=0, seed=1):
        """Give 10.77.0.`number` a round-trip time in ms and a loss in percent; returns the address."""
        self._lanes[number] = (rtt_ms / 2000, loss / 100, random.Random(seed))
        return f"10.77.0.{number}"

    def close(self):
        self._stop = True
        self._thread.join()
        os.close(self._fd)

    def _run(self):
        waiting, count = [], 0
        while not self._stop:
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                os.write(self._fd, heapq.heappop(waiting)[2])
            pause = min(0.1, waiting[0][0] - now) if waiting else 0.1
            if not select.select([self._fd], [], [], max(0, pause))[0]:
                continue
            packet = os.read(self._fd, 2048)
            if packet[0] >> 4 != 4:
                continue
            far = packet[16:20] if packet[12:16] == b"\x0a\x4d\0\1" else packet[12:16]
            delay, loss, chance = self._lanes.get(far[3], (0, 0, random))
            if loss and chance.random() < loss:
                continue
            count += 1  # keeps packets of one moment in order
            swapped = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
            heapq.heappush(waiting, (time.monotonic() + delay, count, swapped))
