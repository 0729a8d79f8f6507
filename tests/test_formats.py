"""docs/reference/formats.md is enough to write a signer and a reader: both are written here from the page alone.

They use nothing of `ota_host` and `ota`.
"""

import base64
import hashlib
import hmac
import json
import re
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from support import ROOT, run_mp
from test_docs import STAGE
from test_keys import keys, signers  # noqa: F401

from ota_host.keys import sign_manifest

PAGE = (ROOT / "docs/reference/formats.md").read_text("utf-8")


def line(**values):
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class Rsa:
    alg = "RS256"

    def __init__(self):
        self.key = rsa.generate_private_key(65537, 2048)
        n = self.key.public_key().public_numbers().n
        self.raw = n.to_bytes(256, "big")

    def sign(self, covered):
        return self.key.sign(covered, padding.PKCS1v15(), SHA256())


class Ec:
    alg = "ES256"

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        point = self.key.public_key().public_numbers()
        self.raw = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")

    def sign(self, covered):
        r, s = decode_dss_signature(self.key.sign(covered, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Secret:
    alg = "HS256"
    raw = bytes(range(32))

    def sign(self, covered):
        return hmac.digest(self.raw, covered, "sha256")


def board_key(key):
    return f"{key.alg}:{base64.b64encode(key.raw).decode()}"


def key_id(alg, raw):
    return hashlib.sha256(alg.encode() + raw).hexdigest()[:16]


def signature(key, covered):
    sig = base64.b64encode(key.sign(covered)).decode()
    return {"key": key_id(key.alg, key.raw), "alg": key.alg, "sig": sig}


def manifest(root, files, **header):
    """The header and the file lines (bytes) of a release whose contents are put below `root`."""
    lines = b""
    for path, content in sorted(files.items(), key=lambda item: item[0].encode()):
        digest = hashlib.sha256(content).hexdigest()
        (root / "blobs" / digest[:2]).mkdir(parents=True, exist_ok=True)
        (root / "blobs" / digest[:2] / digest).write_bytes(content)
        lines += line(p=path, s=len(content), h=digest)
    sums = {"files": len(files), "size": sum(map(len, files.values())), "crc": f"{zlib.crc32(lines):08x}"}
    return line(ota=1, project="sample", **header, **sums) + lines


def read(raw):
    """What the signatures cover (bytes), and the signatures (list of dict)."""
    lines = raw.splitlines(keepends=True)
    header = json.loads(lines[0])
    covered = b"".join(lines[: 1 + header["files"]])
    rest = lines[1 + header["files"] :]
    assert len(rest) <= 8 and all(text.startswith(b'{"sig"') and len(text) <= 1024 for text in rest)
    return covered, [s for text in rest for s in json.loads(text)["sig"]]


def verify(board_key, covered, signatures):
    """Whether the first signature by `board_key` (str) verifies; raises InvalidSignature."""
    alg, text = board_key.split(":", 1)
    raw = base64.b64decode(text, validate=True)
    found = next(s for s in signatures if s["key"] == key_id(alg, raw))
    sig = base64.b64decode(found["sig"], validate=True)
    assert found["alg"] == alg
    if alg == "HS256":
        assert sig == hmac.digest(raw, covered, "sha256")
    elif alg == "RS256":
        public = rsa.RSAPublicNumbers(65537, int.from_bytes(raw, "big")).public_key()
        public.verify(sig, covered, padding.PKCS1v15(), SHA256())
    else:
        point = [int.from_bytes(raw[i : i + 32], "big") for i in (0, 32)]
        public = ec.EllipticCurvePublicNumbers(*point, ec.SECP256R1()).public_key()
        r, s = (int.from_bytes(sig[i : i + 32], "big") for i in (0, 32))
        public.verify(encode_dss_signature(r, s), covered, ec.ECDSA(SHA256()))


@pytest.fixture(scope="module")
def three():
    return [Rsa(), Ec(), Secret()]


BOARD = """
import json, os
from ota import OtaError, SdTransport, SignatureVerifier, Updater
root, keys = json.loads(os.getenv("ARGS"))
try:
    updater = Updater(SdTransport(root), verifier=SignatureVerifier(json.loads(keys), threshold=3))
    release = updater.check()
    updater.stage(release)
    updater.install()
    print(release.version, open("main.py").read())
except OtaError as e:
    print(type(e).__name__, e)
"""


def told_by_board(root, keys):
    return run_mp(STAGE + BOARD, root, json.dumps([board_key(key) for key in keys])).stdout.splitlines()[-1]


def release(root):
    files = {"main.py": b"works", "lib/\u00fc.txt": b"x" * 3000}
    header = {"channel": "stable", "version": "v1.0.1", "seq": 7, "time": 1767225600, "expires": 1893456000}
    return manifest(root, files, **header)


def test_a_board_accepts_what_a_signer_written_from_the_page_has_signed(tmp_path, three):
    """By three keys, of all three algorithms; two of the signatures on one line, and one of a key that no board knows."""
    covered = release(tmp_path)
    first, second, third = (signature(key, covered) for key in three)
    raw = covered + line(sig=[signature(Ec(), covered), second]) + line(sig=[first]) + line(sig=[third])
    (tmp_path / "stable.manifest").write_bytes(raw)
    assert told_by_board(tmp_path, three) == "v1.0.1 works"


@pytest.mark.parametrize("changed", range(3))
def test_a_board_refuses_it_when_one_of_the_signatures_is_of_other_bytes(tmp_path, three, changed):
    covered = release(tmp_path)
    lines = [line(sig=[signature(key, covered if i != changed else covered[1:])]) for i, key in enumerate(three)]
    (tmp_path / "stable.manifest").write_bytes(covered + b"".join(lines))
    assert told_by_board(tmp_path, three) == "SignatureError 2 of 3 signatures hold for v1.0.1"


def test_a_reader_written_from_the_page_verifies_what_ota_has_signed(tmp_path, signers):
    covered = release(tmp_path)
    body, signatures = read(sign_manifest(covered, list(signers.values())))
    assert body == covered and len(signatures) == len(signers) > 3
    for signer in signers.values():
        verify(signer.board_key, body, signatures)


def test_the_example_of_the_page_is_signed_by_the_key_beside_it():
    example = re.search(r'```json\n((?:.+\n)*\{"sig".+\n)```', PAGE)[1].encode()
    text = re.search(r"by the board key `(HS256:[^`]+)`", PAGE)[1]
    covered, signatures = read(example)
    verify(text, covered, signatures)
    assert board_key(Secret()) == text
    header, entry = map(json.loads, covered.splitlines())
    assert header["crc"] == f"{zlib.crc32(covered.splitlines(keepends=True)[1]):08x}" and header["size"] == entry["s"]


def test_the_numbers_of_the_page_are_those_of_the_code():
    from ota.manifest import FILES, LINE, PATH, SIGNATURES
    from ota.verifiers.signature import _SIZES
    from ota_host.terms import _ORDER

    assert f"at most {LINE:,} bytes" in PAGE and f"{FILES:,} |" in PAGE and f"at most {PATH} bytes" in PAGE
    assert SIGNATURES == 8 and "at most eight such lines" in PAGE and "up to eight lines" in PAGE
    for alg, (least, most) in _SIZES.items():
        row = next(row for row in PAGE.splitlines() if row.startswith(f"| `{alg}` |"))
        assert row.split("|")[5].split(";")[0].strip() in (f"{least} to {most}", str(least)), row
    table = PAGE.split("| header key |", 1)[1].split("\n\n", 1)[0]
    assert set(_ORDER) <= set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines() if row)))
