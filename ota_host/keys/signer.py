"""Signer: base of what holds a private key, and how the command line names one."""

from collections.abc import Callable

from ..errors import ConfigError, OutsideError
from .board import BoardKey

# Entry points of this group are plug-ins: `--key kms:alias/ota` calls the one named `kms` with "alias/ota".
PLUGINS = "mpota.signers"
# Called with the name of a key, gives its password or PIN.
Ask = Callable[[str], bytes]


class Signer:
    """Base of the signers. A plug-in calls this constructor with its public key, and overrides `_sign`.

        class KmsSigner(Signer):
            def __init__(self, name):
                self._client, self._name = Client(), name
                super().__init__(board_key_of(self._client.public_pem(name)))

            def _sign(self, message: bytes) -> bytes:
                return self._client.sign(self._name, message)

    Args:
        board_key (str): `ALG:BASE64`, the public key as boards know it.
        name (str): what messages call it.

    Attributes:
        alg (str): RS256, ES256 or HS256.
        board_key (str): as given.
        key_id (str): 16 hex digits.
    """

    def __init__(self, board_key: str, name: str = "signer") -> None:
        self._key = BoardKey.parse(board_key, name)
        self.name = name
        self.alg = self._key.alg
        self.board_key = self._key.text
        self.key_id = self._key.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alg} {self.key_id}>"

    def sign(self, message: bytes) -> bytes:
        """The signature (bytes) of `message` (bytes) in the JOSE form: ES256 as r and s, 64 bytes.

        Raises:
            OutsideError: what the hook gave does not verify with the public key.
        """
        signature = self._sign(message)
        if not isinstance(signature, bytes) or not self._key.verifies(message, signature):
            raise OutsideError(f"{self.name}: its signature does not verify with its own public key {self.key_id}")
        return signature

    def _sign(self, message: bytes) -> bytes:
        raise NotImplementedError


def open_signer(text: str, password: Ask | None = None) -> Signer:
    """The Signer that `text` names.

    Args:
        text (str): a private key file as `ota keygen` writes it, any PEM private key of RSA or
            P-256, a `pkcs11:` URI, or `NAME:…` of a plug-in.
        password: called with (what, what is wrong with none) for the password or PIN (bytes);
            default: environment or prompt.

    Raises:
        ConfigError: it names none, or its key is of the wrong kind.
        HostError: wrong password.
        OutsideError: the file or the token does not answer.
    """
    from .files import FileSigner
    from .hsm import Pkcs11Signer
    from .password import Password

    text = str(text)
    password = password or Password()
    scheme, colon, rest = text.partition(":")
    if scheme == "pkcs11" and colon:
        return Pkcs11Signer(text, password)
    # A single letter is a drive.
    if colon and len(scheme) > 1 and scheme.isidentifier():
        return _plugin(scheme)(rest)
    return FileSigner.open(text, password)


def _plugin(scheme: str) -> Callable[[str], Signer]:
    from importlib.metadata import entry_points

    for point in entry_points(group=PLUGINS, name=scheme):
        plugin: Callable[[str], Signer] = point.load()
        return plugin
    raise ConfigError(
        f"key {scheme}:…: no plug-in {scheme!r} is registered under the entry point group {PLUGINS}; for a file, write ./{scheme}:…"
    )
