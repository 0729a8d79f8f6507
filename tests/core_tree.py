"""The core as a tree that the tests of the library can run on, which import its modules by their names."""

import inspect
import pathlib

import ota.storage
from ota_host import core

EVERYTHING = (
    "Updater Release Watch set_clock confirm launch feed Transport HttpTransport HttpsTransport SdTransport MirrorTransport Storage "
    "LittlefsStorage FlashStorage Verifier NoneVerifier Sha256Verifier SignatureVerifier:RS256+ES256+HS256"
).split()
# Where those tests look for public names.
_MODULES = {
    "updater": "Updater Release",
    "transports/__init__": "Transport",
    "transports/http": "HttpTransport",
    "transports/https": "HttpsTransport",
    "transports/sd": "SdTransport",
    "storage/littlefs": "LittlefsStorage",
    "storage/flash": "FlashStorage",
    "verifiers/__init__": "Verifier NoneVerifier Sha256Verifier",
    "verifiers/signature": "SignatureVerifier",
}


def write(folder, words=EVERYTHING, files=None):
    """Write a core below `folder`; returns it."""
    folder = pathlib.Path(folder)
    for path, data in (files or core.make(words)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def with_modules(folder):
    """A core with everything in it, and a module under each name of the library's."""
    write(folder)
    for path, names in _MODULES.items():
        target = folder / "ota" / (path + ".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(f"from ota import {n}\n" for n in names.split()))
    chooses = inspect.getsource(ota.storage.suitable)
    (folder / "ota/storage/__init__.py").write_text("import os\nfrom ota import Storage\n\n\n" + chooses)
    return folder
