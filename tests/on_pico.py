"""The emulated Pico W with files that were put into its flash from outside, which is faster than over its serial line."""

import contextlib

from ota_host.library import Form
from ota_host.library import files as library_files
from ota_host.boards import start
from ota_host.boards.images import PICO_W_BLOCKS, PICO_W_START


def put_files(flash, files):
    """Write `files` ({path: bytes}) into the file system of a board that is off."""
    import littlefs

    image = bytearray(flash.read_bytes())
    size = PICO_W_BLOCKS * 4096
    inside = littlefs.UserContext(size)
    inside.buffer[:] = image[PICO_W_START : PICO_W_START + size]
    fs = littlefs.LittleFS(inside, block_size=4096, block_count=PICO_W_BLOCKS)
    for path, data in files.items():
        fs.makedirs("/" + path.rpartition("/")[0], exist_ok=True)
        with fs.open("/" + path, "wb") as f:
            f.write(data)
    image[PICO_W_START : PICO_W_START + size] = inside.buffer
    flash.write_bytes(image)


@contextlib.contextmanager
def pico_with_library(flash, files, uf2=None):
    """A board with the library as .mpy and `files`, at its prompt."""
    library = {"lib/" + path: data for path, data in library_files(Form.MPY).items()}
    with start("pico-w", flash, uf2=uf2) as board:
        board.wait_for(">>> ", timeout=60)
        board.power_off()
        put_files(flash, library | files)
        board.power_on()
        board.wait_for(">>> ", timeout=60)
        yield board
