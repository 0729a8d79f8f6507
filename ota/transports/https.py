"""HTTPS with the certificate authorities that you choose."""

from ..builtin import own
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
        ca (str, bytes or list of these): the authorities that may sign the server's
            certificate: paths of files or their content, in DER or PEM; one may hold several.
            A server's self-signed certificate is an authority too.
        verify (bool): False takes any server for yours; it is the only way to go without `ca`.
        Others: as in `HttpTransport`.
    Raises:
        TransportError: neither `ca` nor `verify=False`, or a `ca` that has no certificate.
    """

    _scheme = "https"
    _alone = False

    def __init__(self, url, *, ca=None, verify=True, **options):
        super().__init__(url, **options)
        if verify and not ca:
            raise TransportError("%s: give ca=, the certificate of an authority, or verify=False" % self._url)
        self._ca = ca if verify else None
        if verify:
            _each(ca, len)  # now, and not when the server is asked

    def _wrap(self, sock, host):
        try:
            return self._context().wrap_socket(sock, server_hostname=host)
        except (AttributeError, ImportError):  # ESP8266
            raise TransportError("%s: the TLS of this firmware cannot verify" % host)
        except (ValueError, OSError) as e:
            from .why import say

            raise TransportError("TLS with %s: %s" % (host, _reason(say(e), self._alone)))

    def _context(self):
        ssl = own("ssl", "tls")

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self._ca:
            if hasattr(context, "check_hostname"):  # CPython
                context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.verify_mode = ssl.CERT_REQUIRED
            _each(self._ca, lambda der: context.load_verify_locations(cadata=der))
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


def _each(ca, use):
    # Calls `use` with each certificate of `ca`, in DER.
    for source in ca if isinstance(ca, (list, tuple)) else (ca,):
        data = source
        try:
            if isinstance(source, str):
                with open(source, "rb") as f:
                    data = f.read()
            ders = data.split(b"-----BEGIN CERTIFICATE-----")
            if len(ders) > 1:  # PEM, which older firmwares do not read
                ders = [own("binascii").a2b_base64(pem.split(b"-")[0]) for pem in ders[1:]]
            for der in ders:
                at = 0
                while at < len(der) or not at:
                    end = _part(der, at)[1]
                    if der[at] != 48 or end > len(der):
                        raise ValueError
                    use(der[at:end])
                    at = end
        except (OSError, ValueError, TypeError, AttributeError, IndexError) as e:
            from .why import say

            what = say(e) if isinstance(e, OSError) else "is not a certificate in DER or PEM, or is cut short"
            raise TransportError("ca %s: %s" % (repr(source)[:128], what))


def _part(der, at):
    # Where the content of the part at `at` begins and ends.
    start, n = at + 2, der[at + 1]
    if n > 127:
        start += n & 127
        n = int.from_bytes(der[at + 2 : start], "big")
    return start, start + n


def _is_alone(cert):
    # Whether its subject is its issuer: the fourth and the sixth field (RFC 5280, section 4.1).
    fields = []
    at = 0
    for i in range(8):
        start, end = _part(cert, at)
        fields.append(cert[at:end])
        at = end if i > 1 else start  # the first two hold the others
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
