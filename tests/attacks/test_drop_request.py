"""Dropped requests: a server that refuses, resets, is overloaded or says nothing."""

import socket
import struct

import pytest
from servers import free_port

from .scene import KINDS, V1, V2, Publisher, Site, on_board, siege


def reset(request):
    """End the connection with a RST."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()


def hang_up(request):
    """Close it without an answer."""


def silent(request):
    request.over.wait(20)


def status(code):
    def send(request):
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return send


WAYS = {"reset": reset, "hang-up": hang_up, "silent": silent, "busy": status(503), "too-many": status(429)}
APP = """
import asyncio
power_up_with_root()
install("v1")
before = live()
ticks = [0, True]
async def app():
    while ticks[1]:
        ticks[0] += 1
        await asyncio.sleep(0)
async def update(name):
    u = updater(name)
    u.transport.retries = 3
    try:
        said = await u.run_async(reset=False)
    except OtaError as e:
        said = "%s: %s" % (type(e).__name__, e)
    same = live() == before
    if u.ready:
        boot(2)
        confirm()
    return said, same
async def main():
    task = asyncio.create_task(app())
    told = []
    for name in ARGS[1:]:
        at = ticks[0]
        told.append(await update(name))
        await asyncio.sleep(0.01)
        told[-1] += (ticks[0] > at,)
    ticks[1] = False
    await task
    return told
told = asyncio.run(main())
tell(told=told, end=live()["main.py"])
"""


def counting(trees, ways, times):
    """Serves the trees, and by the name of a way the tree v2, whose manifest fails so often first."""
    left = dict.fromkeys(ways, times)

    def answer(tree, name):
        if tree not in ways:
            return trees[tree].get(name)
        if name == "stable.manifest" and left[tree]:
            left[tree] -= 1
            return ways[tree]
        return trees["v2"].get(name)

    return answer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_always_fails_is_asked_a_bounded_number_of_times_and_the_application_goes_on(tmp_path, kind, way):
    """Four times with three retries; then an error, the old files, and the loop of the application turning."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    with Site(counting(trees, {way: WAYS[way]}, -1)) as site:
        facts = on_board(publisher, site, APP, way, "v2", timeout=0.4)
        asked = site.of(way).count("stable.manifest")
    (said, same, ran), (ready, _, _) = facts["told"]
    assert said.startswith("TransportError: GET ") and "stable.manifest" in said, said
    # A connection that was kept may be one that the server has closed: that is no failure yet.
    assert 4 <= asked <= 5 and same and ran
    assert (ready, facts["end"]) == (True, "main 2")


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_fails_three_times_and_then_answers_has_the_update_done(tmp_path, way):
    publisher = Publisher(tmp_path, "signed")
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    with Site(counting(trees, {way: WAYS[way]}, 3)) as site:
        facts = on_board(publisher, site, APP, way, timeout=0.4)
        assert site.of(way).count("stable.manifest") == 4
    assert facts == {"told": [[True, True, True]], "end": "main 2"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there_is_an_error_that_names_it(tmp_path, kind):
    """Nothing listens on its port."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    port = free_port()
    script = """
power_up_with_root()
install("v1")
before = live()
there, JOB["url"] = JOB["url"], "http://127.0.0.1:" + ARGS[1]
told = attempt("v2")["said"]
JOB["url"] = there
tell(told=told, same=live() == before, last=install("v2")["said"])
"""
    with Site(trees) as site:
        facts = on_board(publisher, site, script, port, retries=2)
    assert facts["told"].startswith(f"TransportError: GET http://127.0.0.1:{port}/v2/")
    assert (facts["same"], facts["last"]) == (True, "no error")


@pytest.mark.parametrize("role", ["timestamp", "3.snapshot", "3.targets"])
def test_metadata_that_is_withheld_is_an_error_that_names_it(tmp_path, role):
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    trees["bad"] = {**trees["v2"], f"tuf/{role}.json": None}
    (one,) = siege(publisher, trees)
    assert one["said"].startswith(f"VerifyError: {role.split('.')[-1]} metadata: ") and one["said"].endswith(" not there")
