"""Keys and signatures on the host: made, kept, used, checked; and that a private key goes nowhere else."""

import base64
import hashlib
import hmac
import importlib.util
import io
import json
import os
import shutil
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from missing import needs

from ota.manifest import Reader
from ota_host.errors import ConfigError, HostError, OutsideError
from ota_host.keys import (
    BoardKey,
    FileSigner,
    Pkcs11Signer,
    Signer,
    board_key_of,
    check_signatures,
    generate,
    open_signer,
    sign_manifest,
    split,
)
from ota_host.keys.board import read_board_keys
from ota_host.keys.hsm import parse_uri
from ota_host.keys.password import Password

ALGS = ["RS256", "ES256", "HS256"]


def test_the_pc_reads_the_sizes_of_keys_that_boards_read():
    """One rule for both."""
    from ota.verifiers.signature import _SIZES
    from ota_host.keys import board

    assert board.SIZES == _SIZES
RAW = (
    b'{"ota":1,"project":"sample","version":"v1.0.0","seq":1,"files":1,"size":1}\n'
    b'{"p":"a","s":1,"h":"' + hashlib.sha256(b"1").hexdigest().encode() + b'"}\n'
)


def word(text):
    """A password, for what asks for one."""
    return lambda what: text.encode()


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """{alg: its private key file}, each with the password `sesame`; made once, since an RSA key takes its time."""
    folder = tmp_path_factory.mktemp("keys")
    for alg in ALGS:
        generate(folder / alg, alg, password=word("sesame"))
    generate(folder / "other", "ES256")
    return {name: folder / name for name in [*ALGS, "other"]}


@pytest.fixture(scope="session")
def signers(keys):
    return {name: FileSigner.open(path, word("sesame")) for name, path in keys.items()}


def raw_of(board_key):
    return base64.b64decode(board_key.partition(":")[2])


def verify_apart(board_key, message, signature):
    """Check a signature with nothing of ours; raises when it is none."""
    raw = raw_of(board_key)
    alg = board_key.partition(":")[0]
    if alg == "HS256":
        assert hmac.new(raw, message, hashlib.sha256).digest() == signature
    elif alg == "RS256":
        public = rsa.RSAPublicNumbers(65537, int.from_bytes(raw, "big")).public_key()
        public.verify(signature, message, padding.PKCS1v15(), SHA256())
    else:
        numbers = [int.from_bytes(b, "big") for b in (raw[:32], raw[32:], signature[:32], signature[32:])]
        public = ec.EllipticCurvePublicNumbers(*numbers[:2], ec.SECP256R1()).public_key()
        public.verify(encode_dss_signature(*numbers[2:]), message, ec.ECDSA(SHA256()))


