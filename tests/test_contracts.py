"""All of our plug-ins keep the contract that we ask of others."""

import functools
import http.server
import os
import re
import ssl
import subprocess
import sys
import threading
import time

import pytest
import trustme
from support import ROOT

from ota import (
    FlashStorage,
    HttpsTransport,
    HttpTransport,
    LittlefsStorage,
    NoneVerifier,
    SdTransport,
    Sha256Verifier,
)
from ota.errors import (
    NoSpaceError,
    NotFoundError,
    NotModified,
    OtaError,
    SignatureError,
    StorageError,
    TransportError,
)
from ota.transports import Transport
from ota.verifiers import Verifier
from ota_host.testing import (
    MemoryTransport,
    StorageContract,
    TransportContract,
    VerifierContract,
    read_all,
)


def write_objects(folder, objects):
    for name, data in objects.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


class TestMemoryTransport(TransportContract):
    def transport(self, objects):
        return MemoryTransport(objects)


class TestSdTransport(TransportContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path

    def transport(self, objects):
        return SdTransport(write_objects(self.path, objects))


class TestHttpTransport(TransportContract):
    """Against a server that knows neither Range nor ETag: the least that there is."""

    tls = None

    @pytest.fixture(autouse=True)
    def server(self, tmp_path):
        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

        handler = functools.partial(Handler, directory=str(tmp_path))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            if self.tls:
                server.socket = self.tls.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self.path, self.port = tmp_path, server.server_port
            yield
            server.shutdown()

    def transport(self, objects):
        write_objects(self.path, objects)
        return HttpTransport("http://127.0.0.1:%d" % self.port)


class TestHttpsTransport(TestHttpTransport):
    """The same over verified TLS."""

    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)

    def transport(self, objects):
        write_objects(self.path, objects)
        ca = ssl.PEM_cert_to_DER_cert(self.authority.cert_pem.bytes().decode())
        return HttpsTransport("https://localhost:%d" % self.port, ca=ca)


class TestLittlefsStorage(StorageContract):
    def storage(self, folder):
        return LittlefsStorage(folder)


class TestFlashStorage(StorageContract):
    def storage(self, folder):
        return FlashStorage(folder)

    def test_a_cut_between_the_two_steps_of_replace_brings_the_old_file_back(self, it):
        """The old file lies beside its name: the next look at the name finds it."""
        self.put(it, "a.ota-old", b"old")
        self.put(it, "a.new", b"new")
        assert it.size("a") == 3
        assert self.get(it, "a") == b"old"


class TestSha256Verifier(VerifierContract):
    def verifier(self):
        return Sha256Verifier()


class TestNoneVerifier(VerifierContract):
    def verifier(self):
        return NoneVerifier()


def test_a_plug_in_that_raises_anything_gives_a_transport_error():
    """While opening and while reading: nothing of another kind gets out."""

    class Bad:
        size = None

        def readinto(self, buffer):
            raise KeyError("from a library")

        def close(self):
            raise OSError(9)

    class BadTransport(Transport):
        retries = 5
        asked = 0

        def _open(self, name, start=0, etag=None):
            self.asked += 1
            if name == "open":
                return {}[name]
            return Bad()

    bad = BadTransport()
    with pytest.raises(TransportError, match="^open: KeyError"):
        bad.open("open")
    assert bad.asked == 1
    with pytest.raises(TransportError, match="x broke off at 0: KeyError"):
        bad.open("x").readinto(bytearray(1))
    bad.open("x").close()


def test_a_hook_that_has_nothing_yet_does_not_end_the_body():
    """A socket that does not block gives None: that is not the end of an object without a size."""

    class Early(Transport):
        def _open(self, name, start=0, etag=None):
            return self

        def readinto(self, buffer):
            return None

    with pytest.raises(TransportError, match="x broke off at 0: TypeError"):
        Early().open("x").readinto(bytearray(1))


@pytest.mark.parametrize(
    ("faults", "message"),
    [({"short_by": 1}, "ended at 9 of 10 bytes"), ({"drop_at": 4}, "broke off at 4")],
)
def test_a_body_that_does_not_come_whole_is_always_an_error(faults, message):
    with pytest.raises(TransportError, match=message):
        read_all(MemoryTransport({"x": b"0123456789"}, **faults).open("x"))


def test_an_endless_body_of_unknown_size_is_cut_at_the_limit():
    class Endless(Transport):
        def _open(self, name, start=0, etag=None):
            return self

        def readinto(self, buffer):
            return len(buffer)

    with pytest.raises(TransportError, match="longer than the limit of 5000 bytes"):
        read_all(Endless().open("x", limit=5000))


