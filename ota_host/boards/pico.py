"""The unmodified firmware of the Pico W in the rp2040py emulator, as a board.

What is real: the machine code, the flash with its file system, the serial port over USB, the Wi-Fi chip's driver, lwIP,
TLS, the watchdog. What is ours: flash goes through to a file at every operation and its power can fail in any of them,
and the network ends at this machine: whatever address the guest dials, it reaches 127.0.0.1 at the same port, and every
name resolves.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rp2040py.device import MicroPythonDevice
    from rp2040py.rp2040 import RP2040

    from .supervisor import BoardOptions

FLASH_SIZE = 2 * 1024 * 1024
_ERASES = {0x20: 4096, 0xD8: 65536}  # SPI command: bytes
_PROGRAM, _PAGE = 0x02, 256
HARD, WATCHDOG = 2, 3  # reset causes, as the supervisor numbers them


class PicoBoard:
    """What the supervisor needs to know of the emulator.

    Args:
        options: the supervisor's options (flash, uf2).
    """

    soft_resets = False  # the chip makes its own
    hears = True

    def __init__(self, options: "BoardOptions") -> None:
        self.flash = os.path.abspath(options.flash)
        self.uf2 = options.uf2

    def prepare(self) -> None:
        """Have the firmware; the emulator makes the flash."""
        if not self.uf2:
            from .firmware import pico_w_firmware

            self.uf2 = str(pico_w_firmware())
        import rp2040py  # noqa: F401  (missing is an error now, not in the child)

    def start(self, cause: int, done: int, cut_at: int, torn: str, control: int, ledger: int) -> tuple[int, int]:
        """Power for the emulator: returns process id and terminal."""
        from .unix import start_in_terminal

        argv = [sys.executable, "-m", "ota_host.boards.pico", str(self.uf2), self.flash]
        argv += map(str, (control, ledger, cause, done, cut_at, torn))
        return start_in_terminal(argv, dict(os.environ), (control, ledger), interrupts=False)

    def shown(self, data: bytes, reply: Callable[[bytes], None]) -> bytes:
        """All of the output."""
        return data

    def interrupt(self, pid: int, terminal: int) -> bool:
        """Press Ctrl-C."""
        return os.write(terminal, b"\x03") == 1

    def rest(self) -> bytes:
        """Nothing is held back."""
        return b""


# From here on: the emulator's own process.


def torn_size(torn: str, size: int) -> int:
    """How many of an operation's `size` bytes happen when the power fails in it."""
    return {"none": 0, "1byte": 1, "half": size // 2, "all-but-1": size - 1, "all": size}[torn]


class Flash:
    """Writes every flash operation of the emulated chip through to a file, and cuts the power in one of them."""

    def __init__(self, mcu: "RP2040", path: str, control: int, ledger: int, done: int, cut_at: int, torn: str) -> None:
        self.mcu, self.control, self.ledger, self.cut_at, self.torn = mcu, control, ledger, cut_at, torn
        self.count = done
        self._load(Path(path))
        self.file = os.open(path, os.O_RDWR)
        self._apply = mcu.ssi._apply_command
        mcu.ssi._apply_command = self.apply_command  # type: ignore[method-assign]  # of this one chip

    def _load(self, path: Path) -> None:
        if path.exists():
            image = path.read_bytes()
            self.mcu.flash[: len(image)] = image
        else:
            path.write_bytes(bytes(self.mcu.flash[:FLASH_SIZE]))

    def apply_command(self) -> None:
        """Called when the flash chip is deselected, with a whole command in the buffer of the controller."""
        ssi = self.mcu.ssi
        command = bytes(ssi._tx_buffer)
        op = command[0] if command else 0
        writes = ssi._write_enabled and (op in _ERASES and len(command) >= 4 or op == _PROGRAM and len(command) > 4)
        if not writes:
            self._apply()
            return
        address = int.from_bytes(command[1:4], "big")
        size = _ERASES.get(op) or min(len(command) - 4, _PAGE)
        if op in _ERASES:
            address &= -size
        before = bytes(self.mcu.flash[address : address + size])
        self._apply()
        self._write(address, before, bytes(self.mcu.flash[address : address + size]), op in _ERASES)

    def _write(self, address: int, before: bytes, after: bytes, erase: bool) -> None:
        self.count += 1
        os.write(self.ledger, b"e" if erase else b"p")
        if self.count != self.cut_at:
            os.pwrite(self.file, after, address)
            return
        n = torn_size(self.torn, len(after))
        os.pwrite(self.file, after[:n] + before[n:], address)
        os.write(self.control, b"CUT %s at 0x%x\n" % (b"erase" if erase else b"program", address))
        os.kill(os.getpid(), signal.SIGKILL)


class Console:
    """Joins the chip's USB serial port with a terminal."""

    def __init__(self, device: "MicroPythonDevice", source: int, sink: int) -> None:
        from rp2040py.device.repl_runner import InteractiveRepl

        self.repl = InteractiveRepl(device.cdc, on_data=lambda data: _write_all(sink, data))
        self.source = source
        # In the chip's time, because that is what empties the queue.
        self.alarm = device.simulator.clock.create_alarm(self.pump)

    async def start(self) -> None:
        await self.repl.start()
        asyncio.get_running_loop().add_reader(self.source, self.receive)

    def receive(self) -> None:
        if not self.repl.send(os.read(self.source, 512)):
            self.alarm.schedule(1_000_000)  # ns

    def pump(self) -> None:
        if not self.repl.pump():
            self.alarm.schedule(1_000_000)


class FrameTicks:
    """The start-of-frame packets, one a millisecond, which the emulator's USB host leaves out.

    The firmware counts 16 of them before it sends what was printed while the port was still closed. It also starts no
    transfer in the last fifth of a millisecond after one, and leaves that to the next (erratum RP2040-E15): without a
    next one, all output would stop for good.
    """

    _PERIOD = 1_000_000  # ns

    def __init__(self, device: "MicroPythonDevice") -> None:
        self.usb = device.mcu.usb_ctrl
        self.alarm = device.simulator.clock.create_alarm(self.tick)
        self.read = self.usb.read_uint32
        self.usb.read_uint32 = self.read_and_acknowledge  # type: ignore[method-assign]  # of this one chip
        self.alarm.schedule(self._PERIOD)

    def tick(self) -> None:
        from rp2040py.peripherals.usb import INTR_DEV_SOF

        self.usb._sof_frame_number = (self.usb._sof_frame_number + 1) & 0x7FF
        self.usb._int_raw |= INTR_DEV_SOF
        self.usb.check_interrupts()
        self.alarm.schedule(self._PERIOD)

    def read_and_acknowledge(self, offset: int) -> int:
        from rp2040py.peripherals.usb import INTR_DEV_SOF, SOF_RD

        if offset == SOF_RD:  # reading the frame number ends the interrupt
            self.usb._int_raw &= ~INTR_DEV_SOF
            self.usb.check_interrupts()
        found: int = self.read(offset)
        return found


def _write_all(fd: int, data: bytes | bytearray) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


class Names(asyncio.DatagramProtocol):
    """A name server that knows every name: all of them are the gateway, and so this machine."""

    def __init__(self, address: bytes) -> None:
        self.address = address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, query: bytes, sender: tuple[str | object, int]) -> None:
        end = query.index(b"\0", 12) + 5
        head = query[:2] + b"\x81\x80" + query[4:6] + b"\0\1\0\0\0\0"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + self.address
        self.transport.sendto(head + query[12:end] + answer, sender)


