"""Indefinite freeze: a server that keeps on telling what was true once."""

import calendar
import hashlib

import pytest
from tuf_repository import days

from .scene import KINDS, V1, V2, Publisher, siege

SEEN = 1800000000  # a time that a signed manifest carried
UNSET = {
    "2000": (946684800, 2000),
    "2000 of a port that counts from 1970": (946684800, 1970),
    "2021": (1609459200, 2000),
    "2021 of a port that counts from 1970": (1609459200, 1970),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_expired_manifest_is_refused_while_the_clock_is_right(tmp_path, kind):
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "bad": publisher.publish(V2, 2, expires=SEEN), "v2": publisher.publish(V2, 3)}
    clock = (SEEN + 1, 2000) if kind != "tuf" else (int(days(1).timestamp()), 2000)
    if kind == "tuf":
        trees["bad"] = publisher.publish(V2, 4, expires=clock[0] - 1)
        trees["v2"] = publisher.publish(V2, 5)
    (one,) = siege(publisher, trees, clock=clock)
    seq = 4 if kind == "tuf" else 2
    assert one["said"] == f"PolicyError: seq {seq} expired at {clock[0] - 1}, now is {clock[0]}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_keeps_on_offering_the_live_release_past_its_expiry_is_reported(tmp_path, kind):
    """Also with its etag: that nothing has changed is no news of a server that is held back."""
    publisher = Publisher(tmp_path, kind)
    now = int(days(0).timestamp())
    trees = {"v1": publisher.publish(V1, 1, expires=now + 3000), "v2": publisher.publish(V2, 2)}
    (one,) = siege(publisher, trees, ["v1"], clock=(now + 3001, 1970))
    assert one["said"] == f"PolicyError: seq 1 expired at {now + 3000}, now is {now + 3001}"


@pytest.mark.parametrize("clock", UNSET.values(), ids=UNSET)
@pytest.mark.parametrize("kind", ["signed", "tuf"])
def test_without_a_clock_a_release_that_expired_before_the_latest_signed_time_is_refused(tmp_path, kind, clock):
    """A clock that nobody has set since power-on stands at 2000 or at 2021."""
    publisher = Publisher(tmp_path, kind)
    now = int(days(0).timestamp())
    trees = {
        "v1": publisher.publish(V1, 1, time=now),
        "bad": publisher.publish(V2, 2, time=now - 9000, expires=now - 1),
        "v2": publisher.publish(V2, 3, time=now + 5),
    }
    (one,) = siege(publisher, trees, clock=clock)
    assert one["said"] == f"PolicyError: seq 2 expired at {now - 1}, now is {now}"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("clock", [None, *UNSET.values()], ids=["right", *UNSET])
def test_expired_metadata_is_refused_by_the_clock_or_by_the_latest_signed_time(tmp_path, clock, role):
    """The repository of yesterday, for a board that has seen a time of today."""
    publisher = Publisher(tmp_path, "tuf")
    now = int(days(0).timestamp())
    trees = {"v1": publisher.publish(V1, 1, time=now)}
    repository = publisher.repository
    expires, repository.roles[role].expires = repository.roles[role].expires, days(-1)
    trees["bad"] = publisher.publish(V2, 2)
    told = repository.roles[role].expires
    repository.roles[role].expires = expires
    trees["v2"] = publisher.publish(V2, 3)
    (one,) = siege(publisher, trees, clock=clock)
    assert one["said"] == f"VerifyError: {role} metadata: version 3 expired at {told:%Y-%m-%dT%H:%M:%SZ}"
    assert calendar.timegm(told.timetuple()) < now
    assert "stable.manifest" not in one["asked"]


def test_a_signed_time_counts_only_when_its_signature_holds(tmp_path):
    """Else anybody could let all later releases seem expired."""
    publisher = Publisher(tmp_path, "signed")
    now = int(days(0).timestamp())
    trees = {"v1": publisher.publish(V1, 1, time=now)}
    forged = publisher.publish(V2, 2, time=0x7FFFFFFF)["stable.manifest"].splitlines(keepends=True)[:-1]
    trees["bad"] = {"stable.manifest": b"".join(forged)}
    trees["v2"] = publisher.publish(V2, 2, time=now + 5, expires=now + 9999)
    (one,) = siege(publisher, trees, clock=UNSET["2000"])
    assert one["said"].startswith("SignatureError: 0 of 1 ")


def with_etag(data, of):
    """An answer that gives `data` under the etag that the server has for `of`."""
    etag = hashlib.sha256(of).hexdigest()[:16]

    def send(request):
        head = f'HTTP/1.1 200 OK\r\nConnection: close\r\nETag: "{etag}"\r\nContent-Length: {len(data)}\r\n\r\n'
        request.wfile.write(head.encode() + data)

    return send


@pytest.mark.parametrize("kind", ["signed", "tuf"])
def test_one_answer_with_a_wrong_etag_does_not_hide_the_next_release_for_ever(tmp_path, kind):
    """The attacker gave the old manifest the etag of the new one, and left; the server says "not modified" to that.

    One check of 16, drawn at random, asks without a tag.
    """
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    old = trees["v1"]["stable.manifest"]
    trees["bad"] = {**trees["v1"], "stable.manifest": with_etag(old, trees["v2"]["stable.manifest"])}
    (one,) = siege(publisher, trees, then=300)
    assert one["said"] == "no error" and one["events"] == ["current"]
