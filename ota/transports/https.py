"""HTTPS with a certificate authority that you choose."""

from .. import own
from ..errors import TransportError
from .http import HttpTransport

time = own("time")

# What is wrong with a certificate, and by what words of mbedTLS or OpenSSL it is told.
_REASONS = (
    ("is not valid yet", "in the future", "not yet valid"),
    ("has expired", "has expired"),
    ("is for another host", "(CN)", "mismatch"),
    ("is not signed by the authority in ca=", "trusted CA", "issuer cert", "certificate in"),
    ("is self-signed, and not the one in ca=", "-- alone", "signed certificate ("),
)
# Where the clock may be to blame; the last is all that older firmwares say of any fault.
_DATES = ("validity", "has expired", "yet valid", "X509_CERT_VERIFY_FAILED")
_MUCH = 60000  # bytes of free heap: enough for any handshake


class HttpsTransport(HttpTransport):
    """Releases from a web server, over TLS.

    Args:
        url (str): the project's root, `https://host[:port]/path`.
        ca (bytes or str): the certificate authority that signs the server's certificate,
            in DER; or the path of a file that holds it. A server's self-signed certificate
            is an authority too.
        verify (bool): False takes any server for yours; it is the only way to go without `ca`.
        Others: as in `HttpTransport`.
    Raises:
        TransportError: neither `ca` nor `verify=False`.
    """

    _scheme = "https"
    _alone = False

    def __init__(self, url, *, ca=None, verify=True, **options):
        super().__init__(url, **options)
        if verify and not ca:
            raise TransportError("%s: give ca=, a certificate in DER, or verify=False" % url)
        self._ca = ca if verify else None

    def _wrap(self, sock, host):
        try:
            return self._context().wrap_socket(sock, server_hostname=host)
        except (AttributeError, ImportError):  # ESP8266
            raise TransportError("%s: the TLS of this firmware cannot verify" % host)
        except (ValueError, OSError) as e:
            raise TransportError("TLS with %s: %s" % (host, _reason(str(e), self._alone)))

    def _context(self):
        ssl = own("ssl", "tls")

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self._ca:
            if hasattr(context, "check_hostname"):  # CPython
                context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.verify_mode = ssl.CERT_REQUIRED
            ca, name = self._ca, "ca"
            try:
                if isinstance(ca, str):
                    name = ca
                    with open(ca, "rb") as f:
                        ca = f.read()
                context.load_verify_locations(cadata=ca)
            except (ValueError, OSError) as e:
                raise TransportError("%s is no certificate in DER: %r" % (name, e))
            # Newer firmwares wrap the class of mbedTLS in one of Python.
            inner = getattr(context, "_context", context)
            if hasattr(inner, "verify_callback"):
                inner.verify_callback = self._look
        return context

    def _look(self, cert, depth):
        # mbedTLS shows the certificates before it judges, the server's own last; it calls a
        # self-signed one and one of another authority the same.
        if not depth:
            self._alone = _is_alone(cert)
        return 0  # what mbedTLS found stands


def _is_alone(cert):
    # Whether its subject is its issuer: the fourth and the sixth field (RFC 5280, section 4.1).
    fields = []
    at = 0
    for i in range(8):
        start, n = at + 2, cert[at + 1]
        if n > 127:
            start += n & 127
            n = int.from_bytes(cert[at + 2 : start], "big")
        fields.append(cert[at : start + n])
        at = start + n if i > 1 else start  # the first two hold the others
    return fields[5] == fields[7]


def _reason(text, alone):
    if alone and "trusted CA" in text:
        text = text.replace("trusted CA", "-- alone")
    found = [r[0] for r in _REASONS if any(words in text for words in r[1:])]
    why = "its certificate " + ", ".join(found) if found else text.strip().replace("\n", " ")
    if any(words in text for words in _DATES):
        clock = "; the board's clock says %d-%02d-%02d: if it is wrong, set it with ota.set_clock"
        why += clock % time.gmtime()[:3]
    if "ca=" in why:
        import gc

        gc.collect()
        # Seen on a Pico W: without the RAM for the check, mbedTLS calls a good one untrusted.
        free = gc.mem_free() if hasattr(gc, "mem_free") else _MUCH  # CPython
        if free < _MUCH:
            why += "; or RAM ran out: %d bytes are free, TLS takes up to 35000" % free
    return why
