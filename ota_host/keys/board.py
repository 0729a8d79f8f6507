"""Keys in the form that boards know: `ALG:` and the raw key in Base64.

| ALG | raw key | signature |
|---|---|---|
| RS256 | the modulus, big-endian; the exponent is 65537 | RSASSA-PKCS1-v1_5 with SHA-256 |
| ES256 | x and y of the point on P-256, 32 bytes each | r and s, 32 bytes each |
| HS256 | the secret | HMAC-SHA-256 of the message |
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, HostError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

# Bytes of a raw key, as boards read it. `ota keygen` makes HS256 secrets of 32, as JOSE asks for at least that many.
SIZES = {"RS256": (256, 512), "ES256": (64, 64), "HS256": (16, 128)}
EXPONENT = 65537
_ID = 16  # hex digits


@dataclass(frozen=True, repr=False)
class BoardKey:
    """A key as a board has it: its algorithm `alg` and its `raw` bytes (of HS256, the secret itself)."""

    alg: str
    raw: bytes

    @classmethod
    def parse(cls, text: str, where: str = "board key") -> "BoardKey":
        """Read `ALG:BASE64`.

        Raises:
            ConfigError: it is none; `where` says which, since the text may be a secret.
        """
        alg, colon, encoded = str(text).strip().partition(":")
        if not colon or alg not in SIZES:
            raise ConfigError(f"{where}: must be ALG:BASE64, with ALG one of {', '.join(SIZES)}")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError(f"{where}: the text after {alg}: is not padded Base64") from None
        least, most = SIZES[alg]
        if not least <= len(raw) <= most:
            size = str(least) if least == most else f"{least} to {most}"
            raise ConfigError(f"{where}: the raw {alg} key has {len(raw)} bytes, must be {size}")
        key = cls(alg, raw)
        if alg != "HS256":
            key._check(where)
        return key

    def _check(self, where: str) -> None:
        if self.alg == "RS256" and not (self.raw[0] and self.raw[-1] & 1):
            raise ConfigError(f"{where}: the RS256 modulus must be odd, without leading zero bytes")
        try:
            self.public()
        except ValueError:
            raise ConfigError(f"{where}: the raw {self.alg} key is not a valid public key") from None

    @property
    def text(self) -> str:
        """`ALG:BASE64`."""
        return f"{self.alg}:{base64.b64encode(self.raw).decode()}"

    @property
    def id(self) -> str:
        """The first 16 hex digits of SHA-256(ALG + raw key): how a signature names its key."""
        return sha256(self.alg.encode() + self.raw).hexdigest()[:_ID]

    def __repr__(self) -> str:
        return f"<BoardKey {self.alg} {self.id}>"

    def public(self) -> "RSAPublicKey | EllipticCurvePublicKey":
        """The public key as `cryptography` has it; raises ValueError."""
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        if self.alg == "RS256":
            return rsa.RSAPublicNumbers(EXPONENT, int.from_bytes(self.raw, "big")).public_key()
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + self.raw)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (bytes, JOSE form) of `message` (bytes) is by this key."""
        if self.alg == "HS256":
            return hmac.compare_digest(hmac.digest(self.raw, message, "sha256"), signature)
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        public = self.public()
        try:
            if isinstance(public, rsa.RSAPublicKey):
                public.verify(signature, message, padding.PKCS1v15(), SHA256())
            elif len(signature) == 64:
                r, s = (int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))
                public.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
            else:
                return False
        except InvalidSignature:
            return False
        return True


def of_public(public: object, where: str = "key") -> BoardKey:
    """The BoardKey of a public key of `cryptography`.

    Raises:
        ConfigError: of another kind, curve or size; `where` names it.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        least, most = (8 * size for size in SIZES["RS256"])
        if not least <= public.key_size <= most:
            raise ConfigError(f"{where}: an RSA key of {public.key_size} bits, must be {least} to {most}")
        if numbers.e != EXPONENT:
            raise ConfigError(f"{where}: an RSA key with exponent {numbers.e}, must be {EXPONENT}")
        return BoardKey("RS256", numbers.n.to_bytes((public.key_size + 7) // 8, "big"))
    if isinstance(public, ec.EllipticCurvePublicKey):
        if public.curve.name != "secp256r1":
            raise ConfigError(f"{where}: an EC key on {public.curve.name}, must be P-256 (secp256r1)")
        point = public.public_numbers()
        return BoardKey("ES256", point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big"))
    kind = type(public).__name__.lstrip("_")
    raise ConfigError(f"{where}: is an {kind}, must be RSA or EC on P-256")


def board_key_of(pem: bytes, where: str = "key") -> str:
    """The board key (str) of a PEM public key that was made elsewhere.

    Args:
        pem (bytes): `-----BEGIN PUBLIC KEY-----` and so on.
        where (str): its name in a message.

    Raises:
        ConfigError: no PEM public key, RSA under 2048 bits or with an exponent other than
            65537, or another curve than P-256.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{where}: not a PEM public key; RSA and EC keys are supported") from None
    return of_public(public, where).text


def read_board_keys(texts: Iterable[str], folder: str | Path = ".") -> list[BoardKey]:
    """The BoardKeys of a list as in ota.toml, none twice.

    Args:
        texts (list of str): each a board key, or the name of a file with one a line.
        folder (Path): what names of files are relative to.

    Raises:
        ConfigError: a file that cannot be read, or what is no board key; never with the text itself.
    """
    found = {}
    for i, text in enumerate(texts):
        where = f"keys[{i}]"
        lines = [(where, text)]
        if not re.match(r"[A-Z]{2}\d{3}:", text):
            path = Path(folder) / Path(text).expanduser()
            try:
                read = path.read_text("utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as e:
                reason = getattr(e, "strerror", None) or "is not UTF-8"
                raise ConfigError(f"{where}: neither ALG:BASE64 nor a readable file of board keys: {reason}") from None
            lines = [(f"{path}, line {n}", line) for n, line in enumerate(read, 1) if line.strip()]
        elif text.startswith("HS256:"):
            raise ConfigError(f"{where}: an HS256 key is a secret: put it in a file outside the project and give its name here")
        for at, line in lines:
            key = BoardKey.parse(line, at)
            found[key.id] = key
    return list(found.values())


def check_alg(alg: str) -> str:
    """Return `alg` when it is one of the algorithms; raises HostError."""
    if alg not in SIZES:
        raise HostError(f"algorithm {alg!r}: must be one of {', '.join(SIZES)}")
    return alg
