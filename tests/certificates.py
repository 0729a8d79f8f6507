"""TLS servers with certificates that are right, or wrong in one way each."""

import datetime
import ssl
import tempfile
from dataclasses import dataclass

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
KEYS = {"rsa": trustme.KeyType.RSA, "ec": trustme.KeyType.ECDSA}  # 2048 bits, P-256


@dataclass
class Case:
    """A server: what it shows (`tls`), as whom the board calls it, and what the board then says.

    `ca` is what the board trusts, in DER. `says` is a part of the error, empty for none; `clock`: the error tells the
    board's clock.
    """

    tls: ssl.SSLContext
    ca: bytes
    says: str = ""
    clock: bool = False
    host: str = "localhost"


def der(ca):
    """The certificate of an authority in DER."""
    return x509.load_pem_x509_certificate(ca.cert_pem.bytes()).public_bytes(Encoding.DER)


def context(cert):
    """A server's side of TLS that shows `cert`, of trustme."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(made)
    return made


def self_signed(host):
    """(a server's side of TLS, its certificate in DER): signed by itself, and no authority."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        .sign(key, hashes.SHA256())
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as f:
        f.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + cert.public_bytes(Encoding.PEM))
        f.flush()
        made.load_cert_chain(f.name)
    return made, cert.public_bytes(Encoding.DER)


def cases(address="127.0.0.1"):
    """{name: Case}; `address` is an IP address by which the board reaches this machine.

    RSA where it does not matter, since an emulated board is fastest with it.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    authority = {name: trustme.CA(key_type=kind) for name, kind in KEYS.items()}
    ca = der(authority["rsa"])
    past = {"not_before": now - 9 * DAY, "not_after": now - 2 * DAY}
    future = {"not_before": now + 2 * DAY, "not_after": now + 9 * DAY}

    def server(*names, of=authority["rsa"], kind="rsa", **options):
        return context(of.issue_cert(*(names or ["localhost"]), key_type=KEYS[kind], **options))

    alone, itself = self_signed("localhost")
    return {
        "rsa": Case(server(), ca),
        "ec": Case(server(of=authority["ec"], kind="ec"), der(authority["ec"])),
        "between": Case(server(of=authority["rsa"].create_child_ca()), ca),
        "address": Case(server(address), ca, host=address),
        "itself": Case(alone, itself),
        "other-ca": Case(server(of=trustme.CA()), ca, "its certificate is not signed by the authority in ca="),
        "self-signed": Case(alone, ca, "its certificate is self-signed, and not the one in ca="),
        "other-host": Case(server("example.org"), ca, "its certificate is for another host"),
        "other-address": Case(server(), ca, "its certificate is for another host", host=address),
        "expired": Case(server(**past), ca, "its certificate has expired", clock=True),
        "not-yet-valid": Case(server(**future), ca, "its certificate is not valid yet", clock=True),
    }
