"""The proof on the unmodified Pico W firmware; `make test-slow` and `make powerloss` run it."""

import pytest

from ota_host.boards import FirmwareUnavailable, firmware

from .pico import pico_cuts

pytestmark = [pytest.mark.pico_w, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_at_every_cut_tried_the_real_firmware_boots_a_whole_release(tmp_path):
    """Ten cuts during the install, ten during the revert of a release that never confirms."""
    try:
        firmware.pico_w_firmware()
    except FirmwareUnavailable as e:
        pytest.skip(f"the cuts on the real firmware did NOT run: {e}")
    got = pico_cuts(tmp_path / "pico", 20)
    assert got["bad"] == 0 and got["cuts"] == 20, got
    assert got["found"]["old"] and got["found"]["new"]
