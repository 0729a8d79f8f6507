"""One run at a time: what was stopped, dropped or cancelled writes nothing later, and holds nothing open."""

import json

import pytest
from missing import needs
from servers import nginx
from support import release, told_by

V1 = {"boot.py": b"boot 1", "lib/a.py": b"a 1" * 700, "main.py": b"main 1"}
V2 = {"boot.py": b"boot 2", "lib/a.py": b"a 2" * 1300, "lib/b.py": b"b" * 2100, "main.py": b"main 2" * 200}

BOARD = """
from world import *
import gc
import ota.storage
from ota.storage.littlefs import LittlefsStorage
from ota.updater import Updater
from ota.verifiers import NoneVerifier, Sha256Verifier
opened = []
class Counting(LittlefsStorage):
    def _open(self, path, mode):
        f = super()._open(path, mode)
        opened.append(f)
        return f
def finalise(files):
    # What the collector does to files that nobody closed; a block device in Python cannot be called by it.
    for f in files:
        f.close()
    del ramflash._files[:], opened[:]
    gc.collect()
def fresh(image):
    ramflash.mount(ramflash.Flash(image=bytearray(image)))
def made(verifier, server=ARGS[1], **options):
    return Updater(SdTransport(server), storage=Counting("/flash/"), verifier=verifier(), **options)
def first(verifier):
    # The flash (bytes) of a board with V1.
    flash = power_up()
    install(ARGS[0], verifier=verifier())
    image = bytes(flash.image)
    ramflash.umount(flash)
    return image
def down():
    finalise(opened)
    os.chdir("/")
    ramflash.vfs.umount("/flash")
def after(steps, count):
    for _ in range(count):
        next(steps)
def closed(f):
    try:
        f.tell()
        return False
    except (OSError, ValueError):
        return True
"""


@pytest.fixture
def servers(tmp_path):
    for seq, files in enumerate((V1, V2), 1):
        release(tmp_path / str(seq), files, seq=seq, version=f"v{seq}")
    return tmp_path / "1", tmp_path / "2"


def tree(files):
    return {path: data.decode() for path, data in files.items()}


@pytest.mark.parametrize("verifier", ["Sha256Verifier", "NoneVerifier"])
def test_a_run_that_was_dropped_at_any_step_writes_nothing_into_the_next_one(servers, verifier):
    """Its files are collected at a later step of the next run, on littlefs; what goes live is V2."""
    facts = told_by(
        BOARD
        + f"""
kind, want = {verifier}, json.loads(ARGS[2])
image = first(kind)
fresh(image)
most = sum([1 for _ in made(kind).steps()])
down()
bad, states = [], 0
for stop in range(1, most + 1):
    for until in range(1, most + 1, 5):
        fresh(image)
        del ota.updater._waiting[:]
        after(made(kind).steps(), stop)
        late = opened[:]
        at = 0
        for _ in made(kind).steps():
            at += 1
            if at == until:
                finalise(late)
            gc.collect()
        boot(2)
        confirm()
        states += 1
        if {{p: d.decode() for p, d in ramflash.tree().items()}} != want:
            bad.append((stop, until))
        down()
tell(bad=bad, states=states, most=most)
""",
        *servers,
        json.dumps(tree(V2)),
        heap="16M",
        timeout=300,
    )
    assert facts["bad"] == [] and facts["states"] >= 3 * facts["most"] > 24


STARTS = {
    "check": "v.check()",
    "stage": "v.stage(r)",
    "install": "v.install()",
    "run": "v.run(reset=False)",
    "steps": "after(v.steps(), 1)",
    "run_async": "asyncio.run(v.run_async(reset=False))",
    "the same updater": "u.check()",
}


@pytest.mark.parametrize("start", STARTS)
def test_the_start_of_another_run_closes_the_one_before_whose_next_step_raises_an_ota_error(servers, start):
    facts = told_by(
        BOARD
        + f"""
import asyncio
fresh(first(Sha256Verifier))
r = made(Sha256Verifier).check()
u, v = made(Sha256Verifier), made(Sha256Verifier)
del opened[:]
steps = u.steps()
after(steps, 6)
before, mine = [closed(f) for f in opened], opened[:]
{STARTS[start]}
said = error(next, steps)
tell(before=before, after=[closed(f) for f in mine], said=said, again=error(lambda: [0 for _ in steps]))
""",
        *servers,
    )
    assert False in facts["before"] and set(facts["after"]) == {True}
    assert facts["said"] == "OtaError: ended: another update has begun"
    assert facts["again"] == "no error", "it is over"