def test_a_server_slower_than_the_floor_is_given_up(monkeypatch):
    """The clock is turned on: after the grace a byte now and then is not enough."""
    import ota.transports as base

    clock = iter(range(0, 10_000_000, 5_000))
    monkeypatch.setattr(base, "ticks_ms", lambda: next(clock))

    class Slow(Transport):
        def _open(self, name, start=0, etag=None):
            return self

        def readinto(self, buffer):
            return 1

    with pytest.raises(TransportError, match="x comes at 0 bytes a second, the limit is 50"):
        read_all(Slow().open("x"))


def test_the_pauses_of_the_application_do_not_make_a_server_slow(monkeypatch):
    """Only what `readinto` takes counts: `steps()` may be driven as slowly as one likes."""
    import ota.transports as base

    now = [0]
    monkeypatch.setattr(base, "ticks_ms", lambda: now[0])
    stream = MemoryTransport({"x": bytes(100)}).open("x")
    for _ in range(100):
        now[0] += 60_000
        assert stream.readinto(bytearray(1)) == 1
    assert stream.readinto(bytearray(1)) == 0


def test_a_slow_server_can_be_played():
    """The fake's `slow` and the transport's own `floor` and `grace_s`."""
    slow = MemoryTransport({"x": bytes(100)}, slow=0.02)
    slow.floor, slow.grace_s = 1000, 0.1
    with pytest.raises(TransportError, match="bytes a second, the limit is 1000"):
        read_all(slow.open("x"))
    slow.floor = 1
    assert read_all(slow.open("x")) == bytes(100)


def test_open_tries_again_after_an_error_that_may_pass_and_only_then():
    """Two refusals and a success; a 404 and a 403 are asked for once."""

    class Shaky(MemoryTransport):
        retries = 2
        errors = []

        def _open(self, name, start=0, etag=None):
            self.asked.append(name)
            if self.errors:
                raise self.errors.pop(0)
            return super()._open(name, start, etag)

    def status(n):
        error = TransportError("status %d" % n)
        error.status = n
        return error

    shaky = Shaky({"x": b"1"})
    shaky.errors = [OSError(111), status(503)]
    assert read_all(shaky.open("x")) == b"1"
    shaky.errors = [status(429)]
    assert read_all(shaky.open("x")) == b"1"
    for error in (status(403), OtaError("odd")):
        shaky.asked.clear()
        shaky.errors = [error]
        with pytest.raises(OtaError):
            shaky.open("x")
        assert shaky.asked == ["x"]


def test_the_pauses_double_and_are_drawn_at_random_below_their_limit(monkeypatch):
    """So that boards that lost their server together do not come back together."""
    import ota.transports as base

    pauses = []
    monkeypatch.setattr(base.time, "sleep", pauses.append)

    class Down(Transport):
        retries = 9
        backoff_ms = 1000

        def _open(self, name, start=0, etag=None):
            raise OSError(111)

    for drawn, share in ((1023, 0.999), (512, 0.5), (0, 0)):
        pauses.clear()
        monkeypatch.setattr(base, "getrandbits", lambda n, drawn=drawn: drawn)
        with pytest.raises(TransportError, match="^x: "):
            Down().open("x")
        limits = [1, 2, 4, 8, 16, 30, 30, 30, 30]
        assert pauses == pytest.approx([limit * share for limit in limits], rel=0.01)
    monkeypatch.undo()
    assert time.sleep is base.time.sleep


def test_a_stream_that_is_refused_is_closed():
    """By its size, its etag or its end: the connection under it is not left behind."""

    class Counted(Transport):
        size, etag, start, closed = 10, '"1"', 0, 0

        def _open(self, name, start=0, etag=None):
            return self

        def readinto(self, buffer):
            return 0

        def close(self):
            self.closed += 1

    it = Counted()
    for options in ({"limit": 9}, {"start": 3, "etag": '"2"'}, {"start": 3}):
        with pytest.raises(TransportError):
            it.open("x", **options)
    assert it.closed == 3


def test_more_bytes_than_were_told_are_an_error():
    class More(Transport):
        size = 10

        def _open(self, name, start=0, etag=None):
            return self

        def readinto(self, buffer):
            return 11

    with pytest.raises(TransportError, match="x ended at 11 of 10 bytes"):
        More().open("x").readinto(bytearray(20))


def test_a_card_says_what_is_new_by_content_and_nothing_of_blobs(tmp_path):
    """Times on a card are wrong while no clock is set; to hash a blob twice would only cost."""
    path = tmp_path / "stable.manifest"
    path.write_bytes(b"1")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "ab").write_bytes(b"2")
    card = SdTransport(tmp_path)
    etag = card.open("stable.manifest").etag
    path.write_bytes(b"1")
    with pytest.raises(NotModified):
        card.open("stable.manifest", etag=etag)
    path.write_bytes(b"3")
    assert read_all(card.open("stable.manifest", etag=etag)) == b"3"
    assert card.open("blobs/ab").etag is None