class TestForm:
    @pytest.mark.parametrize("alg", ALGS)
    def test_a_signed_manifest_is_the_unsigned_one_and_a_line(self, signers, alg):
        """To the byte as the format has it, and good in the eyes of another library."""
        signer = signers[alg]
        signed = sign_manifest(RAW, [signer])
        assert signed.startswith(RAW + b'{"sig":[{"key":"') and signed.endswith(b'"}]}\n')
        (line,) = signed[len(RAW) :].splitlines()
        (found,) = json.loads(line)["sig"]
        assert list(found) == ["key", "alg", "sig"] and found["alg"] == alg
        assert found["key"] == hashlib.sha256(alg.encode() + raw_of(signer.board_key)).hexdigest()[:16]
        verify_apart(signer.board_key, RAW, base64.b64decode(found["sig"], validate=True))
        assert len(line) < 1024

    @pytest.mark.parametrize(("alg", "sizes"), [("RS256", (384, 384)), ("ES256", (64, 64)), ("HS256", (32, 32))])
    def test_keys_and_signatures_have_the_sizes_of_the_format(self, signers, alg, sizes):
        """3,072 bits, P-256 and 32 bytes of a secret."""
        signer = signers[alg]
        assert (len(raw_of(signer.board_key)), len(signer.sign(b"x"))) == sizes

    @pytest.mark.parametrize("alg", ALGS)
    def test_the_board_s_reader_takes_it(self, signers, alg):
        """And gives the signature as it stands."""
        reader = Reader(io.BytesIO(sign_manifest(RAW, [signers[alg]])).readline)
        list(reader)
        assert reader.digest == hashlib.sha256(RAW).digest()
        assert [s["key"] for s in reader.signatures] == [signers[alg].key_id]

    @needs("openssl")
    @pytest.mark.parametrize("alg", ["RS256", "ES256"])
    def test_openssl_reads_the_key_file_and_verifies_its_signature(self, keys, signers, tmp_path, alg):
        """So the file outlives this tool."""
        words = ["openssl", "pkey", "-in", keys[alg], "-passin", "pass:sesame", "-pubout", "-out", tmp_path / "pub"]
        subprocess.run(words, check=True)
        assert board_key_of((tmp_path / "pub").read_bytes()) == signers[alg].board_key
        signature = signers[alg].sign(RAW)
        if alg == "ES256":
            signature = encode_dss_signature(*(int.from_bytes(signature[i : i + 32], "big") for i in (0, 32)))
        (tmp_path / "sig").write_bytes(signature)
        (tmp_path / "raw").write_bytes(RAW)
        words = ["openssl", "dgst", "-sha256", "-verify", "pub", "-signature", "sig", "raw"]
        assert subprocess.run(words, cwd=tmp_path, capture_output=True).stdout == b"Verified OK\n"

    @needs("openssl")
    def test_openssl_says_that_the_password_is_stretched(self, keys):
        """210,000 rounds of HMAC-SHA-512, where most libraries write 2,048."""
        told = subprocess.run(["openssl", "asn1parse", "-in", keys["ES256"]], capture_output=True, text=True).stdout
        assert "hmacWithSHA512" in told and ":%06X" % 210000 in told and "aes-256-cbc" in told
        head = keys["HS256"].read_bytes().split(b".")[0]
        header = json.loads(base64.urlsafe_b64decode(head + b"=="))
        assert (header["alg"], header["p2c"], header["cty"]) == ("PBES2-HS512+A256KW", 210000, "jwk+json")


class TestSignManifest:
    @pytest.mark.parametrize("alg", ALGS)
    def test_signing_again_changes_nothing(self, signers, alg):
        """Not even with ES256, whose signatures are random."""
        once = sign_manifest(RAW, [signers[alg]])
        assert sign_manifest(once, [signers[alg]]) == once

    def test_a_signature_of_other_bytes_is_replaced(self, signers):
        """Its key is there to make it anew."""
        stale = split(sign_manifest(RAW.replace(b"v1.0.0", b"v0.9.9"), [signers["RS256"]]))
        signed = sign_manifest(RAW + json.dumps({"sig": stale[1]}).encode() + b"\n", [signers["RS256"]])
        assert signed == sign_manifest(RAW, [signers["RS256"]])

    def test_those_of_others_stay_unless_they_are_known_not_to_verify(self, signers):
        """A second holder of a key does not need the first one's board key."""
        rs, es = signers["RS256"], signers["ES256"]
        both = sign_manifest(sign_manifest(RAW, [rs]), [es])
        assert [s["key"] for s in split(both)[1]] == [rs.key_id, es.key_id]
        assert both.startswith(sign_manifest(RAW, [rs]))
        other = both.replace(b'"size":1', b'"size":2')
        assert [s["key"] for s in split(sign_manifest(other, [es]))[1]] == [rs.key_id, es.key_id]
        assert [s["key"] for s in split(sign_manifest(other, [es], [rs.board_key]))[1]] == [es.key_id]

    def test_more_than_eight_are_refused(self, signers):
        """A board reads no more lines."""
        there = [{"key": f"{i:016x}", "alg": "ES256", "sig": "AAAA"} for i in range(8)]
        raw = RAW + json.dumps({"sig": there}).encode() + b"\n"
        with pytest.raises(HostError, match="9 signatures; boards accept at most 8"):
            sign_manifest(raw, [signers["ES256"]])

    @pytest.mark.parametrize(
        "line", [b'{"sig"', b'{"sig":1}', b'{"sig":[1]}', b'{"sig":[{"key":1}]}', b'{"sig":[]}\nx'], ids=repr
    )
    def test_a_line_that_is_none_is_refused(self, signers, line):
        """Nothing is signed beside it."""
        with pytest.raises(HostError, match="manifest: not a line of signatures; it begins with b'"):
            sign_manifest(RAW + line + b"\n", [signers["ES256"]])

    def test_the_text_of_a_signature_line_inside_of_a_line_is_no_signature(self, signers):
        """A key that readers ignore may hold anything."""
        raw = RAW.replace(b'"seq":1', b'"seq":1,"x":{"sig":[]}')
        assert split(raw) == (raw, [])


