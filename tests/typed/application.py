"""What an application may write: no type checker has anything to say about it."""

import asyncio
from typing import Any

import micropython_ota
import ota
from ota import (
    HttpsTransport,
    HttpTransport,
    MirrorTransport,
    OtaError,
    SdTransport,
    SignatureVerifier,
    TufVerifier,
    Updater,
    Watch,
)
from ota.errors import NotFoundError, TransportError
from ota.storage.flash import FlashStorage

problem: str | None = ota.boot()
ota.confirm()


def events(name: str, detail: object) -> None:
    print(name, detail)


def make() -> Updater:
    transport = MirrorTransport(
        HttpsTransport("https://ota.example.org/sample", ca=["ca.der", b"..."], token="secret"),
        HttpTransport("http://192.168.2.100/sample", headers={"PRIVATE-TOKEN": "x"}, timeout=2.5),
    )
    transport.retries = 1
    ota.set_clock(transport)
    return Updater(
        transport,
        storage=FlashStorage("/flash"),
        verifier=SignatureVerifier(["RS256:AAAA", "ES256:AAAA"], threshold=2),
        channel="beta",
        keep=("config.json", "data/"),
        on_event=events,
        project="sample",
    )


def by_hand() -> int:
    updater = make()
    try:
        release = updater.check()
        if release:
            print(release.version.upper(), release.seq + 1, release.header["files"])
            updater.stage(release)
            updater.install()
    except NotFoundError:
        return 404
    except TransportError as e:
        return e.retry_s or e.status
    except OtaError:
        pass
    return 0


def step_by_step() -> None:
    steps = Updater("http://192.168.2.100/sample").steps()
    try:
        for path, done, size in steps:
            print(path, done // 1024, size is None or done < size)
            ota.feed()
    finally:
        steps.close()


def report() -> dict[str, Any]:
    now = ota.status(check=True)
    if now["problem"] or now["changed"]:
        print(now["phase"].upper(), now["boots"] < now["trial"], now["version"] or "none")
    return now


async def application() -> None:
    await Updater(SdTransport("/sd/sample"), verifier=TufVerifier("root.json")).run_async(reset=False)
    await Watch(make(), every=600, jitter=0.5).run_async()


def watch() -> None:
    for seconds in Watch(make(), 900, feed=ota.feed).steps():
        print(seconds + 0.5)
    ota.launch("application", make, watchdog=8000, confirm_s=120)


Updater(HttpTransport("http://192.168.2.100/sample")).run()
if not ota.rollback():
    asyncio.run(application())
Updater(HttpTransport("http://192.168.2.100/sample"), files=["main.py"], layout="subdir").run()

auth: str | None = micropython_ota.generate_auth("user", "pass")
changed, version = micropython_ota.check_version("http://192.168.2.100", "sample", auth=auth, timeout=5)
if changed:
    print(version.strip("v"))
micropython_ota.ota_update("http://192.168.2.100", "sample", ["boot.py", "main.py"], use_version_prefix=False)
micropython_ota.check_for_ota_update("http://192.168.2.100", "sample", soft_reset_device=True)
ota.ota_update("http://192.168.2.100", "sample", ("main.py",), hard_reset_device=False)
