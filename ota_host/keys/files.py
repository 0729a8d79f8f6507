"""Private keys in files: PEM (PKCS#8) for RSA and EC, a JWK inside a JWE for the secret of HS256."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import stat
import tempfile
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from ..errors import ConfigError, HostError, OutsideError
from .board import EXPONENT, BoardKey, check_alg, of_public
from .signer import Ask, Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from joserfc.jwk import OctKey

# What a file holds: for HS256 the secret itself.
Private = Union["RSAPrivateKey", "EllipticCurvePrivateKey", bytes]

# OWASP's count for PBKDF2 with HMAC-SHA-512; that of `cryptography` is 2,048.
_ROUNDS = 210_000
# Object identifiers in DER, for the same in PKCS#8.
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA512 = bytes.fromhex("06082a864886f70d020b")
_AES256_CBC = bytes.fromhex("060960864801650304012a")
_JWE = ["PBES2-HS512+A256KW", "A256GCM"]
BITS = (2048, 3072, 4096)
_SECRET = 32  # bytes


class FileSigner(Signer):
    """Signs with a private key that a file holds."""

    def __init__(self, private: Private, name: str) -> None:
        self._private = private
        key = BoardKey("HS256", private) if isinstance(private, bytes) else of_public(private.public_key(), name)
        super().__init__(key.text, name)

    @classmethod
    def open(cls, path: str | Path, password: Ask) -> "FileSigner":
        """Read a file.

        Args:
            path (str or Path): the file.
            password: called with the name of the file, for its password (bytes), when it has one.

        Raises:
            ConfigError: no such file, no private key, or one that is neither encrypted nor its owner's alone.
            HostError: wrong password.
            OutsideError: it cannot be read.
        """
        path = Path(path).expanduser()
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise ConfigError(f"key {path}: no such file; create it with `ota keygen {path}`") from None
        except OSError as e:
            raise OutsideError(f"key {path}: cannot be read: {e.strerror}") from None
        load = _pem if b"-----BEGIN" in data else _jwk
        private, is_encrypted = load(data, f"key {path}", lambda: password(f"key {path}"))
        if not is_encrypted:
            _check_mode(path)
        return cls(private, f"key {path}")

    def _sign(self, message: bytes) -> bytes:
        if isinstance(self._private, bytes):
            return hmac.digest(self._private, message, "sha256")
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        if isinstance(self._private, rsa.RSAPrivateKey):
            return self._private.sign(message, padding.PKCS1v15(), SHA256())
        r, s = decode_dss_signature(self._private.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _pem(data: bytes, where: str, password: Callable[[], bytes]) -> tuple[Any, bool]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if b"PRIVATE KEY-----" not in data:
        raise ConfigError(f"{where}: not a private key; only a private key can sign")
    is_encrypted = b"BEGIN ENCRYPTED" in data or b"Proc-Type: 4,ENCRYPTED" in data
    try:
        return load_pem_private_key(data, password() if is_encrypted else None), is_encrypted
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if is_encrypted:
            raise HostError(f"{where}: wrong password, or the file is damaged") from None
        raise ConfigError(f"{where}: not a PEM private key; RSA and EC keys are supported") from None


def _jwk(data: bytes, where: str, password: Callable[[], bytes]) -> tuple[bytes, bool]:
    is_encrypted = not data.lstrip().startswith(b"{")
    if is_encrypted:
        if data.count(b".") != 4:
            raise ConfigError(f"{where}: not a private key; create one with `ota keygen`")
        data = _decrypt(data, where, password())
    try:
        jwk = json.loads(data)
        secret = base64.urlsafe_b64decode(jwk["k"] + "==") if jwk["kty"] == "oct" else b""
    except (ValueError, KeyError, TypeError):
        secret = b""
    if not secret:
        raise ConfigError(f"{where}: not a JWK of type oct")
    return secret, is_encrypted


def _oct(password: bytes) -> "OctKey":
    from joserfc.jwk import OctKey

    with warnings.catch_warnings():
        # It takes a password for a key, and calls a short one weak.
        warnings.simplefilter("ignore")
        key: OctKey = OctKey.import_key(password)
        return key


def _decrypt(data: bytes, where: str, password: bytes) -> bytes:
    from joserfc import jwe
    from joserfc.errors import JoseError

    try:
        return jwe.decrypt_compact(data.strip(), _oct(password), algorithms=_JWE).plaintext or b""
    except (JoseError, ValueError):
        raise HostError(f"{where}: wrong password, or the file is damaged") from None


def _check_mode(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(f"key {path}: not encrypted and readable by other users (mode {mode:04o}); run chmod 600 {path}")


def generate(path: str | Path, alg: str = "RS256", bits: int = 3072, password: Ask | None = None) -> FileSigner:
    """Make a key: the file `path` and `path`.pub, neither of which may be there.

    Args:
        path (Path): the private key's file; its mode becomes 0600.
        alg (str): RS256, ES256 or HS256.
        bits (int): of an RSA key: 2048, 3072 or 4096.
        password: called with the name of the file, for what encrypts it (bytes); None leaves it in the open.

    Returns:
        FileSigner: the key.

    Raises:
        ConfigError: a file that is there, or other bits.
        OutsideError: it cannot be written.
    """
    path = Path(path).expanduser()
    public = path.with_name(path.name + ".pub")
    for file in (path, public):
        if os.path.lexists(file):
            raise ConfigError(f"{file}: already exists, and keys are never overwritten; choose another name")
    if bits not in BITS:
        raise ConfigError(f"bits = {bits}: must be one of {', '.join(map(str, BITS))}")
    check_alg(alg)
    word = password(f"key {path}") if password else None
    private: Private
    if alg == "HS256":
        private = os.urandom(_SECRET)
        data = _encode_secret(private, word)
    else:
        private = _new_private(alg, bits)
        data = _encode_private(private, word)
    signer = FileSigner(private, f"key {path}")
    _write_new(path, data, 0o600)
    _write_new(public, signer.board_key.encode() + b"\n", 0o600 if alg == "HS256" else 0o644)
    return signer


def _new_private(alg: str, bits: int) -> "RSAPrivateKey | EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if alg == "RS256":
        return rsa.generate_private_key(EXPONENT, bits)
    return ec.generate_private_key(ec.SECP256R1())


def _encode_private(private: "RSAPrivateKey | EllipticCurvePrivateKey", password: bytes | None) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if password is None:
        return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    body = "\n".join(textwrap.wrap(base64.b64encode(_wrap(der, password)).decode(), 64))
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n-----END ENCRYPTED PRIVATE KEY-----\n".encode()


def _wrap(der: bytes, password: bytes) -> bytes:
    # PBES2 of RFC 8018. `cryptography` reads any number of rounds, but always writes 2,048.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    salt, iv = os.urandom(16), os.urandom(16)
    key = hashlib.pbkdf2_hmac("sha512", password, salt, _ROUNDS, 32)
    padder, encryptor = PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    sealed = encryptor.update(padder.update(der) + padder.finalize()) + encryptor.finalize()
    derivation = _seq(_PBKDF2, _seq(_der(4, salt), _der(2, _ROUNDS.to_bytes(3, "big")), _seq(_HMAC_SHA512, _der(5))))
    return _seq(_seq(_PBES2, _seq(derivation, _seq(_AES256_CBC, _der(4, iv)))), _der(4, sealed))


def _der(tag: int, content: bytes = b"") -> bytes:
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, *([size] if size < 128 else [0x80 | len(length), *length])]) + content


def _seq(*parts: bytes) -> bytes:
    return _der(0x30, b"".join(parts))


def _encode_secret(secret: bytes, password: bytes | None) -> bytes:
    text = {"kty": "oct", "use": "sig", "alg": "HS256", "k": base64.urlsafe_b64encode(secret).decode().rstrip("=")}
    data = json.dumps(text, separators=(",", ":"))
    if password is not None:
        from joserfc import jwe

        header = {"alg": _JWE[0], "enc": _JWE[1], "p2c": _ROUNDS, "cty": "jwk+json"}
        data = jwe.encrypt_compact(header, data.encode(), _oct(password), algorithms=_JWE)
    return data.encode() + b"\n"


def _write_new(path: Path, data: bytes, mode: int) -> None:
    # Whole or not at all, with its mode from the first byte, and never over another file.
    if path.parent.is_file():
        raise OutsideError(f"{path}: cannot be written: {path.parent} is a file, not a folder")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=".ota-key-", dir=path.parent)  # made with mode 0600
        try:
            with os.fdopen(handle, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            os.chmod(scratch, mode)
            _name(scratch, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(scratch)
    except FileExistsError:
        raise ConfigError(f"{path}: already exists, and keys are never overwritten; choose another name") from None
    except OSError as e:
        raise OutsideError(f"{path}: cannot be written: {e.strerror}") from None


def _name(scratch: str, path: Path) -> None:
    try:
        os.link(scratch, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: nothing else can name a file only if the name is free.
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.rename(scratch, path)
