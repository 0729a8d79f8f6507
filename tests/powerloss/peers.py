"""The same cuts for `micropython_ota` 2.1.0 and for `mip`: what an application finds after them, with no network."""

import json

from old_board import Site, original
from support import told_by

from ota_host.proof import SHAPES, digests

from .scenarios import NEW, OLD


def trees():
    """{path: bytes} of two releases that both can install: no folders, no file that a release drops."""
    old = {p.replace("/", "_"): d.encode() for p, d in OLD.items() if "gone" not in p}
    return old, {p: NEW.get(p.replace("_", "/"), d.decode()[::-1]).encode() for p, d in old.items()}


def peer_cuts(peer, shapes=("half",)):
    """What `peer` leaves at each cut: {"ops": n, "end": ..., "found": {verdict: cuts}, "line": [...]}."""
    old, new = trees()
    with Site() as site:
        if peer == "mip":
            urls = [[p, f"{site.url}/sample/{p}"] for p in new]
            site.answers["/sample/package.json"] = json.dumps({"urls": urls, "version": "2"}).encode()
            site.answers.update({f"/sample/{p}": data for p, data in new.items()})
        else:
            site.publish("v2", new)
            old, new = {**old, "version": b"v1"}, {**new, "version": b"v2"}
        hand = {p: data.decode() for p, data in old.items()}
        job = {"old": digests(old), "new": digests(new), "hand": hand, "kind": "lfs2", "prog": 256, "block": 4096}
        job.update(blocks=64, own=False, faults=[], shapes=[SHAPES.index(s) for s in shapes])
        path = [] if peer == "mip" else [original("2.1.0")]
        found = told_by("import peer_cuts", json.dumps(job), peer, site.url, path=path, heap="32M")
        site.shutdown()
    return found
