"""HTTPS with a certificate authority that you choose."""

import time

from ..errors import TransportError
from .http import HttpTransport


class HttpsTransport(HttpTransport):
    """Releases from a web server, over TLS.

    Args:
        url (str): the project's root, `https://host[:port]/path`.
        ca (bytes or str): the certificate authority that signs the server's certificate,
            in DER; or the path of a file that holds it.
        verify (bool): False takes any server for yours; it is the only way to go without `ca`.
        Others: as in `HttpTransport`.
    Raises:
        TransportError: neither `ca` nor `verify=False`.
    """

    _scheme = "https"

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
            clock = "%d-%02d-%02d" % time.gmtime()[:3]
            what = str(e).strip().replace("\n", " ")
            raise TransportError("TLS with %s: %s; the board's clock says %s" % (host, what, clock))

    def _context(self):
        import ssl

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
        return context