async def _only_this_machine() -> None:
    """Make the emulated network end at 127.0.0.1; before the chip is made."""
    from rp2040py.external.cyw43 import bus, chip, nat

    let_it_send(bus.GSPIBus)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Names(nat.GATEWAY_IP), local_addr=("127.0.0.1", 0))
    names = transport.get_extra_info("sockname")

    async def connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        end = writer.write_eof

        def write_eof() -> None:
            # The server may have closed first; that must not stop the emulator.
            with contextlib.suppress(OSError):
                end()

        writer.write_eof = write_eof  # type: ignore[method-assign]  # of this one connection
        return reader, writer

    class OnlyNames(nat.UdpRelay):
        def maybe_handle(self, frame: "nat.net.EthernetFrame") -> bool:
            ip = nat.net.parse_ipv4(frame.payload) if frame.ethertype == nat.net.ETHERTYPE_IPV4 else None
            udp = nat.net.parse_udp(ip.payload) if ip is not None and ip.proto == nat.net.IP_PROTO_UDP else None
            to_names = udp is not None and ip is not None and udp.dst_port == 53 and ip.dst_ip == nat.GATEWAY_IP
            return super().maybe_handle(frame) if to_names else udp is not None

    class Bridge(nat.NatBridge):
        def __init__(self, rp2040: "RP2040", queue_ethernet_frame: Callable[[bytes], None]) -> None:
            super().__init__(rp2040, queue_ethernet_frame)
            self._tcp = nat.TcpReflector(rp2040, queue_ethernet_frame, connect_fn=connect)
            self._udp = OnlyNames(rp2040, queue_ethernet_frame, dns_upstream=names)

    chip.NatBridge = Bridge  # type: ignore[misc]  # the chip makes its network by this name


