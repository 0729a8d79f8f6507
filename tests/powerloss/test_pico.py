"""The proof on the unmodified Pico W firmware; `make test-slow` and `make powerloss` run it."""

import pytest
from missing import no_firmware

from ota_host import deploy
from ota_host.boards import FirmwareUnavailable, firmware, start

from .pico import BOOT, pico_cuts, publish_both

pytestmark = [pytest.mark.pico_w, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(autouse=True)
def uf2():
    try:
        return firmware.pico_w_firmware()
    except FirmwareUnavailable as e:
        no_firmware(e)


def test_at_every_cut_tried_the_real_firmware_boots_a_whole_release(tmp_path):
    """Ten cuts during the install, ten during the revert of a release that never confirms."""
    got = pico_cuts(tmp_path / "pico", 20)
    assert got["bad"] == 0 and got["cuts"] == 20, got
    assert got["found"]["old"] and got["found"]["new"]


def hanging(version):
    """Releases of which the second hangs, with interrupts off, so that only the chip's watchdog is left."""
    app = "print('app', 1)\n" if version == "v1.0.0" else "import machine\nmachine.disable_irq()\nwhile True: pass\n"
    return {"boot.py": BOOT, "main.py": "import ota\nota.launch('app', watchdog=3000)\n", "app.py": app}


STAGE = """
from ota import Updater, SdTransport
print(Updater(SdTransport("/srv"), trial_boots=2).run(reset=False))
"""


def test_the_watchdog_of_the_chip_ends_a_release_that_hangs(tmp_path):
    """It bites in each of the two trial boots, and the old release is back without anybody's hand."""
    tree = publish_both(tmp_path, hanging)
    with start("pico-w", tmp_path / "flash.img") as board:
        deploy.put_all(board.port, tree, tree.release("v1.0.0"), reset=False)
        for words in (("mkdir", ":srv"), ("cp", str(tree.folder / "stable.manifest"), ":srv/"), ("cp", "-r", str(tree.folder / "blobs"), ":srv/")):
            done = board.mpremote("fs", *words, timeout=300)
            assert done.returncode == 0, done.stderr
        assert board.exec(STAGE, timeout=300).split()[-1] == "True"
        board.power_cycle()
        board.wait_for("app 1", 500)
        assert sum(line.startswith("WATCHDOG") for line in board.log()) == 2
        told = board.exec("import ota\nprint(ota.status())", timeout=120)
    assert "'refused': 2" in told and "'phase': 'idle'" in told
