"""The project's keys as keys of TUF.

| key | keytype, scheme of TUF | signature |
|---|---|---|
| RS256 | rsa, rsa-pkcs1v15-sha256 | as it is |
| ES256 | ecdsa, ecdsa-sha2-nistp256 | r and s in DER |
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from ..errors import ConfigError
from ..keys import BoardKey, board_key_of, open_signer, read_board_keys

if TYPE_CHECKING:
    from ..keys import Signer as HostSigner
    from ..keys.signer import Ask

_SCHEMES = {"RS256": "rsa-pkcs1v15-sha256", "ES256": "ecdsa-sha2-nistp256"}


def public_key(board_key: str | BoardKey, name: str = "key") -> SSlibKey:
    """The public key of TUF (SSlibKey) of a board key (str or BoardKey).

    Raises:
        ConfigError: HS256 has no public key; `name` is what the message calls it.
    """
    key = board_key if isinstance(board_key, BoardKey) else BoardKey.parse(board_key, name)
    if key.alg not in _SCHEMES:
        raise ConfigError(f"{name}: an {key.alg} key; TUF supports {', '.join(_SCHEMES)}")
    return SSlibKey.from_crypto(key.public(), scheme=_SCHEMES[key.alg])


class TufSigner(Signer):
    """Signs metadata with a signer of `ota_host.keys`: a file, a token or a plug-in.

    Args:
        signer (ota_host.keys.Signer): RS256 or ES256.
    Raises:
        ConfigError: an HS256 key.
    """

    def __init__(self, signer: "HostSigner") -> None:
        self._signer = signer
        self._public = public_key(signer.board_key, signer.name)

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key | None = None, secrets_handler: SecretsHandler | None = None
    ) -> "TufSigner":
        """As `open_signer(priv_key_uri)`."""
        return cls(open_signer(priv_key_uri))

    @property
    def public_key(self) -> SSlibKey:
        return self._public

    def sign(self, payload: bytes) -> Signature:
        """The Signature of `payload` (bytes); raises OutsideError."""
        raw = self._signer.sign(payload)
        if self._signer.alg == "ES256":
            r, s = (int.from_bytes(raw[i : i + 32], "big") for i in (0, 32))
            raw = encode_dss_signature(r, s)
        return Signature(self._public.keyid, raw.hex())


def load(name: str, password: "Ask | None" = None) -> tuple[SSlibKey, TufSigner | None]:
    """The key that `name` stands for.

    Args:
        name (str): a board key, a file with one or with a public key in PEM; or what
            `ota_host.keys.open_signer` takes.
        password: as for `open_signer`.

    Returns:
        (SSlibKey, TufSigner or None): None for what is public only.

    Raises:
        HostError: it is no such key.
    """
    path = Path(name).expanduser()
    data = path.read_bytes() if not name.startswith("pkcs11:") and path.is_file() else b""
    if b"-----BEGIN" in data and b"PRIVATE KEY-----" not in data:
        return public_key(board_key_of(data, name), name), None
    if re.match(r"[A-Z]{2}\d{3}:", name) or re.match(rb"[A-Z]{2}\d{3}:", data):
        found = read_board_keys([name])
        if len(found) != 1:
            raise ConfigError(f"{name}: holds {len(found)} board keys, must hold exactly one")
        return public_key(found[0], name), None
    signer = TufSigner(open_signer(name, password))
    return signer.public_key, signer