_CREDIT = 8  # frames


def let_it_send(bus: Any) -> None:
    """Keep a Wi-Fi chip of class `bus` from running out of what its guest may send.

    The chip grants the number of the guest's last frame and a little more. The emulator instead grants one more with
    each frame that it delivers, and the number has eight bits: once it has delivered 256 more than it took, about
    180 KB in files of 10 KB, the grant looks used up, and nothing is sent any more ("STALL" on the serial line).
    """
    write = bus._write_wlan

    def _write_wlan(self: Any, data: bytes) -> None:
        if len(data) > 4:
            self._last_frame = data[4]
        write(self, data)

    def granted(self: Any) -> int:
        return (getattr(self, "_last_frame", 0) + _CREDIT) & 0xFF

    bus._write_wlan = _write_wlan
    bus._bus_data_credit = property(granted, lambda self, value: None)


def _lives_on(mcu: "RP2040", control: int, cause: int) -> None:
    """Let the chip find why it was reset, and let its next reset be a new process.

    The emulator could reset the chip in place, but then its Wi-Fi chip does not start again.
    """
    force, timer = 2, 1
    mcu.watchdog._reason = {HARD: force, WATCHDOG: timer}.get(cause, 0)
    if cause == WATCHDOG:
        mcu.watchdog.scratch_data[4] = 0x6AB73121  # the SDK's mark of a watchdog that was started by the program

    def reset() -> None:
        os.write(control, b"RESET\n" if mcu.watchdog._reason == force else b"WATCHDOG\n")
        os.kill(os.getpid(), signal.SIGKILL)

    mcu.watchdog.on_watchdog_trigger = reset


async def _run(
    uf2: str, flash: str, control: int, ledger: int, cause: int, done: int, cut_at: int, torn: str, source: int, sink: int
) -> None:
    await _only_this_machine()
    from rp2040py.boards import BOARDS, resolve_firmware
    from rp2040py.device import MicroPythonDevice

    class Device(MicroPythonDevice):
        def _post_boot_handshake(self) -> None:
            pass  # nobody presses a key

    device = Device(board=resolve_firmware(BOARDS["pico_w"], "micropython", uf2))
    _lives_on(device.mcu, control, cause)
    Flash(device.mcu, flash, control, ledger, done, cut_at, torn)
    await Console(device, source, sink).start()
    await device.astart(timeout=None)
    os.write(control, b"BOOT\n")
    FrameTicks(device)
    while device.simulator.executing:
        await asyncio.sleep(0.5)


def main(argv: list[str]) -> None:
    """The emulator: UF2, flash image, control and ledger descriptors, reset cause, operations done, cut, torn."""
    uf2, flash, *numbers, torn = argv
    source, sink = os.dup(0), os.dup(1)
    log = os.open(flash + ".emulator", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for fd in (1, 2):
        os.dup2(log, fd)  # the emulator's own messages are not the board's
    control, ledger, cause, done, cut_at = map(int, numbers)
    asyncio.run(_run(uf2, flash, control, ledger, cause, done, cut_at, torn, source, sink))


if __name__ == "__main__":
    main(sys.argv[1:])
