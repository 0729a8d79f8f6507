"""A board of a test: a fresh flash, and the update from a folder of the PC that acts as the server."""

import json
import os
from hashlib import sha256

import ramflash
from ota.transports.sd import SdTransport

ARGS = json.loads(os.getenv("ARGS"))
EVENTS = []


def power_up(kind="lfs2", blocks=64, files=()):
    """Mount a fresh flash with `files` ({path: bytes}) on it; gives the Flash."""
    flash = ramflash.Flash(blocks)
    ramflash.mount(flash, kind, True)
    for path, data in dict(files).items():
        ramflash.write(path, data)
    return flash


def each_cut(states, seen):
    """Mount what a cut leaves on the flash, for each of `states` that is not in the set `seen` yet; gives (operation, shape)."""
    for k, shape, image in states:
        digest = sha256(image).digest()
        if digest not in seen:
            seen.add(digest)
            del ramflash._files[:]
            os.chdir("/")
            ramflash.vfs.umount("/flash")
            ramflash.mount(ramflash.Flash(image=bytearray(image)))
            yield k, shape


def updater(server, **options):
    from ota.updater import Updater

    if "storage" not in options:
        from ota.storage import suitable

        options["storage"] = suitable("/flash/")
    del EVENTS[:]
    return Updater(SdTransport(server), on_event=lambda *event: EVENTS.append(event), **options)


def boot(times=1):
    import ota

    for _ in range(times):
        ota.boot("/flash")


def confirm():
    from ota.trial import confirm

    return confirm("/flash")


def rollback():
    from ota.trial import rollback

    return rollback("/flash")


def status():
    from ota.trial import status

    return status("/flash")


def install(server, **options):
    """A whole update: stage, boot into it, confirm."""
    ready = updater(server, **options).run(reset=False)
    boot(2)
    confirm()
    return ready


def error(call, *args, **options):
    """The name and the text of the OtaError that `call` raises."""
    from ota.errors import OtaError

    try:
        call(*args, **options)
    except OtaError as e:
        return "%s: %s" % (type(e).__name__, e)
    return "no error"


def tell(**facts):
    """Send `facts` to the test, bytes as text."""
    print("FACTS " + json.dumps(_plain(facts)))


def _plain(x):
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_plain(v) for v in x]
    return x.decode() if isinstance(x, bytes) else x