OVER_HTTP = """
from ota.transports.http import HttpTransport
fresh(first(NoneVerifier))
def over():
    return Updater(HttpTransport(ARGS[2], retries=0), storage=Counting("/flash/"), verifier=NoneVerifier())
class Sockets:
    # What is open of all sockets that were made.
    made = []
    def __init__(self, real):
        self._real = real
    def __getattr__(self, name):
        return getattr(self._real, name)
    def socket(self, *args):
        s = self._real.socket(*args)
        self.made.append(s)
        return s
import ota.transports.http as http
http.socket = Sockets(http.socket)
def left():
    # Sockets and files that are still open.
    count = 0
    for s in Sockets.made:
        try:
            s.settimeout(1)
            s.fileno() >= 0 and os.stat("/proc/self/fd/%d" % s.fileno())
            count += 1
        except OSError:
            pass
    return count, [closed(f) for f in opened].count(False)
u = over()
"""
STOPS = {
    "close": "steps = u.steps()\nafter(steps, 6)\nopen_then = left()\nsteps.close()",
    "the next run": "steps = u.steps()\nafter(steps, 6)\nopen_then = left()\nmade(NoneVerifier, ARGS[0]).install()",
    "an interrupt in run": """
import ota.transports.wire as wire
real = wire.Body.readinto
def readinto(self, buffer):
    global open_then
    open_then = left()
    if open_then[1]:
        wire.Body.readinto = real
        raise KeyboardInterrupt
    return real(self, buffer)
wire.Body.readinto = readinto
try:
    u.run(reset=False)
except KeyboardInterrupt:
    pass
""",
    "a callback that raises": """
def stop(event, detail):
    global open_then
    if event == "found":
        open_then = left()[0], 1
        raise ValueError("mine")
u._on_event = stop
try:
    u.run(reset=False)
except ValueError:
    pass
""",
    "a cancelled task": """
import asyncio
async def main():
    global open_then
    task = asyncio.create_task(u.run_async(reset=False))
    for _ in range(8):
        await asyncio.sleep(0)
    open_then = left()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
asyncio.run(main())
""",
    "the watch of a task": """
import asyncio
import ota.watch
ota.watch.getrandbits = lambda n: 0
async def main():
    global open_then
    task = asyncio.create_task(ota.watch.Watch(u, 0).run_async(reset=False))
    for _ in range(9):
        await asyncio.sleep(0)
    open_then = left()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
asyncio.run(main())
""",
    "safe mode": """
import ota.guard
def feed():
    global open_then
    open_then = left()
    if open_then[1]:
        raise ValueError("the application's own dog")
ota.guard.feed = feed
try:
    ota.guard._safe_mode("app", lambda: u, 0, 1)
except ValueError:
    pass
""",
}


@needs("nginx")
@pytest.mark.parametrize("stop", STOPS)
def test_a_run_that_is_stopped_leaves_no_file_and_no_socket_open(servers, tmp_path, stop):
    """Nothing is left to the collector, which is off; the threshold of the collector is the application's."""
    (tmp_path / "www").mkdir()
    (tmp_path / "2").rename(tmp_path / "www/two")
    release(tmp_path / "www/two", V2, seq=2, version="v2")
    with nginx(tmp_path, "listen 127.0.0.1:{port};") as port:
        facts = told_by(
            BOARD + OVER_HTTP + "gc.collect()\ngc.disable()\ngc.threshold(76800)\n" + STOPS[stop] + """
tell(then=open_then, now=left(), threshold=gc.threshold())
gc.enable()
tell(ready=over().run(reset=False))
""",
            servers[0],
            servers[0],
            f"http://127.0.0.1:{port}/two",
        )  # fmt: skip
    assert min(facts["then"]) > 0, "something was open"
    assert facts["now"] == [0, 0]
    assert facts["threshold"] == 76800 and facts["ready"] is True


def test_between_two_steps_the_threshold_of_the_collector_is_the_applications(servers):
    """Also of a run that is dropped there, since nothing runs after that."""
    facts = told_by(
        BOARD
        + """
fresh(first(Sha256Verifier))
gc.threshold(51200)
inside, between = set(), set()
u = made(Sha256Verifier, on_event=lambda *event: inside.add(gc.threshold()))
steps = u.steps()
for n in range(5):
    next(steps)
    between.add(gc.threshold())
    gc.threshold(51200 + 32 * n)     # which the application may change
steps = None
tell(inside=sorted(inside), between=sorted(between), dropped=gc.threshold())
""",
        *servers,
    )
    assert 51200 not in facts["inside"] and facts["between"] == [51200, 51232, 51264, 51296]
    assert facts["dropped"] == 51328


def test_a_callback_cannot_begin_another_run_and_its_own_goes_on(servers):
    facts = told_by(
        BOARD
        + """
fresh(first(Sha256Verifier))
said = []
u = made(Sha256Verifier, on_event=lambda *event: said.append(error(made(Sha256Verifier).check)))
tell(ready=u.run(reset=False), said=sorted(set(said)))
""",
        *servers,
    )
    assert facts["ready"] is True
    assert facts["said"] == ["StorageError: flash: ValueError: generator already executing"]
