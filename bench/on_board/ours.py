"""An update with this library: three lives of a board."""

import os

from board import run


def stage():
    """Life 1: check, fetch and verify a signed release."""
    from ota import HttpTransport, Updater
    from ota.verifiers.signature import SignatureVerifier

    def program():
        Updater(HttpTransport(os.getenv("URL")), verifier=SignatureVerifier([os.getenv("KEY")])).run(reset=False)

    return program


def boot():
    """Life 2: the boot that installs it."""
    import ota

    return ota.boot


def settle():
    """Life 3: the first boot of the new release, which confirms it."""
    import ota

    def program():
        ota.boot()
        ota.confirm()

    return program


def main(step):
    # Imported when the flash is there: the library notes the folder that it starts in.
    run(prepare={"stage": stage, "boot": boot, "settle": settle}[step])