class TestCheck:
    def test_only_keys_that_verify_are_named(self, signers):
        """In the order of the keys asked for."""
        signed = sign_manifest(RAW, [signers["RS256"], signers["HS256"]])
        asked = [signers[alg].board_key for alg in ("HS256", "ES256", "RS256", "HS256")]
        assert check_signatures(signed, asked) == [signers["HS256"].key_id, signers["RS256"].key_id]

    @pytest.mark.parametrize("alg", ALGS)
    def test_no_flipped_bit_of_what_is_covered_verifies(self, signers, alg):
        """Every single one before the line of signatures."""
        signed = sign_manifest(RAW, [signers[alg]])
        key = BoardKey.parse(signers[alg].board_key)
        assert check_signatures(signed, [key]) == [key.id]
        for bit in range(len(RAW) * 8):
            flipped = bytearray(signed)
            flipped[bit // 8] ^= 1 << bit % 8
            assert check_signatures(bytes(flipped), [key]) == [], bit

    @pytest.mark.parametrize("alg", ALGS)
    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda s: {**s, "sig": ""}, id="empty"),
            pytest.param(lambda s: {**s, "sig": "*"}, id="no-base64"),
            pytest.param(lambda s: {**s, "sig": base64.b64encode(bytes(64)).decode()}, id="zeros"),
            pytest.param(lambda s: {**s, "sig": s["sig"] + "AAAA"}, id="longer"),
            pytest.param(lambda s: {**s, "key": "0" * 16}, id="another-key"),
            pytest.param(lambda s: {**s, "alg": "none"}, id="another-algorithm"),
        ],
    )
    def test_a_changed_signature_does_not_verify(self, signers, alg, change):
        """Nor is it an error of another kind."""
        (s,) = split(sign_manifest(RAW, [signers[alg]]))[1]
        raw = RAW + json.dumps({"sig": [change(s)]}).encode() + b"\n"
        assert check_signatures(raw, [signers[alg].board_key]) == []

    def test_an_rsa_key_is_no_secret_of_an_hmac(self, signers):
        """The old trick: HS256 with the public key for a secret."""
        public = signers["RS256"].board_key
        forged = base64.b64encode(hmac.digest(raw_of(public), RAW, "sha256")).decode()
        raw = RAW + json.dumps({"sig": [{"key": signers["RS256"].key_id, "alg": "HS256", "sig": forged}]}).encode() + b"\n"
        assert check_signatures(raw, [public]) == []


