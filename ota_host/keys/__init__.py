"""Keys and signatures of releases.

    signer = open_signer("sample.key")            # or pkcs11:token=…;object=…?module-path=…
    signed = sign_manifest(raw, [signer])
    check_signatures(signed, [signer.board_key])  # the ids of the keys whose signatures verify

A signed manifest is the unsigned one and a line for each signature. A signature covers every
byte before the first of those lines. Boards know a key in its short form, the board key:
`ALG:` and the raw key in Base64.

Where a private key lives is a plug-in: a `Signer` with one hook, `_sign`.
"""

from .board import BoardKey, board_key_of, read_board_keys
from .files import FileSigner, generate
from .hsm import Pkcs11Signer
from .seal import Seal, check_signatures, sign_manifest, split
from .signer import Signer, open_signer

__all__ = [
    "BoardKey",
    "FileSigner",
    "Pkcs11Signer",
    "Seal",
    "Signer",
    "board_key_of",
    "check_signatures",
    "generate",
    "open_signer",
    "read_board_keys",
    "sign_manifest",
    "split",
]
