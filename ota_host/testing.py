"""For authors of plug-ins and of applications: fakes, and the contract that each plug-in keeps.

A kit is a class of pytest tests. Subclass it, write the one method that makes your plug-in,
and pytest runs the contract against it:

    class TestMyTransport(TransportContract):
        def transport(self, objects):
            return MyTransport(...)     # serves `objects`, {name: bytes}
"""

import io
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ota.errors import (
    NotFoundError,
    NotModified,
    SignatureError,
    StorageError,
    TransportError,
)
from ota.storage import Storage
from ota.transports import Stream, Transport
from ota.verifiers import Verifier

from .proof.release import prove_release

__all__ = ["MemoryTransport", "StorageContract", "TransportContract", "VerifierContract", "prove_release"]


class MemoryTransport(Transport):
    """A server that is a dict, `objects` ({name: bytes}), with faults on demand.

    Args:
        drop_at (int): break the link after so many bytes of every object.
        short_by (int): end every object so many bytes early, as if it were whole.
        slow (float): seconds that each byte takes.
        page (bytes): answer every request with this, as a captive portal does.

    `asked` lists the names that were asked for.
    """

    retries = 0
    backoff_ms = 0

    def __init__(
        self,
        objects: Mapping[str, bytes],
        *,
        drop_at: int | None = None,
        short_by: int = 0,
        slow: float = 0,
        page: bytes | None = None,
    ) -> None:
        self.objects = objects
        self.drop_at = drop_at
        self.short_by = short_by
        self.slow = slow
        self.page = page
        self.asked: list[str] = []

    def _open(self, name: str, start: int = 0, etag: str | None = None) -> "_Object":
        self.asked.append(name)
        data = self.objects.get(name) if self.page is None else self.page
        if data is None:
            raise NotFoundError(name)
        tag = sha256(data).hexdigest()[:16]
        if etag == tag and not start:
            raise NotModified(name)
        return _Object(data, start, tag, self)


class _Object:
    def __init__(self, data: bytes, start: int, etag: str, faults: MemoryTransport) -> None:
        self._file = io.BytesIO(data[: len(data) - faults.short_by])
        self._file.seek(start)
        self._drop_at = faults.drop_at
        self._slow = faults.slow
        self.size = len(data)
        self.etag = etag

    def readinto(self, buffer: bytearray | memoryview) -> int:
        if self._drop_at is not None:
            left = self._drop_at - self._file.tell()
            if left <= 0:
                raise OSError(104, "link dropped")
            buffer = memoryview(buffer)[:left]
        if self._slow:
            time.sleep(self._slow)
            buffer = memoryview(buffer)[:1]
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()


def read_all(stream: Stream, chunk: int = 100) -> bytes:
    """All bytes of a transport's stream, read in pieces of at most `chunk` bytes."""
    data = b""
    buffer = memoryview(bytearray(chunk))
    while True:
        n = stream.readinto(buffer)
        if not n:
            stream.close()
            return data
        data += bytes(buffer[:n])


class TransportContract:
    """What every transport does. Override `transport(objects)`."""

    OBJECTS: ClassVar[dict[str, bytes]] = {
        "stable.manifest": b'{"ota":1}\n' * 50,
        "blobs/ab/abcd": bytes(range(256)) * 20,
        "empty": b"",
        "v1.0.0_lib/a b.py": b"a name with a space",
    }

    def transport(self, objects: Mapping[str, bytes]) -> Transport:
        raise NotImplementedError("make a transport that serves `objects`, {name: bytes}")

    @pytest.fixture
    def it(self) -> Iterator[Transport]:
        transport = self.transport(dict(self.OBJECTS))
        transport.backoff_ms = 0
        assert isinstance(transport, Transport)
        yield transport
        transport.close()

    @pytest.mark.parametrize("name", OBJECTS)
    @pytest.mark.parametrize("chunk", [1, 1000, 100_000])
    def test_every_byte_of_an_object_comes_once_and_in_order(self, it: Transport, name: str, chunk: int) -> None:
        assert read_all(it.open(name), chunk) == self.OBJECTS[name]

    def test_a_size_that_is_told_is_the_length_of_the_whole_object(self, it: Transport) -> None:
        for start in (0, 7):
            stream = it.open("blobs/ab/abcd", start)
            assert stream.size in (None, 5120)
            stream.close()

    @pytest.mark.parametrize("start", [1, 255, 5119])
    def test_an_object_can_be_had_from_the_middle(self, it: Transport, start: int) -> None:
        stream = it.open("blobs/ab/abcd", start)
        assert stream.pos == start
        assert read_all(stream) == self.OBJECTS["blobs/ab/abcd"][start:]

    def test_a_name_that_is_not_there_is_not_found(self, it: Transport) -> None:
        with pytest.raises(NotFoundError):
            it.open("blobs/no/such")

    def test_an_etag_that_is_still_right_means_not_modified(self, it: Transport) -> None:
        stream = it.open("stable.manifest")
        etag = stream.etag
        read_all(stream)
        if etag is None:
            pytest.skip("this transport has no etags")
        with pytest.raises(NotModified):
            it.open("stable.manifest", etag=etag)
        assert read_all(it.open("stable.manifest", etag='"another"'))

    def test_the_rest_of_an_object_that_has_changed_is_refused(self, it: Transport) -> None:
        """With the etag of the first bytes, nobody gets the rest of another object for them."""
        stream = it.open("blobs/ab/abcd")
        etag = stream.etag
        stream.close()
        if etag is not None:
            stream = it.open("blobs/ab/abcd", 7, etag)
            assert read_all(stream) == self.OBJECTS["blobs/ab/abcd"][7:]
        with pytest.raises(TransportError, match="changed"):
            it.open("blobs/ab/abcd", 7, '"another"')

    def test_an_object_over_the_limit_is_refused(self, it: Transport) -> None:
        with pytest.raises(TransportError, match="limit"):
            read_all(it.open("blobs/ab/abcd", limit=5119))
        assert len(read_all(it.open("blobs/ab/abcd", limit=5120))) == 5120

    @pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../x", "a\nb", "a b\0"])
    def test_a_name_that_could_leave_the_root_is_refused(self, it: Transport, name: str) -> None:
        with pytest.raises(TransportError, match="name"):
            it.open(name)

    def test_an_object_given_up_half_way_does_not_harm_the_next(self, it: Transport) -> None:
        stream = it.open("blobs/ab/abcd")
        stream.readinto(bytearray(10))
        stream.close()
        assert read_all(it.open("stable.manifest")) == self.OBJECTS["stable.manifest"]


