"""Files that come as deltas or zlib streams, and large ones that come in parts: always the right bytes, or whole."""

import hashlib
import json
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from servers import nginx, requests
from strategies import revisions
from support import delta, packed, release
from test_updater import board as small_board

from ota.errors import HashError
from ota.patch import Inflater, patched, whole

OLD = {"boot.py": b"boot", "main.py": b"".join(b"line %d = %d\n" % (i, i * i) for i in range(900)), "same.py": b"same" * 99}
NEW = {
    "boot.py": b"boot",
    "main.py": OLD["main.py"].replace(b"line 400 ", b"LINE 400 and more ") + b"the end\n",
    "new.py": b"".join(b"x%d = 'of a new file'\n" % i for i in range(700)),
    "same.py": b"same" * 99,
}


def board(script, *args):
    return small_board(script, *args, heap="8M")  # the whole tree is told as one text


@pytest.fixture
def servers(tmp_path):
    release(tmp_path / "one", OLD)
    release(tmp_path / "two", NEW, version="v1.0.1", seq=2, before=OLD)
    return tmp_path / "one", tmp_path / "two"


COUNTED = """
flash = power_up()
install(ARGS[0])
asked = []
from ota.transports.sd import SdTransport
def _open(self, name, start=0, etag=None, _really=SdTransport._open):
    inner = _really(self, name, start, etag)
    asked.append([name, inner.size - start])
    return inner
SdTransport._open = _open
"""


def test_a_changed_file_comes_as_its_delta_and_a_new_one_as_its_zlib_stream(servers):
    facts = board(COUNTED + "install(ARGS[1])\ntell(asked=asked, tree=ramflash.tree())", *servers)
    assert facts["tree"] == {p: d.decode() for p, d in NEW.items()}
    names = [name for name, _ in facts["asked"]]
    old, new = (hashlib.sha256(files["main.py"]).hexdigest()[:16] for files in (OLD, NEW))
    digest = hashlib.sha256(NEW["new.py"]).hexdigest()
    assert names == ["stable.manifest", f"deltas/{old}-{new}", f"blobs/{digest[:2]}/{digest}.z"]
    assert sum(size for _, size in facts["asked"][1:]) < len(NEW["new.py"]) // 3


