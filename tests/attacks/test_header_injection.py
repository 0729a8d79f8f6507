"""Header injection: what an application passes to a transport adds no header and no request."""

import json

import pytest

from .scene import KINDS, V1, V2, Publisher, Site, on_board

LINE = "\r\nX-Evil: 1\r\n\r\nGET /evil HTTP/1.1\r\nHost: h"
GIVEN = [
    {"token": "t" + LINE},
    {"token": "t\n"},
    {"user": "me", "password": "p\r\n"},
    {"user": "me" + LINE},
    {"headers": {"X-Key": "k" + LINE}},
    {"headers": {"X-Key" + LINE: "k"}},
    {"headers": {"Content-Length": "99"}},
    {"headers": {"Host": "other.example"}},
    {"url": "/v2" + LINE},
    {"url": "/v2 HTTP/1.1\r\nX-Evil: 1\r\n\r\n"},
]
SCRIPT = """
power_up_with_root()
install("v1")
before = live()
said = []
for given in json.loads(ARGS[1]):
    url = JOB["url"] + given.pop("url", "/v2")
    said.append(error(lambda: updater(HttpTransport(url, **given)).run(reset=False)))
stream = None
etag = error(HttpTransport(JOB["url"] + "/v2").open, "stable.manifest", 0, 'x" ' + ARGS[2])
same = live() == before
last = attempt(HttpTransport(JOB["url"] + "/v2", token="secret", headers={"X-Key": "k"}))["said"]
boot(2)
tell(said=said, etag=etag, same=same, last=last, main=live()["main.py"])
"""


@pytest.mark.parametrize("kind", KINDS)
def test_what_would_add_a_header_or_a_request_is_refused_before_anything_is_sent(tmp_path, kind):
    """Credentials, headers, URLs and tags with lines of their own; the right ones go along with each request."""
    publisher = Publisher(tmp_path, kind)
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    with Site(trees) as site:
        facts = on_board(publisher, site, SCRIPT, json.dumps(GIVEN), LINE)
        asked, heard = list(site.asked), [headers for _, headers in site.heard]
    for given, said in zip(GIVEN, facts["said"]):
        assert said.startswith("TransportError: ") and "Evil: 1\r\n" not in said, given
    assert facts["etag"].startswith("TransportError: name 'stable.manifest' is not relative and plain, or its etag ")
    assert (facts["same"], facts["last"], facts["main"]) == (True, "no error", "main 2")
    assert not [name for name in asked if "evil" in name] and not [h for h in heard if "X-Evil" in h]
    first = asked.index(next(name for name in asked if name.startswith("v2/")))
    assert all((h["Authorization"], h["X-Key"]) == ("Bearer secret", "k") for h in heard[first:])