class StorageContract:
    """What every storage does. Override `storage(folder)`; `folder` is empty and on the PC."""

    def storage(self, folder: str) -> Storage:
        raise NotImplementedError("make a storage whose root is `folder`")

    @pytest.fixture
    def it(self, tmp_path: Path) -> Storage:
        storage = self.storage(str(tmp_path))
        assert isinstance(storage, Storage)
        return storage

    def put(self, it: Storage, path: str, data: bytes) -> None:
        with it.open(path, "wb") as f:
            f.write(data)

    def get(self, it: Storage, path: str) -> bytes:
        with it.open(path) as f:
            return f.read()

    def test_what_was_written_is_read_back(self, it: Storage) -> None:
        self.put(it, "lib/sub/a.py", b"\x00\xff" * 3000)
        assert self.get(it, "lib/sub/a.py") == b"\x00\xff" * 3000
        assert it.size("lib/sub/a.py") == 6000

    def test_replace_puts_one_file_in_the_place_of_another(self, it: Storage) -> None:
        self.put(it, "a", b"old")
        self.put(it, "a.new", b"new")
        it.replace("a.new", "a")
        assert self.get(it, "a") == b"new"
        assert it.list() == ["a"]

    def test_replace_works_without_a_file_to_replace(self, it: Storage) -> None:
        self.put(it, "a.new", b"new")
        it.replace("a.new", "a")
        assert self.get(it, "a") == b"new"

    def test_a_file_that_is_not_there_has_no_size_and_can_be_removed(self, it: Storage) -> None:
        assert it.size("a") is None
        it.remove("a")

    def test_a_folder_has_no_size(self, it: Storage) -> None:
        it.mkdir("lib")
        assert it.size("lib") is None

    def test_a_removed_file_is_gone(self, it: Storage) -> None:
        self.put(it, "a", b"x")
        it.remove("a")
        assert it.size("a") is None

    def test_mkdir_makes_what_is_missing_and_accepts_what_is_there(self, it: Storage) -> None:
        it.mkdir("a/b/c")
        it.mkdir("a/b/c")
        self.put(it, "a/b/c/f", b"")
        assert it.list("a/b") == ["c"]

    def test_opening_what_is_not_there_says_which(self, it: Storage) -> None:
        with pytest.raises(StorageError, match="no/such"):
            it.open("no/such")

    def test_free_is_a_number_of_bytes(self, it: Storage) -> None:
        assert it.free() > 0 and it.block > 0


class VerifierContract:
    """What every verifier does. Override `verifier()`, and `forged()` if it checks signatures."""

    def verifier(self) -> Verifier:
        raise NotImplementedError("make a verifier")

    def forged(self) -> tuple[bytes, list[dict[str, Any]], dict[str, Any]] | None:
        """Arguments of `authenticate` that must be refused, or None if nothing is."""

    def test_it_is_a_verifier(self) -> None:
        assert isinstance(self.verifier(), Verifier)

    def test_its_hash_is_none_or_a_new_one_each_time(self) -> None:
        verifier = self.verifier()
        first = verifier.hasher()
        if first is not None:
            first.update(b"x")
            second = verifier.hasher()
            assert second is not None
            second.update(b"x")
            assert first.digest() == second.digest() == sha256(b"x").digest()

    def test_what_is_forged_is_refused_whatever_shape_it_has(self) -> None:
        arguments = self.forged()
        if arguments is None:
            return
        digest, signatures, header = arguments
        others: list[list[dict[str, Any]]] = [[], [{}], [{"key": 1}], [{"sig": None, "alg": None}]]
        for bad in (signatures, *others):
            with pytest.raises(SignatureError):
                self.verifier().authenticate(digest, bad, header)