def damage(server, what):
    for path in server.glob("deltas/*" if what == "delta" else "blobs/*/*.z"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize(
    "script, what",
    [
        pytest.param("", "delta", id="a delta with a wrong byte"),
        pytest.param("", "z", id="a zlib stream with a wrong byte"),
        pytest.param("data = ramflash.read('main.py')\nramflash.write('main.py', data[:99] + b'#' + data[100:])", "", id="a base that the application changed"),
        pytest.param("for n in os.listdir(ARGS[1] + '/deltas'): os.remove(ARGS[1] + '/deltas/' + n)", "", id="a delta that is gone"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_fetched_whole(servers, script, what):
    """Once; the install ends in the right bytes, and the fallback is told."""
    if what:
        damage(servers[1], what)
    facts = board(COUNTED + script + "\ninstall(ARGS[1])\ntell(events=EVENTS and [e[0] for e in EVENTS], tree=ramflash.tree())", *servers)
    assert facts["tree"] == {p: d.decode() for p, d in NEW.items()}
    assert facts["events"].count("fallback") == 1


def test_when_no_form_has_the_right_bytes_nothing_is_installed(servers):
    for path in [*servers[1].glob("blobs/*/*"), *servers[1].glob("deltas/*")]:
        if len(path.read_bytes()) > 40:
            data = path.read_bytes()
            path.write_bytes(data[:-9] + bytes(9))
    facts = board(
        COUNTED + "tell(said=error(updater(ARGS[1]).run, reset=False), asked=asked, tree=ramflash.tree(), phase=status()['phase'])",
        *servers,
    )
    assert facts["said"].startswith("HashError: main.py: sha256 is ")
    assert len(facts["asked"]) == 4, "the manifest, the delta, the zlib stream, the whole"
    assert {p: d.encode() for p, d in facts["tree"].items()} == OLD


def test_a_board_without_room_for_the_window_takes_the_whole_file(servers):
    """And so does one whose firmware has no deflate."""
    script = """
import ota.patch
def no(stream):
    raise MemoryError
ota.patch.Inflater = no
install(ARGS[1])
tell(tree=ramflash.tree())
"""
    assert board(COUNTED + script, *servers)["tree"] == {p: d.decode() for p, d in NEW.items()}
    script = """
import sys
class Gone:
    def __getattr__(self, name):
        raise ImportError(name)
sys.modules["deflate"] = Gone()
sys.modules["zlib"] = Gone()
install(ARGS[1])
tell(tree=ramflash.tree())
"""
    assert board(COUNTED + script, *servers)["tree"] == {p: d.decode() for p, d in NEW.items()}


def run(packed_form, size, old=None):
    """What the board's code makes of a packed form, on CPython."""
    import io

    source = Inflater(io.BytesIO(packed_form))
    buffer = memoryview(bytearray(64))
    pieces = whole(source, size, buffer) if old is None else patched(io.BytesIO(old), source, size, buffer)
    return b"".join(map(bytes, pieces))


@given(revisions)
@settings(max_examples=60, deadline=None)
def test_a_delta_gives_back_what_it_was_made_of(pair):
    old, new = pair
    if new:  # what is empty comes whole
        assert run(delta(old, new), len(new), old) == new
    assert run(packed(new), len(new)) == new


def numbers(*values):
    out = bytearray()
    for n in values:
        rest = abs(n)
        out.append(rest & 63 | (64 if n < 0 else 0))
        rest >>= 6
        while rest:
            out[-1] |= 128
            out.append(rest & 127)
            rest >>= 7
    return bytes(out)


@pytest.mark.parametrize(
    "form, size, old, message",
    [
        (packed(bytes(1 << 20)), 100, None, "unpacks to more than it should"),
        (packed(b"short"), 100, None, "unpacks to 95 bytes less than it should"),
        (packed(random.Random(1).randbytes(3000))[:-700], 3000, None, "not a zlib stream"),
        (b"<html>no stream", 100, None, "not a zlib stream"),
        (packed(numbers(0, 1 << 32, 0)), 100, b"old", "delta begins with [0, 4294967296, 0], not with 0, 100, 0"),
        (packed(numbers(0, 100, 0, 1 << 32)), 100, b"old", "delta has 4294967296 bytes where 100 are left"),
        (packed(numbers(0, 100, 0, -5)), 100, b"old", "delta has -5 bytes where 100 are left"),
        (packed(numbers(0, 100, 0) + b"\xff" * 99), 100, b"old", "delta has a number of over 5 bytes"),
        (packed(numbers(0, 100, 0, 100) + bytes(100)), 100, b"old", "delta or its base is cut short"),
        (packed(numbers(0, 3, 0, 3) + bytes(3) + numbers(0, 0) + b"more"), 3, b"old", "delta goes on after its end"),
        (packed(numbers(0, 100)), 100, b"old", "delta is cut short"),
    ],
)
def test_a_packed_form_that_lies_is_refused_with_a_bounded_amount_of_work(form, size, old, message):
    with pytest.raises(HashError) as e:
        run(form, size, old)
    assert str(e.value).startswith(message)


def test_a_stream_of_empty_blocks_is_refused_though_it_never_ends():
    """Stored blocks of no bytes: the window never holds enough of them for a byte of output."""
    blocks = b"\x48\x89" + struct.pack("<BHH", 0, 0, 0xFFFF) * 2000
    facts = board(
        """
import io
from ota.patch import Inflater, whole
tell(said=error(lambda: list(whole(Inflater(io.BytesIO(bytes.fromhex(ARGS[0]))), 9, memoryview(bytearray(64))))))
""",
        blocks.hex(),
    )
    assert facts["said"].startswith("HashError: ")
    assert zlib.decompressobj(12).decompress(blocks) == b""


BIG = {"big.bin": random.Random(7).randbytes(300_000), "boot.py": b"boot"}


def test_a_large_file_goes_on_where_the_power_failed(tmp_path):
    """What was closed on flash, up to 64 KB at a time, is not fetched again; the rest comes by Range."""
    release(tmp_path / "www", BIG)
    with nginx(tmp_path, "listen 127.0.0.1:{port};") as port:
        facts = board(
            """
from ota.transports.http import HttpTransport
from ota.updater import Updater
from ota.storage import suitable
flash = power_up(blocks=160)
def http():
    return Updater(HttpTransport(ARGS[0]), storage=suitable("/flash/"))
for path, done, size in http().steps():
    if path == "big.bin" and done and done > 200000:
        break  # the power fails: nothing of the open file is on flash yet
image = bytes(flash.image)
os.chdir("/")
ramflash.vfs.umount("/flash")
flash = ramflash.Flash(image=bytearray(image))
ramflash.mount(flash)
there = os.stat("big.bin.ota-new")[6]
ready = http().run(reset=False)
boot(2)
confirm()
import hashlib
tell(there=there, ready=ready, digest=hashlib.sha256(ramflash.read("big.bin")).digest().hex())
""",
            f"http://127.0.0.1:{port}",
        )
        asked = requests(tmp_path)
    # Each time at the end of the last block of littlefs that 64 KB fill, less its pointers.
    assert 3 * (65536 - 4096) < facts["there"] <= 3 * 65536
    assert facts["digest"] == hashlib.sha256(BIG["big.bin"]).hexdigest()
    assert [status for _, _, path, status, _ in asked if "blobs" in path].count("206") == 1


@pytest.mark.parametrize("safe", [16384, 65536])
def test_a_large_file_that_is_closed_now_and_then_erases_no_block_more(tmp_path, safe):
    """littlefs copies a last block that is not full when a file goes on in it: so it is closed at a block's end."""
    release(tmp_path, BIG)
    facts = board(
        """
told = {}
for safe in (int(ARGS[1]), 1 << 20):
    flash = power_up(blocks=160)
    u = updater(ARGS[0])
    u.safe = safe
    before = flash.erased
    u.run(reset=False)
    told[str(safe)] = flash.erased - before
    ramflash.umount(flash)
tell(erased=told)
""",
        tmp_path,
        safe,
    )
    once = facts["erased"][str(1 << 20)]
    assert 300_000 < once <= facts["erased"][str(safe)] <= once + 2 * 4096  # what is closed is noted in the folder's list


def test_a_large_file_whose_start_is_wrong_is_fetched_whole(tmp_path):
    """The application wrote into what was staged: the hash says so, and nothing of it is kept."""
    release(tmp_path / "www", BIG)
    facts = board(
        """
flash = power_up(blocks=160)
steps = updater(ARGS[0]).steps()
for path, done, size in steps:
    if path == "big.bin" and done and done > 200000:
        break
steps.close()
ramflash.umount(flash)
ramflash.mount(flash)
ramflash.write("big.bin.ota-new", bytes(100000))
install(ARGS[0])
import hashlib
tell(digest=hashlib.sha256(ramflash.read("big.bin")).digest().hex(), fell=[e[0] for e in EVENTS].count("fallback"))
""",
        tmp_path / "www",
    )
    assert facts == {"digest": hashlib.sha256(BIG["big.bin"]).hexdigest(), "fell": 1}


def test_the_keys_of_smaller_forms_are_checked(tmp_path):
    """A size that is no number, a base that is no hash: the manifest is refused."""
    for key, value in (("z", -1), ("d", {"short": 5}), ("d", {"0" * 16: "5"})):
        release(tmp_path / key, OLD)
        path = tmp_path / key / "stable.manifest"
        head, first, rest = path.read_text().split("\n", 2)
        path.write_text("\n".join([head, json.dumps({**json.loads(first), key: value}), rest]))
        said = board("power_up()\ntell(said=error(updater(ARGS[0]).run, reset=False))", tmp_path / key)["said"]
        assert said.startswith("ManifestError: manifest: ")