class TestBoardKey:
    def pem(self, private):
        return private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            pytest.param(lambda: rsa.generate_private_key(65537, 1024), "key: an RSA key of 1024 bits, must be 2048 to 4096", id="small"),
            pytest.param(lambda: rsa.generate_private_key(3, 2048), "key: an RSA key with exponent 3, must be 65537", id="e"),
            pytest.param(lambda: ec.generate_private_key(ec.SECP384R1()), "key: an EC key on secp384r1, must be P-256", id="curve"),
            pytest.param(ed25519.Ed25519PrivateKey.generate, "key: is an .*Ed25519PublicKey, must be RSA or EC on P-256", id="kind"),
        ],
    )
    def test_a_key_that_boards_do_not_know_is_refused_with_the_limit(self, make, message):
        """Before anything is signed with it."""
        private = make()
        with pytest.raises(ConfigError, match=message):
            board_key_of(self.pem(private))
        with pytest.raises(ConfigError, match=message):
            FileSigner(private, "key")

    def test_a_pem_that_is_no_public_key_is_refused(self, keys):
        """Such as a private one, by mistake."""
        with pytest.raises(ConfigError, match="^key: not a PEM public key; RSA and EC keys are supported$"):
            board_key_of(keys["RS256"].read_bytes())

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("RS512:AAAA", "must be ALG:BASE64, with ALG one of RS256, ES256, HS256", id="alg"),
            pytest.param("AAAA", "must be ALG:BASE64, with ALG one of", id="none"),
            pytest.param("ES256:A-_A", "the text after ES256: is not padded Base64", id="url-safe"),
            pytest.param("ES256:" + "A" * 7, "is not padded Base64", id="padding"),
            pytest.param("ES256:AAAA", "the raw ES256 key has 3 bytes, must be 64", id="short"),
            pytest.param("ES256:" + base64.b64encode(bytes(64)).decode(), "the raw ES256 key is not a valid public key", id="point"),
            pytest.param("RS256:" + base64.b64encode(bytes(384)).decode(), "must be odd, without leading zero bytes", id="modulus"),
            pytest.param("HS256:" + base64.b64encode(bytes(15)).decode(), "the raw HS256 key has 15 bytes, must be 16 to 128", id="secret"),
        ],
    )
    def test_what_is_none_is_refused_without_its_text(self, text, message):
        """It may be a secret that somebody has pasted."""
        with pytest.raises(ConfigError, match=f"^board key: .*{message}") as e:
            BoardKey.parse(text)
        assert text.partition(":")[2] not in str(e.value) or not text.partition(":")[2]

    def test_keys_of_ota_toml_are_board_keys_or_files_of_them(self, signers, tmp_path):
        """So the file that travels to the boards can be the list itself."""
        rs, es = signers["RS256"], signers["ES256"]
        (tmp_path / "ota.keys").write_text(f"{es.board_key}\n\n{rs.board_key}\n")
        assert [k.id for k in read_board_keys([rs.board_key, "ota.keys"], tmp_path)] == [rs.key_id, es.key_id]
        (tmp_path / "ota.keys").write_text("x\n")
        with pytest.raises(ConfigError, match="ota.keys, line 1: must be ALG:BASE64"):
            read_board_keys(["ota.keys"], tmp_path)
        with pytest.raises(ConfigError, match=r"^keys\[0\]: neither ALG:BASE64 nor a readable file of board keys: No such"):
            read_board_keys(["none"], tmp_path)
        with pytest.raises(ConfigError, match=r"^keys\[0\]: an HS256 key is a secret: put it in a file outside"):
            read_board_keys([signers["HS256"].board_key])


