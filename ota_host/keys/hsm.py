"""Private keys that never leave a token: PKCS#11, named by a URI of RFC 7512."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from .. import extras
from ..errors import ConfigError, OutsideError
from .board import BoardKey, of_public
from .password import Password
from .signer import Ask, Signer

# RFC 7512: attributes of the path, and of the query.
_PATH = ("token", "serial", "object", "id", "type")
_QUERY = ("module-path", "pin-source")


def parse_uri(text: str) -> dict[str, Any]:
    """The attributes of a pkcs11: URI (dict of str, `id` of bytes).

    Raises:
        ConfigError: an attribute that is unknown, twice or missing; never with a PIN in it.
    """
    path, _, query = text.removeprefix("pkcs11:").partition("?")
    found: dict[str, Any] = {}
    for part, known, sign in ((path, _PATH, ";"), (query, _QUERY, "&")):
        for pair in filter(None, part.split(sign)):
            name, _, value = pair.partition("=")
            if name == "pin-value":
                raise ConfigError("pkcs11: pin-value would expose the PIN; use pin-source=file:PATH or OTA_KEY_PASSWORD")
            if name not in known or name in found:
                what = "appears twice" if name in found else f"is unknown; use one of {', '.join(known)}"
                raise ConfigError(f"pkcs11: attribute {name!r} {what}")
            found[name] = unquote_to_bytes(value) if name == "id" else unquote(value)
    for name in ("token", "module-path"):
        if not found.get(name):
            raise ConfigError(f"pkcs11: {name} is missing: pkcs11:token=NAME;object=LABEL?module-path=/path/to/module.so")
    if not found.get("object") and not found.get("id"):
        raise ConfigError("pkcs11: object (the key's label) or id is missing")
    return found


class Pkcs11Signer(Signer):
    """Signs with an RSA or P-256 key of a PKCS#11 token; needs the extra `pkcs11`.

    Args:
        uri (str): `pkcs11:token=NAME;object=LABEL?module-path=/usr/lib/softhsm/libsofthsm2.so`, with
            `id=%01%02` and `serial=` as RFC 7512 has them, and `pin-source=file:PATH`.
        password: called with the name of the key, for the PIN (bytes).

    Raises:
        ConfigError: a bad URI, no such token or key, or a key of another kind.
        OutsideError: the module does not answer, or the PIN is wrong.
    """

    def __init__(self, uri: str, password: Ask | None = None) -> None:
        self._at = at = parse_uri(uri)
        if "pin-source" in at:
            password = Password(at["pin-source"].removeprefix("file:"))
        self._password = password or Password()
        self._pin: str | None = None
        self.name = f"pkcs11 token {at['token']!r} object {at.get('object') or at['id'].hex()!r}"
        try:
            key = self._call(self._public)
        except ConfigError:  # some tokens show nothing before the PIN
            key = self._call(self._public, pin=self._ask())
        super().__init__(key.text, self.name)

    def _ask(self) -> str:
        if self._pin is None:
            self._pin = self._password(self.name).decode("utf-8", "surrogateescape")
        return self._pin

    def _call(self, hook: Callable[..., Any], *args: object, pin: str | None = None) -> Any:
        try:
            import pkcs11
        except ImportError:
            raise extras.missing(self.name, "pkcs11", ["python-pkcs11"]) from None
        try:
            with self._token(pkcs11).open(user_pin=pin) as session:
                return hook(pkcs11, session, *args)
        except pkcs11.exceptions.PinIncorrect:
            raise OutsideError(f"{self.name}: wrong PIN") from None
        except pkcs11.exceptions.PinLocked:
            raise OutsideError(f"{self.name}: the PIN is locked") from None
        except pkcs11.exceptions.PKCS11Error as e:
            raise OutsideError(f"{self.name}: {type(e).__name__} {e}".rstrip()) from None

    def _token(self, pkcs11: Any) -> Any:
        module = self._at["module-path"]
        try:
            library = pkcs11.lib(module)
        except (RuntimeError, OSError) as e:
            raise OutsideError(f"pkcs11 module {module}: cannot be loaded: {e}") from None
        found = [
            t
            for t in library.get_tokens(token_label=self._at["token"])
            if self._at.get("serial") in (None, t.serial.decode(errors="replace").strip())
        ]
        if len(found) != 1:
            raise ConfigError(
                f"pkcs11 module {module}: has {len(found)} tokens named {self._at['token']!r}, must have exactly one"
            )
        return found[0]

    def _find(self, pkcs11: Any, session: Any, kind: Any) -> Any:
        try:
            return session.get_key(object_class=kind, label=self._at.get("object"), id=self._at.get("id"))
        except pkcs11.exceptions.NoSuchKey:
            raise ConfigError(f"{self.name}: no {kind.name.lower().replace('_', ' ')} with that name") from None
        except pkcs11.exceptions.MultipleObjectsReturned:
            raise ConfigError(f"{self.name}: several keys match; select one with id=%01%02") from None

    def _public(self, pkcs11: Any, session: Any) -> BoardKey:
        from cryptography.hazmat.primitives.serialization import load_der_public_key
        from pkcs11.util.ec import encode_ec_public_key
        from pkcs11.util.rsa import encode_rsa_public_key

        key = self._find(pkcs11, session, pkcs11.ObjectClass.PUBLIC_KEY)
        encode = {pkcs11.KeyType.RSA: encode_rsa_public_key, pkcs11.KeyType.EC: encode_ec_public_key}.get(key.key_type)
        if not encode:
            raise ConfigError(f"{self.name}: a key of type {key.key_type.name}; must be RSA or EC on P-256")
        return of_public(load_der_public_key(encode(key)), self.name)

    def _sign(self, message: bytes) -> bytes:
        return bytes(self._call(self._sign_in, message, pin=self._ask()))

    def _sign_in(self, pkcs11: Any, session: Any, message: bytes) -> Any:
        from hashlib import sha256

        key = self._find(pkcs11, session, pkcs11.ObjectClass.PRIVATE_KEY)
        if self.alg == "RS256":
            return key.sign(message, mechanism=pkcs11.Mechanism.SHA256_RSA_PKCS)
        # Few tokens hash for ECDSA; the signature is r and s already.
        return key.sign(sha256(message).digest(), mechanism=pkcs11.Mechanism.ECDSA)
