"""All of our plug-ins keep the contract that we ask of others."""

import functools
import http.server
import ssl
import threading

import pytest
import trustme

from ota import (
    FlashStorage,
    HttpsTransport,
    HttpTransport,
    LittlefsStorage,
    NoneVerifier,
    SdTransport,
    Sha256Verifier,
)
from ota.errors import OtaError, TransportError
from ota.transports import Transport
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
            threading.Thread(target=server.serve_forever, daemon=True).start()
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
    for error in (status(403), OtaError("odd")):
        shaky.asked.clear()
        shaky.errors = [error]
        with pytest.raises(OtaError):
            shaky.open("x")
        assert shaky.asked == ["x"]