class TestFiles:
    @pytest.mark.parametrize("alg", ALGS)
    def test_a_key_comes_back_from_its_file_with_its_password_only(self, keys, alg):
        """A wrong one is an error of one line, the same for all."""
        public = (keys[alg].parent / f"{alg}.pub").read_text()
        assert FileSigner.open(keys[alg], word("sesame")).board_key + "\n" == public
        with pytest.raises(HostError, match=f"^key {keys[alg]}: wrong password, or the file is damaged$"):
            FileSigner.open(keys[alg], word("sesam"))

    @pytest.mark.parametrize("alg", ALGS)
    @pytest.mark.parametrize("password", [None, word("x")], ids=["open", "encrypted"])
    def test_the_file_is_its_owner_s_alone_whatever_the_umask(self, tmp_path, alg, password):
        """With or without a password; the public file is anybody's unless it is a secret. Its folder is made."""
        folder = tmp_path / "keys"
        before = os.umask(0)
        try:
            generate(folder / "k", alg, bits=2048, password=password)
        finally:
            os.umask(before)
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "k", folder / "k.pub")]
        assert modes == [0o700, 0o600, 0o600 if alg == "HS256" else 0o644]
        assert sorted(p.name for p in folder.iterdir()) == ["k", "k.pub"]

    @pytest.mark.parametrize("alg", ALGS)
    def test_an_encrypted_file_holds_nothing_of_the_key_in_the_open(self, tmp_path, alg):
        """No number of an RSA or EC key, no secret."""
        signer = generate(tmp_path / "k", alg, bits=2048, password=word("sesame"))
        data = (tmp_path / "k").read_bytes()
        if alg == "HS256":
            assert not any(base64.b64decode(part + b"==", b"-_").count(signer._private) for part in data.strip().split(b"."))
        else:
            numbers = signer._private.private_numbers()
            inner = base64.b64decode(b"".join(data.splitlines()[1:-1]))
            secret = numbers.d if alg == "RS256" else numbers.private_value
            assert secret.to_bytes(256 if alg == "RS256" else 32, "big") not in inner
            assert b"ENCRYPTED" in data.splitlines()[0]

    @pytest.mark.parametrize("alg", ALGS)
    def test_a_file_in_the_open_that_others_may_read_is_refused(self, tmp_path, alg):
        """As ssh does."""
        generate(tmp_path / "k", alg, bits=2048)
        assert FileSigner.open(tmp_path / "k", None).alg == alg
        (tmp_path / "k").chmod(0o640)
        with pytest.raises(ConfigError, match=r"k: not encrypted and readable by other users \(mode 0640\); run chmod 600 "):
            FileSigner.open(tmp_path / "k", None)

    @pytest.mark.parametrize("name", ["k", "k.pub"])
    @pytest.mark.parametrize("kind", ["file", "link to nowhere"])
    def test_a_file_that_is_there_is_never_replaced(self, tmp_path, name, kind):
        """The only copy of a key may be in it."""
        there = tmp_path / name
        there.symlink_to("nowhere") if "link" in kind else there.write_text("mine")
        with pytest.raises(ConfigError, match=f"{name}: already exists, and keys are never overwritten"):
            generate(tmp_path / "k", "ES256")
        assert [p.name for p in tmp_path.iterdir()] == [name]

    def test_a_name_that_is_taken_at_the_last_moment_is_not_replaced_either(self, tmp_path, monkeypatch):
        """Two at once."""
        monkeypatch.setattr("os.path.lexists", lambda path: False)
        (tmp_path / "k").write_text("mine")
        with pytest.raises(ConfigError, match="k: already exists"):
            generate(tmp_path / "k", "ES256")
        assert (tmp_path / "k").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1

    def test_a_disk_that_fails_leaves_no_half_a_key(self, tmp_path, monkeypatch):
        """Whole or not at all."""

        def fail(handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", fail)
        with pytest.raises(OutsideError, match="k: cannot be written: No space left on device"):
            generate(tmp_path / "k", "ES256")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param(b"", "not a private key; create one with `ota keygen`", id="empty"),
            pytest.param(b"RS256:AAAA\n", "not a private key; create one with `ota keygen`", id="board-key"),
            pytest.param(b"{}", "not a JWK of type oct", id="json"),
            pytest.param(b'{"kty":"oct","k":"AAAA"}', "the raw HS256 key has 3 bytes, must be 16 to 128", id="short"),
            pytest.param(b"-----BEGIN PUBLIC KEY-----\n", "not a private key; only a private key can sign", id="public"),
            pytest.param(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a PEM private key; RSA and EC keys are supported", id="pem"),
        ],
    )
    def test_a_file_that_is_no_private_key_is_refused_by_name(self, tmp_path, text, message):
        """One line, with what is wrong."""
        (tmp_path / "k").write_bytes(text)
        (tmp_path / "k").chmod(0o600)
        with pytest.raises(ConfigError, match=f"^key {tmp_path}/k: {message}"):
            FileSigner.open(tmp_path / "k", word("x"))

    def test_no_file_says_how_to_get_one(self, tmp_path):
        """And asks for no password."""
        with pytest.raises(ConfigError, match=f"^key {tmp_path}/k: no such file; create it with `ota keygen {tmp_path}/k`$"):
            open_signer(str(tmp_path / "k"))

    def test_a_pem_made_elsewhere_signs(self, tmp_path):
        """OpenSSL's old forms too."""
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"sesame"),
        )
        (tmp_path / "k").write_bytes(pem)
        signer = open_signer(str(tmp_path / "k"), word("sesame"))
        verify_apart(signer.board_key, b"x", signer.sign(b"x"))

    def test_nothing_that_is_printed_of_a_signer_is_its_secret(self, signers):
        """A traceback or a log may show it."""
        for name, signer in signers.items():
            assert repr(signer) == f"<FileSigner {signer.alg} {signer.key_id}>", name
        key = BoardKey.parse(signers["HS256"].board_key)
        assert repr(key) == f"<BoardKey HS256 {key.id}>"