def test_a_card_that_cannot_be_read_is_not_a_file_that_is_not_there(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TransportError, match="file/below: Not a directory") as caught:
        SdTransport(tmp_path).open("file/below")
    assert not isinstance(caught.value, NotFoundError)


class Refusing(LittlefsStorage):
    """A file system that answers everything with one error."""

    errno = 0

    def _no(self, *args):
        raise OSError(self.errno, "no")

    _open = _replace = _remove = _size = _list = _mkdir = _free = _no


CALLS = {
    "open": ("lib/a", "rb"),
    "replace": ("lib/a", "lib/b"),
    "remove": ("lib/a",),
    "size": ("lib/a",),
    "list": ("lib",),
    "mkdir": ("lib",),
    "free": (),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("errno", "kind"), [(28, NoSpaceError), (5, StorageError), (30, StorageError)])
def test_what_the_file_system_refuses_is_an_error_of_ours_that_names_the_path(call, errno, kind):
    it = Refusing("root")
    it.errno = errno
    with pytest.raises(StorageError, match="lib" if CALLS[call] else "root") as caught:
        getattr(it, call)(*CALLS[call])
    assert type(caught.value) is kind


def test_replace_on_fat_is_not_stopped_by_what_a_cut_left(tmp_path):
    """FAT does not rename over a file: nothing may be in the way of the copy that is put aside."""

    class Fat(FlashStorage):
        pass

    for name in ("a", "a.new", "a.ota-old"):
        (tmp_path / name).write_text(name)
    Fat(str(tmp_path)).replace("a.new", "a")
    assert (tmp_path / "a").read_text() == "a.new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [KeyError("key"), TypeError("a"), ValueError("b"), IndexError("c")], ids=repr)
def test_signatures_of_any_shape_are_refused_and_not_a_crash(error):
    class Fragile(Verifier):
        def _authenticate(self, digest, signatures, header):
            raise error

    with pytest.raises(SignatureError, match="signatures of v1.0.0: "):
        Fragile().authenticate(b"", [], {"version": "v1.0.0"})


def test_only_none_verifier_goes_without_a_hash():
    assert NoneVerifier().hasher() is None
    assert Sha256Verifier().hasher() is not None


BROKEN = '''
from hashlib import md5
from ota import SdTransport, LittlefsStorage, Sha256Verifier
from ota_host.testing import *
from ota_host.testing import _Object
import pytest

class Base(TransportContract):
    def transport(self, objects):
        return self.Broken(objects)

class TestNeverNotModified(Base):
    class Broken(MemoryTransport):
        def _open(self, name, start=0, etag=None):
            return super()._open(name, start)

class TestIgnoresStart(Base):
    class Broken(MemoryTransport):
        def _open(self, name, start=0, etag=None):
            return super()._open(name, 0, etag)

class TestMissingIsEmpty(Base):
    class Broken(MemoryTransport):
        def _open(self, name, start=0, etag=None):
            return _Object(self.objects.get(name, b""), start, None, self)

class TestShort(Base):
    class Broken(MemoryTransport):
        def __init__(self, objects):
            super().__init__(objects, short_by=1)

class TestOverridesOpen(Base):
    class Broken(MemoryTransport):
        def open(self, name, start=0, etag=None, limit=None):
            return self._open(name, start, etag)

class Files(StorageContract):
    def storage(self, folder):
        return self.Broken(folder)

class TestKeepsSource(Files):
    class Broken(LittlefsStorage):
        def _replace(self, src, dst):
            import shutil
            shutil.copy(self.root + src, self.root + dst)

class TestFoldersHaveSizes(Files):
    class Broken(LittlefsStorage):
        def _size(self, path):
            import os
            return os.stat(self.root + path).st_size if os.path.exists(self.root + path) else None

class TestFull(Files):
    class Broken(LittlefsStorage):
        def _free(self):
            return 0

class TestWeakHash(VerifierContract):
    def verifier(self):
        class Broken(Sha256Verifier):
            def _hasher(self):
                return md5()
        return Broken()

class TestTakesAll(VerifierContract):
    def verifier(self):
        return Sha256Verifier()
    def forged(self):
        return bytes(32), [{"sig": "x"}], {"version": "v1"}
'''


def test_the_kits_find_each_of_these_broken_plug_ins(tmp_path):
    (tmp_path / "test_broken.py").write_text(BROKEN)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rf", "test_broken.py"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True).stdout
    found = {line.split("::")[1] for line in told.splitlines() if line.startswith("FAILED")}
    assert found == set(re.findall(r"^class (Test\w+)", BROKEN, re.M)), told[-2000:]
