"""The unmodified firmware of the Pico W in the emulator: the test board that runs the real thing."""

import http.server
import threading
import warnings

import pytest
from missing import no_firmware

from ota_host.boards import WIFI_BOOT, FirmwareUnavailable, firmware, read_tree, start

pytestmark = pytest.mark.pico_w


@pytest.fixture(scope="module")
def uf2():
    try:
        return firmware.pico_w_firmware()
    except FirmwareUnavailable as e:
        warnings.warn("the tests on the real firmware did NOT run: %s" % e, stacklevel=1)
        no_firmware(e)


@pytest.fixture(scope="module")
def formatted(uf2, tmp_path_factory):
    """A flash image with the file system that the firmware makes on its first boot."""
    flash = tmp_path_factory.mktemp("pico") / "flash.img"
    with start("pico-w", flash, uf2=uf2) as board:
        board.wait_for(">>> ", timeout=30)
    return flash.read_bytes()


@pytest.fixture
def flash(formatted, tmp_path):
    (tmp_path / "flash.img").write_bytes(formatted)
    return tmp_path / "flash.img"


def test_firmware_runs_code_that_mpremote_sends(uf2, flash):
    """The board is a Raspberry Pi Pico W with MicroPython 1.27."""
    with start("pico-w", flash, uf2=uf2) as board:
        said = board.exec("import os, machine; print(os.uname().machine, os.uname().release, machine.reset_cause())")
    assert said.strip() == "Raspberry Pi Pico W with RP2040 1.27.0 1"


def test_usb_frames_go_on_so_that_output_never_waits_for_one_in_vain(uf2, flash):
    """The firmware keeps a packet back that comes late in a frame, and sends it with the next one."""
    frame = "machine.mem32[0x50110048]"
    code = f"import machine, time\ntime.sleep_ms(60)\nn = {frame}\ntime.sleep_ms(20)\nprint({frame} - n & 0x7ff)\n"
    code += "for us in range(0, 1000, 50):\n    time.sleep_us(us)\n    print('grün €', us)\n"
    with start("pico-w", flash, uf2=uf2) as board:
        frames, *lines = board.exec(code).splitlines()
    assert 15 < int(frames) < 25
    assert lines == [f"grün € {us}" for us in range(0, 1000, 50)]


def test_flash_survives_a_reset_that_runs_main(uf2, flash):
    """A file written before machine.reset() runs after it, and the reset cause is the chip's own."""
    with start("pico-w", flash, uf2=uf2) as board:
        board.exec("with open('main.py', 'w') as f: f.write('import machine; print(\"cause\", machine.reset_cause())')")
        board.exec("import machine; machine.reset()", may_reset=True)
        board.wait_for_log("BOOT hard")
        board.wait_for("cause 3\n", timeout=30)
    assert set(read_tree(flash, "pico-w")) == {"main.py"}


def test_error_in_boot_leaves_out_main(uf2, flash):
    """What the unix board does after an error in boot.py is what the firmware does.

    What boot.py prints is never seen: the firmware starts USB after it.
    """
    files = {"boot.py": "open('booted', 'w').close()\n1 / 0", "main.py": "print('in main')"}
    with start("pico-w", flash, uf2=uf2) as board:
        board.exec("for name, text in %r.items():\n with open(name, 'w') as f: f.write(text)" % files)
        board.power_cycle()
        said = board.wait_for(">>> ", timeout=30)
        assert set(board.tree()) == {"boot.py", "booted", "main.py"}
    assert "in main" not in said


@pytest.mark.parametrize("torn", ["none", "half", "all"])
def test_cut_at_an_operation_tears_just_that_one(uf2, flash, torn):
    """The power fails in the 2nd operation after power-on: the part asked for is in flash, the rest of it is not."""
    write = "import rp2\nb = rp2.Flash()\nb.ioctl(6, 200)\nb.writeblocks(200, bytes(512), 0)\n"
    with start("pico-w", flash, uf2=uf2, reboot=False, cut_at=2, torn=torn) as board:
        board.exec(write, may_reset=True)
        assert board.wait_off(10) == 99
        assert board.ops() == 2
    place = 0x12C000 + 200 * 4096
    done = {"none": 0, "half": 128, "all": 256}[torn]
    assert board.log()[-1] == "CUT program at 0x%x" % place
    assert flash.read_bytes()[place : place + 4096] == bytes(done) + b"\xff" * (4096 - done)


def test_wifi_reaches_this_machine_by_any_name_and_nothing_else(uf2, flash):
    """Wi-Fi comes up, and a made-up host name leads to a server on 127.0.0.1."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Host"]))
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args):
            pass

    code = WIFI_BOOT + """
import socket
a = socket.getaddrinfo("updates.example", %d)[0][-1]
s = socket.socket()
s.connect(a)
s.write(b"GET /x HTTP/1.0\\r\\nHost: updates.example\\r\\n\\r\\n")
print(a[0], s.read()[-5:])
"""
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with start("pico-w", flash, uf2=uf2) as board:
            said = board.exec(code % server.server_port, timeout=120)
        server.shutdown()
    assert said.strip() == "10.0.0.1 b'hello'"
    assert asked == [("/x", "updates.example")]
