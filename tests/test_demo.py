"""The project's main job: a board is deployed, updates itself over the air, and is read from outside."""

import pytest
from missing import no_firmware

from ota_host import demo
from ota_host.boards import BoardError, FirmwareUnavailable
from ota_host.errors import OutsideError


def test_a_virtual_board_goes_from_one_release_to_the_next(tmp_path):
    files, size = demo.run("unix", tmp_path)
    assert files == 6
    assert 0 < size < 3000, "only what changed travels"


@pytest.mark.pico_w
@pytest.mark.timeout(900)
def test_the_real_pico_w_firmware_updates_itself_over_wifi(tmp_path):
    try:
        files, size = demo.run("pico-w", tmp_path)
    except FirmwareUnavailable as e:
        no_firmware(e)
    assert files == 6
    assert 0 < size < 3000


def test_a_flash_that_differs_from_the_release_fails_the_demo(tmp_path, monkeypatch):
    """The comparison from outside is no formality."""
    monkeypatch.setattr(demo.boards, "read_tree", lambda *a: {"boot.py": b"other"})
    with pytest.raises(RuntimeError, match="the flash differs from sample v1.0.1 in boot.py, "):
        demo.run("unix", tmp_path)


@pytest.mark.parametrize(
    ("error", "code"),
    [(RuntimeError("the flash differs"), 3), (BoardError("it did not say\nanything"), 3), (OutsideError("/dev/x: no board answers"), 3)],
)
def test_a_demo_that_fails_says_so_in_one_line(monkeypatch, capsys, error, code):
    monkeypatch.setattr(demo, "run", lambda *a: (_ for _ in ()).throw(error))
    assert demo.main(["unix"]) == code
    assert capsys.readouterr() == ("", f"error: {error}\n".replace("\nany", " any"))
