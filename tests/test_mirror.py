"""MirrorTransport: what one mirror cannot give, another one does."""

import pytest

from ota import MirrorTransport
from ota.errors import NotFoundError, NotModified, TransportError
from ota.transports import Transport
from ota_host.testing import MemoryTransport, TransportContract, read_all

DATA = bytes(range(200))
GOOD = {"x": DATA, "y": b"y"}


class Down(Transport):
    """A server that is not there; `asked` counts."""

    asked = 0

    def _open(self, name, start=0, etag=None):
        self.asked += 1
        raise OSError(111)


def mirrors(*sources):
    made = MirrorTransport(*sources)
    made.backoff_ms = 0
    return made


class TestMirrorTransport(TransportContract):
    """The first mirror is down."""

    def transport(self, objects):
        return MirrorTransport(Down(), MemoryTransport(objects))


class TestMirrorTransportOfOne(TransportContract):
    def transport(self, objects):
        return MirrorTransport(MemoryTransport(objects))


@pytest.mark.parametrize(
    "bad",
    [Down(), MemoryTransport({}), MemoryTransport({}, page=b"<html>" * 100)],
    ids=["down", "not-found", "over-the-limit"],
)
def test_a_mirror_that_cannot_be_opened_is_passed_over_and_not_asked_again(bad):
    good = MemoryTransport(GOOD)
    it = mirrors(bad, good)
    assert read_all(it.open("x", limit=200)) == DATA
    bad.asked = []
    assert read_all(it.open("y", limit=200)) == b"y"
    assert bad.asked == [] and good.asked == ["x", "y"]


def test_each_of_two_mirrors_may_lack_what_the_other_has():
    it = mirrors(MemoryTransport({"x": b"1"}), MemoryTransport({"y": b"2"}))
    assert [read_all(it.open(name)) for name in "xyyx"] == [b"1", b"2", b"2", b"1"]


@pytest.mark.parametrize("faults", [{"drop_at": 50}, {"short_by": 100}, {"slow": 0.01}], ids=["cut", "short", "slow"])
def test_a_mirror_that_breaks_off_is_left_and_the_rest_comes_from_the_next(faults):
    """The caller opens the object anew, from the byte where it broke off, as an update does."""
    bad = MemoryTransport(GOOD, **faults)
    bad.floor, bad.grace_s = 1000, 0.05
    it = mirrors(bad, MemoryTransport(GOOD))
    stream = it.open("x")
    got = bytearray()
    buffer = bytearray(30)
    with pytest.raises(TransportError):
        while True:
            n = stream.readinto(buffer)
            got += buffer[:n]
    stream.close()
    assert 0 < len(got) < 200
    assert bytes(got) + read_all(it.open("x", len(got))) == DATA
    assert bad.asked == ["x"]


def test_each_mirror_is_asked_once_a_round_and_there_are_as_many_rounds_as_retries_and_one():
    one, two = Down(), Down()
    it = mirrors(one, two)
    it.retries = 2
    with pytest.raises(TransportError, match="^x: "):
        it.open("x")
    assert (one.asked, two.asked) == (3, 3)


def test_an_object_is_not_found_when_one_says_so_and_none_has_it():
    """Else a mirror that is down would hide that there is no newer root of TUF."""
    for sources in ([Down(), MemoryTransport({})], [MemoryTransport({}), Down()], [MemoryTransport({})] * 2):
        with pytest.raises(NotFoundError):
            mirrors(*sources).open("x")


def test_not_modified_is_an_answer():
    it = mirrors(MemoryTransport(GOOD), Down())
    etag = it.open("x").etag
    with pytest.raises(NotModified):
        it.open("x", etag=etag)


def test_the_etag_of_one_mirror_says_nothing_to_another():
    """Equal or not; only the one that gave it may say that nothing has changed, or go on with the rest."""
    first, second = MemoryTransport(GOOD), MemoryTransport(GOOD)
    it = mirrors(first, second)
    etag = it.open("x").etag
    assert it.other()
    assert read_all(it.open("x", etag=etag)) == DATA
    with pytest.raises(TransportError, match="x has changed"):
        it.open("x", 7, etag)
    assert second.asked == ["x"] * 2, "that is no failure, and no other mirror is asked for it"


