"""A power cut at every flash operation of saving the metadata of TUF."""

import json
from zlib import crc32

import pytest
from tuf_repository import Repository

from .scene import V1, V2, Publisher, Site, on_board

CUTS = """
from binascii import crc32
from cuts import states
from ota.bootguard import load

NAMES = ("root", "timestamp", "snapshot", "targets")
known = [dict(pair) for pair in json.loads(ARGS[1])]

def refresh(name):
    t = transport(name)
    try:
        verifier().begin(t, "stable", load("/flash"))
    finally:
        t.close()

def kept():
    found = {}
    for name in NAMES:
        try:
            data = ramflash.read(".ota/tuf/" + name + ".json")
            found[name] = [i for i, files in enumerate(known) if files[name] == crc32(data)]
        except OSError:
            found[name] = None
    return found

def newest(found):
    return all(found[name] and found[name][-1] == len(known) - 1 for name in NAMES)

flash = power_up_with_root(blocks=48)
install("v1")
image = bytes(flash.image)
flash.journal = []
refresh("v2")
journal = flash.journal
seen, bad, met = set(), [], {}

def judge(k, shape):
    found = kept()
    # Whole: the bytes of a file that the server had, old or new. Absent only after a rotation.
    torn = [n for n in NAMES if found[n] == [] or found[n] is None and (n in ("root", "targets") or not JOB["rotates"])]
    rooted = bool(found["root"]) and found["root"][-1] > 0
    stamped = bool(found["timestamp"]) and found["timestamp"][0] > 0
    replay = error(refresh, "v1")
    now = kept()
    # Nothing gets older by what an old server says.
    sunk = [n for n in NAMES if found[n] and now[n] and now[n][-1] < found[n][-1]]
    held = replay != "no error" if rooted and JOB["rotates"] or stamped else True
    last = error(refresh, "v2")
    end = kept()
    left = [n for n in os.listdir(".ota/tuf") if n[-5:] != ".json"]
    met[replay[:40]] = met.get(replay[:40], 0) + 1
    if torn or sunk or not held or last != "no error" or not newest(end) or left:
        bad.append([k, shape, found, replay, now, last, end, left])

for k, shape in each_cut(states(image, journal, json.loads(ARGS[2])), seen):
    judge(k, shape)
tell(ops=len(journal), states=len(seen), bad=bad[:2], count=len(bad), met=met)
"""
ROLES = ("root", "timestamp", "snapshot", "targets")


def files(repository, versions):
    """The checksums of a repository's files as a board keeps them."""
    names = {r: f"{v}.{r}.json" if r != "timestamp" else "timestamp.json" for r, v in zip(ROLES, versions)}
    return {role: crc32(repository.files[name]) for role, name in names.items()}


def story(repository, rotates, publisher):
    """Two states of a server, the second with two more roots; a rotation gives timestamp and snapshot new keys."""
    v1 = publisher.publish(V1, 1)
    known = [files(repository, (1, 2, 2, 2))]
    for role in ("timestamp", "snapshot"):
        if rotates:
            repository.add_key(role)
            repository.revoke(role)
        repository.next_root()
        known.append({**known[0], "root": files(repository, (repository.root.version, 2, 2, 2))["root"]})
    v2 = publisher.publish(V2, 2)
    known[-1:] = [files(repository, (3, 3, 3, 3))]
    return {"v1": v1, "v2": v2}, known


def cut_everywhere(tmp_path, rotates, shapes):
    repository = Repository()
    publisher = Publisher(tmp_path, "tuf", repository=repository)
    trees, known = story(repository, rotates, publisher)
    with Site(trees) as site:
        facts = on_board(publisher, site, CUTS, json.dumps(known), shapes, heap="8M", rotates=rotates)
    assert facts["bad"] == [], facts["count"]
    assert facts["ops"] > 20 and facts["met"]["no error"] > 2
    return facts


@pytest.mark.parametrize("rotates", [False, True], ids=["same-keys", "new-keys"])
def test_a_cut_at_every_step_of_saving_metadata_leaves_each_file_whole_and_lets_none_get_older(tmp_path, rotates):
    """An old server is refused where the new was seen, the next refresh ends with the newest bytes and no litter."""
    cut_everywhere(tmp_path, rotates, [0, 2])


@pytest.mark.slow
@pytest.mark.parametrize("rotates", [False, True], ids=["same-keys", "new-keys"])
def test_a_torn_write_at_every_step_of_saving_metadata_does_as_little(tmp_path, rotates):
    cut_everywhere(tmp_path, rotates, [0, 1, 2, 3, 4, 5])
