"""What a verified TLS connection costs, and what a signature costs, on the emulated Pico W and on the unix port.

    python bench/crypto.py [--signatures] [RESULT.json]

The Pico W runs its unmodified firmware; its times are the chip's own, which the emulator counts, and its heap is what
`gc` tells there. "held" is what an open connection keeps. "peak" is the least free heap, in one piece, with which the
thing works and takes at most twice its time, in steps of 1 KB or more (TLS: 2 KB); "tried" are the steps, with the
milliseconds of each. An application, and a heap that is in pieces, come on top. The library is there as .mpy, and its
code is loaded before anything is measured. The figures of the unix port are of the whole heap, code included. Takes
about ten minutes; with --signatures, which leaves TLS out, about four.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
import trustme  # noqa: E402
from certificates import KEYS, context, der  # noqa: E402
from on_pico import pico_with_library  # noqa: E402
from servers import Wire  # noqa: E402
from support import MICROPYTHON  # noqa: E402

from ota_host.library import Form  # noqa: E402
from ota_host.library import files as library_files  # noqa: E402
from ota_host.boards import WIFI_BOOT  # noqa: E402
from ota_host.mpy import compile_all  # noqa: E402

DIGEST = bytes(range(32))
HEADER = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000)
FULL = """
import gc, time
holder = [None] * 2000
def works(f, room):
    # The ms that f takes with `room` bytes of heap in one piece, None when that is too little.
    gc.collect()
    space = bytearray(room)
    n = 0
    try:
        for size in (1024, 64, 16):
            try:
                while True:
                    holder[n] = bytearray(size)
                    n += 1
            except MemoryError:
                pass
        del space
        gc.collect()
        try:
            began = time.ticks_ms()
            f()
            return time.ticks_diff(time.ticks_ms(), began)
        except Exception as e:
            last.append(repr(e))
    finally:
        for i in range(n):
            holder[i] = None
        gc.collect()
last = []
def least(f, ms, rooms):
    # The last of `rooms`, from much to little, in which f works and takes at most twice its time, `ms`; and what each took.
    best = None
    each = []
    for room in rooms:
        took = works(f, room)
        each.append([room, took])
        if took is None or took > 4 * ms + 20:
            break
        if took <= 2 * ms + 20:
            best = room
    return {"ms": ms, "peak": best, "tried": each}
def timed(f):
    gc.collect()
    began = time.ticks_us()
    f()
    return time.ticks_diff(time.ticks_us(), began) / 1000
"""
SIGNATURES = """
import json
from binascii import a2b_base64
from ota.verifiers.signature import SignatureVerifier
for alg, (key, name, sig) in json.load(open("signatures.json")).items():
    def check():
        v = SignatureVerifier([key])
        v.begin(None, "stable", {})
        v.authenticate(bytes(range(32)) if alg != "HS256" else b"", [{"key": name, "alg": alg, "sig": sig}], {})
    check()
    ms = timed(check)
    rooms = [kb * 1024 for kb in (32, 24, 16, 12, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)]
    print(json.dumps([alg, least(check, ms, rooms)]))
"""
TLS = """
import json
from ota.transports.http import HttpTransport
from ota.transports.https import HttpsTransport
buffer = memoryview(bytearray(1000))
def fetch():
    global t, held
    t = make()
    s = t.open("x")
    if measure:
        gc.collect()
        held = gc.mem_alloc() - before
    while s.readinto(buffer):
        pass
    s.close()
    t.close()
    t = None
def http():
    return HttpTransport("http://localhost:%d" % PORTS["http"], retries=0, timeout=60)
def rsa():
    return HttpsTransport("https://localhost:%d" % PORTS["rsa"], ca="rsa.der", retries=0, timeout=60)
def ec():
    return HttpsTransport("https://localhost:%d" % PORTS["ec"], ca="ec.der", retries=0, timeout=60)
for make, most, step in ((http, 8192, 1024), (rsa, 38912, 2048), (ec, 38912, 2048)):
    measure = True
    gc.collect()
    before = gc.mem_alloc()
    took = timed(fetch)
    measure = False
    del last[:]
    told = least(fetch, took, range(most, 0, -step))
    told.update({"held": held, "free": gc.mem_free(), "fails": sorted(set(last))})
    print(json.dumps([make.__name__, told]))
