"""Malicious mirror: one of several servers lies, stalls or is down; the release comes from another."""

import pytest

from .scene import KINDS, V1, V2, Publisher, Site, blob, on_board
from .test_captive_portal import PAGE
from .test_drop_request import hang_up, reset, silent
from .test_endless_data import endless
from .test_slow_retrieval import SLOW, dripping

MIRRORS = """
from ota import MirrorTransport
power_up_with_root()
install("v1")
before = live()
told = []
for bad in ARGS[1:]:
    mirrors = MirrorTransport(transport(bad), transport("v2"))
    mirrors.backoff_ms = 20
    u = updater(mirrors)
    said = []
    while True:
        last = error(u.run, reset=False)
        # An update may go on with the next mirror by itself, and then says so.
        said += ["%s: %s" % (type(e).__name__, e) for what, e in EVENTS if what == "other"] + [last]
        if last == "no error" or "other" in [e[0] for e in EVENTS] or not mirrors.other():
            break
        assert live() == before
    ready = u.ready
    boot()
    told.append([said, ready, live()["main.py"]])
    rollback()
    boot(2)
    assert live() == before, sorted(live())
    # A release that was refused once is not taken again: the state forgets, so that each mirror gets its turn.
    from ota.bootguard import load, save
    save("/flash", dict(load("/flash"), refused=0, etag=""))
    del ramflash._files[:]
tell(told=told)
"""
FILE = blob(V2["main.py"])
TRANSPORT = {"missing": None, "reset": reset, "hang-up": hang_up, "silent": silent}


def everywhere(tree, value):
    return {name: value for name in tree}


def bad_trees(v1, v2):
    """What the first mirror is: {name: tree}."""
    broken = {f"file-{name}": {**v2, FILE: way} for name, way in TRANSPORT.items()}
    whole = {f"all-{name}": everywhere(v2, way) for name, way in TRANSPORT.items()}
    return {
        **whole,
        **broken,
        "all-pages": everywhere(v2, PAGE),
        "file-is-a-page": {**v2, FILE: PAGE},
        "wrong-file": {**v2, FILE: b"main 9"},
        "endless-file": {**v2, FILE: endless(bytes(1000))},
        "endless-manifest": {**v2, "stable.manifest": endless(b"x" * 1000)},
        "slow-file": {**v2, blob(V2["lib/a.py"]): dripping(V2["lib/a.py"])},
        "slow-manifest": {**v2, "stable.manifest": dripping(v2["stable.manifest"])},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_first_mirror_does_the_release_comes_from_the_second(tmp_path, kind):
    """It is down, it has nothing, it has pages, wrong or endless or slow objects: all of them or one."""
    publisher = Publisher(tmp_path, kind)
    v1, v2 = publisher.publish(V1, 1), publisher.publish(V2, 2)
    trees = bad_trees(v1, v2)
    with Site({"v1": v1, "v2": v2, **trees}) as site:
        facts = on_board(publisher, site, MIRRORS, *trees, heap="8M", **SLOW)
        for name, (said, ready, main) in zip(trees, facts["told"]):
            assert (said[-1], ready, main) == ("no error", True, "main 2"), (name, said)
            assert site.of(name), name


@pytest.mark.parametrize("kind", ["signed", "tuf"])
def test_a_mirror_with_a_forged_or_an_older_release_is_left_for_the_next(tmp_path, kind):
    """What only the signature and the policy can tell."""
    publisher = Publisher(tmp_path, kind)
    old = publisher.publish({"main.py": b"main 0"}, 1)
    v1, v2 = publisher.publish(V1, 2), publisher.publish(V2, 3)
    # One byte of the list of files.
    forged = v2["stable.manifest"].replace(b'"p":"x.txt"', b'"p":"y.txt"')
    trees = {"forged": {**v2, "stable.manifest": forged}, "older": old}
    with Site({"v1": v1, "v2": v2, **trees}) as site:
        facts = on_board(publisher, site, MIRRORS, *trees, heap="8M")
    for (said, ready, main), rule in zip(facts["told"], ("SignatureError: ", "older than")):
        assert rule in said[0], said
        assert (said[1:], ready, main) == (["no error"], True, "main 2")


def test_when_every_mirror_lies_the_update_ends_with_its_error(tmp_path):
    """Each is tried once."""
    publisher = Publisher(tmp_path, "signed")
    v1, v2 = publisher.publish(V1, 1), publisher.publish(V2, 2)
    bad = {**v2, FILE: b"main 9"}
    script = MIRRORS.replace('transport("v2")', 'transport("bad2"), transport("bad3")').replace("rollback()", "")
    with Site({"v1": v1, "bad": bad, "bad2": bad, "bad3": bad}) as site:
        (one,) = on_board(publisher, site, script, "bad", heap="8M")["told"]
        asked = [name.partition("/")[0] for name in site.asked if FILE in name]
    said, ready, main = one
    assert len(said) == 3 and all(text.startswith("HashError: main.py: ") for text in said)
    assert (ready, main) == (False, "main 1")
    assert asked == ["bad", "bad2", "bad3"]