class TestPassword:
    def test_a_file_wins_over_the_environment(self, tmp_path, monkeypatch):
        """Its first line, without the line's end."""
        monkeypatch.setenv("OTA_KEY_PASSWORD", "environment")
        (tmp_path / "p").write_bytes("zauber wört\r\nnot this\n".encode())
        assert Password(tmp_path / "p")("key") == "zauber wört".encode()
        assert Password()("key") == b"environment"

    def test_without_any_it_says_what_there_is(self, monkeypatch):
        """A build job does not wait for ever."""
        monkeypatch.delenv("OTA_KEY_PASSWORD", raising=False)
        monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
        expected = "^key k: needs a password: use --password-file, set OTA_KEY_PASSWORD, or run it in a terminal$"
        with pytest.raises(ConfigError, match=expected):
            Password()("key k")

    def test_a_terminal_is_asked_and_twice_for_a_new_key(self, monkeypatch):
        """It is not shown."""
        monkeypatch.delenv("OTA_KEY_PASSWORD", raising=False)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        asked = []
        monkeypatch.setattr("typer.prompt", lambda text, **options: asked.append((text, options)) or "sesame")
        assert Password(confirm=True)("key k") == b"sesame"
        assert asked == [("Password of key k", {"hide_input": True, "confirmation_prompt": True, "err": True})]

    def test_an_empty_or_endless_one_is_refused(self, tmp_path, monkeypatch):
        """With its length and the limit, not its text."""
        monkeypatch.setenv("OTA_KEY_PASSWORD", "x" * 1024)
        with pytest.raises(ConfigError, match="^OTA_KEY_PASSWORD: a password of 1024 bytes, must be 1 to 1023$"):
            Password()("key")
        (tmp_path / "p").write_text("\n")
        with pytest.raises(ConfigError, match="p: a password of 0 bytes"):
            Password(tmp_path / "p")("key")
        with pytest.raises(ConfigError, match="^--password-file none: cannot be read: No such file"):
            Password("none")("key")


MODULE = next(
    (p for p in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so") if os.path.exists(p)), None
)
HAS_TOKEN = bool(MODULE and shutil.which("softhsm2-util") and importlib.util.find_spec("pkcs11"))
needs_token = pytest.mark.skipif(
    not HAS_TOKEN, reason="a PKCS#11 token is missing: apt-get install softhsm2, pip install 'mpota[pkcs11]'"
)


class TestUri:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("pkcs11:object=k?module-path=/m", "token is missing: pkcs11:token=NAME;object=LABEL", id="token"),
            pytest.param("pkcs11:token=t;object=k", "module-path is missing", id="module"),
            pytest.param("pkcs11:token=t?module-path=/m", r"object \(the key's label\) or id is missing", id="object"),
            pytest.param("pkcs11:token=t;objekt=k?module-path=/m", "attribute 'objekt' is unknown; use one of token, serial,", id="unknown"),
            pytest.param("pkcs11:token=t;token=u?module-path=/m", "attribute 'token' appears twice", id="twice"),
            pytest.param("pkcs11:token=t;object=k?module-path=/m&pin-value=1234", "pin-value would expose the PIN", id="pin"),
        ],
    )
    def test_a_uri_that_names_no_key_is_refused(self, text, message):
        """And a PIN in it is in no message."""
        with pytest.raises(ConfigError, match=f"^pkcs11: {message}") as e:
            open_signer(text)
        assert "1234" not in str(e.value)

    def test_the_escapes_of_rfc_7512_are_undone(self):
        """Blanks in a label, bytes in an id."""
        found = parse_uri("pkcs11:token=my%20token;id=%01%FF;type=private?module-path=/m.so&pin-source=file:/p")
        assert (found["token"], found["id"], found["pin-source"]) == ("my token", b"\x01\xff", "file:/p")

    @pytest.mark.skipif(not importlib.util.find_spec("pkcs11"), reason="python-pkcs11 is missing: pip install 'mpota[pkcs11]'")
    def test_a_module_that_is_none_is_named(self):
        """The path is the likely slip."""
        with pytest.raises(OutsideError, match="^pkcs11 module /none.so: cannot be loaded: "):
            open_signer("pkcs11:token=t;object=k?module-path=/none.so", word("1234"))


_TOKEN = {}  # one for a process: SoftHSM reads its configuration when it is loaded, and never again


def make_token(folder):
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    util = ["softhsm2-util", "--token", "test"]
    init = ["softhsm2-util", "--init-token", "--free", "--label", "test", "--pin", "1234", "--so-pin", "5678"]
    subprocess.run(init, check=True, capture_output=True)
    made = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
    }
    for number, (label, private) in enumerate(made.items(), 1):
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / label).write_bytes(private.private_bytes(serialization.Encoding.PEM, *form))
        words = ["--import", folder / label, "--label", label, "--id", f"{number:02d}", "--pin", "1234"]
        subprocess.run([*util, *words], check=True, capture_output=True)
    return {label: FileSigner(k, label).board_key for label, k in made.items() if label != "p384"}