"""


def signatures():
    """{algorithm: (board key, its id, a signature over DIGEST in Base64)}"""
    import base64
    import hmac
    from hashlib import sha256

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

    prehashed = Prehashed(hashes.SHA256())
    key = rsa.generate_private_key(65537, 3072)
    made = {"RS256": (key.public_key().public_numbers().n.to_bytes(384, "big"), key.sign(DIGEST, padding.PKCS1v15(), prehashed))}
    key = ec.generate_private_key(ec.SECP256R1())
    at = key.public_key().public_numbers()
    r, s = decode_dss_signature(key.sign(DIGEST, ec.ECDSA(prehashed)))
    made["ES256"] = (at.x.to_bytes(32, "big") + at.y.to_bytes(32, "big"), r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    secret = os.urandom(32)
    made["HS256"] = (secret, hmac.digest(secret, b"", "sha256"))
    return {
        alg: (
            f"{alg}:{base64.b64encode(raw).decode()}",
            sha256(alg.encode() + raw).hexdigest()[:16],
            base64.b64encode(sig).decode(),
        )
        for alg, (raw, sig) in made.items()
    }


def pico(folder, signed, tls=True):
    """The figures of the Pico W: {name: {"ms", "peak", "held", "tried"}} in milliseconds and bytes."""
    authority = {kind: trustme.CA(key_type=KEYS[kind]) for kind in KEYS}
    files = {f"{kind}.der": der(ca) for kind, ca in authority.items()}
    files["signatures.json"] = json.dumps(signed).encode()
    with contextlib.ExitStack() as stack:
        board = stack.enter_context(pico_with_library(folder / "flash.img", files))
        told = board.exec(FULL + SIGNATURES, timeout=2400)
        print(told, end="", file=sys.stderr, flush=True)
        if tls:
            ports = {"http": stack.enter_context(Wire(HEADER)).port}
            for kind, ca in authority.items():
                chain = context(ca.issue_cert("localhost", key_type=KEYS[kind]))
                ports[kind] = stack.enter_context(Wire(HEADER, tls=chain)).port
            clock = "import machine\nmachine.RTC().datetime((2026, 1, 1, 3, 0, 0, 0, 0))\n"
            more = board.exec(WIFI_BOOT + clock + FULL + f"PORTS = {ports}\n" + TLS, timeout=2400)
            print(more, end="", file=sys.stderr)
            told += more
    return dict(map(json.loads, told.splitlines()))


CHECK = b"""
import time
from ota.verifiers.signature import SignatureVerifier
with open("signed") as f:
    alg, key, name, sig = f.read().split()
for _ in range(2):  # the first one loads code
    began = time.ticks_us()
    v = SignatureVerifier([key])
    v.begin(None, "stable", {})
    digest = bytes(range(32)) if alg != "HS256" else b""
    v.authenticate(digest, [{"key": name, "alg": alg, "sig": sig}], {})
print(time.ticks_diff(time.ticks_us(), began) / 1000)
"""


def unix(folder, signed):
    """The figures of the unix port: {algorithm: {"ms", "smallest_heap", "mpy_bytes"}}; the heap is the whole one."""
    library = library_files(Form.MPY)
    programs = compile_all({"check.py": CHECK, "nothing.py": b"print(0)"})
    files = {"lib/" + path: data for path, data in library.items()}
    for path, data in (files | {path[:-2] + "mpy": code for path, code in programs.items()}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    def run(heap, program="check"):
        # A compiled module, so that the compiler is not part of the heap.
        command = [str(MICROPYTHON), "-X", f"heapsize={heap}", "-m", program]
        env = dict(os.environ, MICROPYPATH=f"{folder}:{folder}/lib:.frozen")
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)

    def smallest(program):
        low, high = 1024, 65536
        while high - low > 256:
            middle = (low + high) // 2
            low, high = (low, middle) if run(middle, program).returncode == 0 else (middle, high)
        return high

    figures = {"nothing": {"smallest_heap": smallest("nothing")}}
    for alg, (key, name, sig) in signed.items():
        (folder / "signed").write_text(" ".join((alg, key, name, sig)))
        figures[alg] = {
            "ms": min(float(run("1M").stdout) for _ in range(9)),
            "smallest_heap": smallest("check"),
            "mpy_bytes": len(library[f"ota/verifiers/{alg.lower()}.mpy"]),
        }
    figures["SignatureVerifier"] = {"mpy_bytes": len(library["ota/verifiers/signature.mpy"])}
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signatures", action="store_true", help="leave TLS out")
    parser.add_argument("result", nargs="?", type=pathlib.Path, help="a file for the figures as well")
    options = parser.parse_args()
    signed = signatures()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        figures = {"unix": unix(folder, signed), "pico_w": pico(folder, signed, not options.signatures)}
    text = json.dumps(figures, indent=1)
    print(text)
    if options.result:
        options.result.write_text(text + "\n")


if __name__ == "__main__":
    main()
