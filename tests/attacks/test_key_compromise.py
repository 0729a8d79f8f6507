"""Key compromise: some keys are stolen, fewer than the threshold, or were revoked."""

import json

import pytest
from test_signature import board_key, entry, keys
from tuf_repository import Repository

from .scene import V1, V2, V3, Publisher, Site, on_board, sign, siege


def thefts(message, good):
    """What a thief of the RS256 key makes of it: {name: manifest}, and how many signatures hold."""
    mine = sign(message, "RS256")
    line = mine[len(message) :]
    renamed = json.loads(line)
    renamed["sig"][0]["key"] = entry("ES256", b"")["key"]
    claim = json.dumps(renamed, separators=(",", ":")).encode() + b"\n"
    old = [row for row in good.splitlines(keepends=True) if b"ES256" in row and row.startswith(b'{"sig"')]
    return {
        "alone": (mine, 1),
        "twice": (mine + line, 1),
        "under the name of another": (mine + claim, 1),
        "with that of an older release": (mine + old[0], 1),
        "with a key of the thief's": (sign(message, "RS256", ("RS256", keys()["other"])), 1),
    }


def test_one_stolen_key_of_three_does_not_sign_for_two(tmp_path):
    """Once, twice, under another's name, with an old signature, with a key of the thief's own."""
    publisher = Publisher(tmp_path, "signed", ("RS256", "ES256"), ("RS256", "ES256", "HS256"), threshold=2)
    trees = {"v1": publisher.publish(V1, 1)}
    forged = publisher.publish(V3, 2)
    message = b"".join(forged["stable.manifest"].splitlines(keepends=True)[:-2])
    bad = thefts(message, trees["v1"]["stable.manifest"])
    for name, (text, _) in bad.items():
        trees[name.replace(" ", "-")] = {**forged, "stable.manifest": text}
    trees["v2"] = publisher.publish(V2, 3)
    told = siege(publisher, trees, [name.replace(" ", "-") for name in bad])
    for (name, (_, good)), one in zip(bad.items(), told):
        assert one["said"] == f"SignatureError: {good} of 2 signatures hold for v1.0.2", name
        assert one["asked"] == ["stable.manifest"]


REVOKED = """
power_up_with_root()
ramflash.write("ota.keys", ARGS[1].encode())
JOB["keys"] = "/flash/ota.keys"
told = [install(name)["said"] for name in ("v1", "v2", "thief", "v3")]
tell(told=told, end=live()["main.py"])
"""


def test_a_key_that_a_release_replaced_signs_nothing_more(tmp_path):
    """The list of keys is a file of the release; the next one, signed by the old key, brings the new."""
    publisher = Publisher(tmp_path, "signed")
    stolen, new = board_key("RS256"), board_key("ES256")
    trees = {"v1": publisher.publish({**V1, "ota.keys": stolen.encode()}, 1)}
    trees["v2"] = publisher.publish({**V2, "ota.keys": new.encode()}, 2)
    trees["thief"] = publisher.publish({"main.py": b"evil"}, 3, version="v9")
    publisher.signers = ("ES256",)
    trees["v3"] = publisher.publish({**V3, "ota.keys": new.encode()}, 3)
    with Site(trees) as site:
        facts = on_board(publisher, site, REVOKED, stolen)
        assert site.of("thief") == ["stable.manifest"]
    refused = "SignatureError: 0 of 1 signatures hold for v9"
    assert facts == {"told": ["no error", "no error", refused, "no error"], "end": "main 3"}


def two_of_three():
    """A repository whose targets need two of three keys."""
    repository = Repository()
    for _ in range(2):
        repository.add_key("targets")
    repository.root.roles["targets"].threshold = 2
    repository.write_root()
    repository.write()
    return repository


def test_one_stolen_key_of_three_for_targets_is_not_enough_even_with_all_online_keys(tmp_path):
    publisher = Publisher(tmp_path, "tuf", repository=two_of_three())
    trees = {"v1": publisher.publish(V1, 1)}
    all_three = publisher.repository.signers["targets"]
    publisher.repository.signers["targets"] = all_three[1:2]
    trees["bad"] = publisher.publish(V3, 2)
    publisher.repository.signers["targets"] = all_three[:2]
    trees["v2"] = publisher.publish(V2, 3)
    (one,) = siege(publisher, trees)
    assert one["said"] == "SignatureError: targets metadata 3: 1 of 2 signatures hold"
    assert "stable.manifest" not in one["asked"]


def test_stolen_online_keys_alone_name_no_target(tmp_path):
    """Timestamp and snapshot can be new as often as the thief likes; targets are signed by an offline key."""
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1)}
    repository = publisher.repository
    good, repository.signers["targets"] = repository.signers["targets"], [repository.new_signer()]
    trees["bad"] = publisher.publish(V3, 2)
    repository.signers["targets"] = good
    trees["v2"] = publisher.publish(V2, 3)
    (one,) = siege(publisher, trees)
    assert one["said"] == "SignatureError: targets metadata 3: 0 of 1 signatures hold"
    assert "stable.manifest" not in one["asked"]


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_key_that_a_new_root_revoked_signs_nothing_more(tmp_path, role):
    """A thief has it, and all other keys but the root's."""
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1)}
    repository = publisher.repository
    repository.add_key(role)
    stolen = repository.revoke(role)
    repository.next_root()
    new, repository.signers[role] = repository.signers[role], [stolen]
    trees["bad"] = publisher.publish(V3, 2)
    repository.signers[role] = new
    trees["v2"] = publisher.publish(V2, 3)
    (one,) = siege(publisher, trees)
    assert one["said"] == f"SignatureError: {role} metadata 3: 0 of 1 signatures hold"
    assert "stable.manifest" not in one["asked"]


def test_a_root_that_the_root_keys_did_not_sign_is_refused(tmp_path):
    """With all online keys and a root of the thief's own."""
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1), "v2": publisher.publish(V2, 2)}
    thief = Publisher(tmp_path / "thief", "tuf", repository=Repository("ed25519"))
    thief.repository.next_root()
    trees["bad"] = thief.publish(V3, 9)
    (one,) = siege(publisher, trees)
    assert one["said"] == "SignatureError: root metadata 2: 0 of 1 signatures hold"
