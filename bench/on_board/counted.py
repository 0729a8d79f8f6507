"""The flash of a benchmark board as strict NOR in RAM: it stops the board when a bit is set without an erase."""

import ramflash


class Flash(ramflash.Flash):
    """A copy of the image at `path`."""

    peak = 0

    def __init__(self, path):
        self._path = path
        with open(path, "rb") as f:
            super().__init__(image=bytearray(f.read()))

    def save(self):
        """Write the image back to its file."""
        with open(self._path, "wb") as f:
            f.write(self.image)


def power_up(path, prog):
    """Mount the littlefs of the image at `path`; gives the Flash."""
    flash = Flash(path)
    ramflash.mount(flash, prog=prog)
    return flash
