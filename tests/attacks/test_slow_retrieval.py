"""Slow retrieval: a server that answers, and never gets there."""

import pytest

from .scene import KINDS, V1, V2, Publisher, blob, siege

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
SLOW = {"timeout": 0.5, "grace_s": 0.3, "floor": 500}


def dripping(data):
    """All of `data`, a byte now and then, each of them well within the timeout."""

    def send(request):
        request.wfile.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(data))
        for i in range(len(data)):
            if request.over.wait(0.05):
                return
            request.wfile.write(data[i : i + 1])

    return send


def endless_header(request):
    """A header line, a byte now and then, that is never finished."""
    request.wfile.write(HEAD + b"X: ")
    while not request.over.wait(0.1):
        request.wfile.write(b"x")


def stalled(data):
    """Half of `data`, then silence."""

    def send(request):
        request.wfile.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(data) + data[: len(data) // 2])
        request.over.wait(20)

    return send


def silent(request):
    """Not a word."""
    request.over.wait(20)


def ways(data):
    return {
        "drip": (dripping(data), "bytes a second, the limit is 500"),
        "header": (endless_header, "a line takes over 1 s"),
        "stall": (stalled(data), "broke off at "),
        "silent": (silent, "GET http://"),
    }


def names(publisher):
    """What is slow in turn: an object of each sort."""
    found = ["stable.manifest", blob(V2["lib/a.py"])]
    if publisher.kind == "tuf":  # in their order: what came whole is not asked for again
        found[:0] = ["tuf/2.root.json", "tuf/timestamp.json", "tuf/3.snapshot.json", "tuf/3.targets.json"]
    return found


@pytest.mark.parametrize("way", ["drip", "header", "stall", "silent"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_too_slow_is_given_up_and_named(tmp_path, kind, way):
    """A byte at a time, a header never finished, a stall half way, silence: on each sort of object."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    # A root that is not there is the usual answer: here it seems to come.
    answers = {**trees["v2"], "tuf/2.root.json": bytes(3000)}
    slow = {f"slow{i}": name for i, name in enumerate(names(publisher))}
    for tree, name in slow.items():
        trees[tree] = {**trees["v2"], name: ways(answers[name])[way][0]}
    for name, one in zip(slow.values(), siege(publisher, trees, slow, **SLOW)):
        assert one["said"].startswith("TransportError: ") and name in one["said"], one["said"]
        assert ways(answers[name])[way][1] in one["said"], one["said"]