def test_other_leaves_the_mirror_that_gave_the_last_object_until_each_was_tried():
    """And begins anew afterwards, or when the update has ended."""
    sources = [MemoryTransport({"x": b"%d" % i}) for i in range(3)]
    it = mirrors(*sources)
    for _ in range(2):
        seen = [read_all(it.open("x"))]
        while it.other():
            seen.append(read_all(it.open("x")))
        assert sorted(seen) == [b"0", b"1", b"2"]
    assert it.other() and it.other()
    it.close()
    assert it.other()


def test_other_does_not_skip_the_mirror_that_was_chosen_when_a_stream_broke_off():
    """The reader cannot know that the transport has moved on already."""
    it = mirrors(MemoryTransport(GOOD, drop_at=3), MemoryTransport(GOOD), Down())
    with pytest.raises(TransportError):
        read_all(it.open("x"))
    assert it.other()
    assert read_all(it.open("x")) == DATA


def test_a_round_is_put_off_as_long_as_the_first_of_the_mirrors_asks():
    """And the interval of a watch is that of the mirror that answered."""

    class Busy(Transport):
        def __init__(self, seconds):
            self.seconds = seconds

        def _open(self, name, start=0, etag=None):
            error = TransportError("busy")
            error.retry_s = self.seconds
            raise error

    for waits, longest in (((100, 300), 100), ((100, 0), 0)):
        it = mirrors(*map(Busy, waits))
        it.patience_s = 0
        with pytest.raises(TransportError, match="busy; busy") as caught:
            it.open("x")
        assert caught.value.retry_s == longest
    good = MemoryTransport(GOOD)
    good.cache_control = "max-age=60"
    it = mirrors(Busy(9), good)
    it.open("x")
    assert it.cache_control == "max-age=60"


def test_a_plain_transport_has_no_other():
    assert MemoryTransport({}).other() is False


def test_no_mirrors_at_all_are_refused_at_once():
    with pytest.raises(TransportError, match="no mirrors"):
        MirrorTransport()


@pytest.mark.parametrize("other", ["http://one.example/sample", None, 5])
def test_what_is_no_transport_is_refused_as_a_mirror(other):
    """A URL alone, above all; it is not shown, since it may hold a password."""
    with pytest.raises(TransportError, match=f"a mirror is a {type(other).__name__}: use HttpTransport") as caught:
        MirrorTransport(MemoryTransport({}), other)
    assert "one.example" not in str(caught.value)


def test_what_is_wrong_on_one_mirror_says_so_when_no_other_has_it():
    """The status is 200, of an answer, when all of them answered; and none is asked twice for what will not change."""
    sources = [MemoryTransport({"x": DATA}) for _ in range(2)]
    it = mirrors(*sources)
    with pytest.raises(TransportError, match="x is 200 bytes, the limit is 9; x is 200 bytes, the limit is 9") as caught:
        it.open("x", limit=9)
    assert caught.value.status == 200 and [source.asked for source in sources] == [["x"], ["x"]]


def test_a_mirror_that_is_busy_is_asked_again_though_the_other_is_wrong_for_good():
    class Busy(MemoryTransport):
        def _open(self, name, start=0, etag=None):
            if len(self.asked) < 2:
                self.asked.append(name)
                error = TransportError("busy")
                error.status = 503
                raise error
            return super()._open(name, start, etag)

    wrong, busy = MemoryTransport({"x": bytes(999)}), Busy(GOOD)
    assert read_all(mirrors(wrong, busy).open("x", limit=200)) == DATA
    assert (len(wrong.asked), len(busy.asked)) == (3, 3)


def test_close_closes_every_mirror():
    closed = []

    class Closing(MemoryTransport):
        def close(self):
            closed.append(self)

    both = Closing({}), Closing({})
    mirrors(*both).close()
    assert closed == list(both)
