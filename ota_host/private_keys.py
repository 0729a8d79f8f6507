"""Private keys in the files of a release, whatever the name of the file and wherever in it they are."""

import ast
import base64
import binascii
import re

_PEM = re.compile(
    rb"-----? ?BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)? ?-----?"
    # Headers of the key, or quotes where it is text in a program; then the key itself, not only its name.
    rb"[\s\S]{0,400}?[A-Za-z0-9+/]{48}"
)
_JWK_KIND = re.compile(rb"""["']kty["']\s*:\s*["'](?:oct|RSA|EC|OKP)["']""")
_JWK_SECRET = re.compile(rb"""["'][dk]["']\s*:\s*["'][A-Za-z0-9_-]{20,}["']""")
_JWE = re.compile(rb"(?<![A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{20,})(?:\.[A-Za-z0-9_-]+){4}\b")
_SECRET = re.compile(rb"\bHS256:[A-Za-z0-9+/]{22,}")
_BASE64 = re.compile(rb"(?<![A-Za-z0-9+/])M[A-Za-z0-9+/]{60,}={0,2}")
# What stands between the lines of a text, or between the literals of a program.
_FOLD = re.compile(rb"""["']?[ \t]*\\?\r?\n[ \t]*(?:b?["'])?""")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
# PKCS#12: version 3, then data of the type pkcs7-data.
_PKCS12 = re.compile(rb"\x30[\x80-\x84][\s\S]{0,4}\x02\x01\x03\x30[\s\S]{1,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07")
# More than the mark of a format, which a program that reads it contains too.
_MARKS = (
    (re.compile(rb"openssh-key-v1\0[\s\S]{64}"), "an OpenSSH private key"),
    (re.compile(rb"PuTTY-User-Key-File-\d+: \w"), "a PuTTY private key"),
    (re.compile(rb"AGE-SECRET-KEY-1[0-9A-Za-z]{20}"), "an age private key"),
    (re.compile(rb"\A\xfe\xed\xfe\xed[\s\S]{64}"), "a Java key store"),
)
_SHORTEST = 40  # bytes of a literal that can hold a key
_LARGEST = 64 << 10  # bytes of a key in DER


def find(data: bytes) -> str | None:
    """What private key is in the content of a file, None without one."""
    if b"\0" in data[:64]:
        plain = data.replace(b"\0", b"")  # text in UTF-16
        if _PEM.search(plain):
            return "a private key (PEM)"
    if _PEM.search(data):
        return "a private key (PEM)"
    for mark, what in _MARKS:
        if mark.search(data):
            return what
    if _PKCS12.match(data):
        return "a PKCS#12 key store"
    if _is_der(data):
        return "a private key (DER)"
    if _JWK_KIND.search(data) and _JWK_SECRET.search(data):
        return "a private key (JWK)"
    if _SECRET.search(data):
        return "the secret of an HS256 key"
    if any(_is_wrapped(found[1]) for found in _JWE.finditer(data)):
        return "a private key (encrypted JWK)"
    # In lines, or in literals one behind the other.
    if any(_is_der(_decode(found[0])) for text in (data, _FOLD.sub(b"", data)) for found in _BASE64.finditer(text)):
        return "a private key (DER in Base64)"
    return None


def find_in_source(source: ast.AST) -> str | None:
    """What private key a Python source has in its literals, as bytes, as text or in hex; None without one."""
    for node in ast.walk(source):
        value = node.value if isinstance(node, ast.Constant) else None
        data = value if isinstance(value, bytes) else value.encode(errors="replace") if isinstance(value, str) else b""
        if len(data) < _SHORTEST:
            continue
        found = find(data) or (_HEX.fullmatch(data) and find(binascii.unhexlify(data)))
        if found:
            return found
    return None


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""


def _is_wrapped(header: bytes) -> bool:
    # A JWE that a password opens, which is what `ota keygen` writes.
    try:
        return b'"PBES2-' in base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4))
    except binascii.Error:
        return False


def _is_der(data: bytes) -> bool:
    if len(data) < 40 or data[0] != 0x30:
        return False
    count = data[1] & 0x7F if data[1] & 0x80 else 0
    size = int.from_bytes(data[2 : 2 + count], "big") if count else data[1]
    whole = data[: 2 + count + size]  # what follows, such as a line feed, is not of it
    if count > 4 or len(whole) > _LARGEST:
        return False
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        load_der_private_key(whole, None)
    except TypeError:  # it is encrypted
        return True
    except UnsupportedAlgorithm:
        return True
    except ValueError:
        return False
    return True