@pytest.fixture
def token(tmp_path_factory):
    """{label: board key} of a token of SoftHSM, whose keys another program has put there."""
    if not _TOKEN:
        _TOKEN.update(make_token(tmp_path_factory.mktemp("token")))
    return _TOKEN


@needs_token
class TestToken:
    """A token of SoftHSM, which is a real PKCS#11 module; keys are made in it by another program."""

    def uri(self, label):
        return f"pkcs11:token=test;{label}?module-path={MODULE}"

    @pytest.mark.parametrize(("label", "alg"), [("rsa", "RS256"), ("ec", "ES256")])
    def test_a_key_of_a_token_signs_as_its_file_would(self, token, label, alg):
        """By its label and by its id."""
        signer = open_signer(self.uri(f"object={label}"), word("1234"))
        assert (type(signer), signer.alg, signer.board_key) == (Pkcs11Signer, alg, token[label])
        verify_apart(signer.board_key, RAW, signer.sign(RAW))
        number = {"rsa": "%01", "ec": "%02"}[label]
        assert open_signer(self.uri(f"id={number}"), word("1234")).key_id == signer.key_id
        signed = sign_manifest(RAW, [signer])
        assert check_signatures(signed, [token[label]]) == [signer.key_id] and sign_manifest(signed, [signer]) == signed

    def test_the_public_half_needs_no_pin(self, token):
        """`ota pubkey` can be run by anybody."""
        assert open_signer(self.uri("object=rsa"), None).board_key == token["rsa"]

    def test_the_pin_may_come_from_a_file(self, token, tmp_path):
        """As RFC 7512 has it."""
        (tmp_path / "pin").write_text("1234\n")
        signer = open_signer(self.uri("object=ec") + f"&pin-source=file:{tmp_path}/pin", word("wrong"))
        verify_apart(signer.board_key, b"x", signer.sign(b"x"))

    def test_what_does_not_answer_is_one_line(self, token):
        """Each with the token and the key."""
        with pytest.raises(OutsideError, match="^pkcs11 token 'test' object 'rsa': wrong PIN$"):
            open_signer(self.uri("object=rsa"), word("4321")).sign(b"x")
        with pytest.raises(ConfigError, match="^pkcs11 token 'test' object 'dsa': no public key with that name$"):
            open_signer(self.uri("object=dsa"), word("1234"))
        with pytest.raises(ConfigError, match="an EC key on secp384r1, must be P-256"):
            open_signer(self.uri("object=p384"), word("1234"))
        with pytest.raises(ConfigError, match="has 0 tokens named 'none', must have exactly one"):
            open_signer(f"pkcs11:token=none;object=rsa?module-path={MODULE}", word("1234"))


class TestPlugin:
    class Remote(Signer):
        """A signer of three lines, as a plug-in's author writes it."""

        def __init__(self, private, board_key):
            self._private = private
            super().__init__(board_key)

        def _sign(self, message):
            return self._private.sign(message)

    def test_a_plug_in_signs_a_manifest(self, signers):
        """One hook is all it takes."""
        signer = self.Remote(signers["RS256"], signers["RS256"].board_key)
        assert check_signatures(sign_manifest(RAW, [signer]), [signer.board_key]) == [signer.key_id]

    def test_one_whose_signature_is_of_another_key_is_caught(self, signers):
        """Before boards refuse it, one after another."""
        signer = self.Remote(signers["other"], signers["ES256"].board_key)
        with pytest.raises(OutsideError, match="^signer: its signature does not verify with its own public key"):
            sign_manifest(RAW, [signer])

    def test_the_command_line_names_it_by_its_entry_point(self, monkeypatch, signers):
        """`--key vault:release`."""

        class Point:
            @staticmethod
            def load():
                return lambda rest: (rest, signers["RS256"])

        found = {"vault": [Point]}
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group, name: found.get(name, []))
        assert open_signer("vault:release/1") == ("release/1", signers["RS256"])
        with pytest.raises(ConfigError, match="^key other:…: no plug-in 'other' is registered under the entry point group mpota.signers"):
            open_signer("other:x")
