"""The board's clock, set by the server of the releases.

A board wakes in 2000 or 2021, when no certificate of today is valid yet. So with `HttpsTransport`
the server is asked twice: once unverified and without credentials, for a first date; then, with
the clock at that date, verified, and that answer's date is what stays. If the second fails, the
clock is put back. With `HttpTransport` there is only the first. No date counts that is before
the newest signed release that the board has taken.

What an attacker on the way can still do:

* With `HttpsTransport`, keep the clock from being set. To set it wrong he needs the key of a
  certificate for this host from the same authority; one that has expired since that newest signed
  release will do, as the board has nothing else to know it by.
* With `HttpTransport`, set any date from that release on. A late one makes releases and
  certificates look expired until the clock is set again or the power goes off: nothing of it is
  kept on flash. An early one lets expired releases and certificates pass, as far back as that
  release; on a board without a clock the same releases pass.

So both are safe for the expiry of signed releases, which they never weaken, and the first is for
TLS. Neither is for what else needs a true time, such as a lock or a bill. NTP (`ntptime`) is
less: anybody on the way can answer it with any date at all.
"""

from .builtin import own
from .errors import OtaError, TransportError

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def set_clock(transport, root=None):
    """Set the board's clock by the `Date` of an HTTP answer: see the module for whom that trusts.

    Args:
        transport (HttpTransport or HttpsTransport): whose server is asked, at its root; the
            status of the answer does not matter. Of a MirrorTransport the first that answers.
        root (str): the folder that `.ota` is in, default the board's.
    Returns:
        int: the time that was set, in seconds since 1970.
    Raises:
        TransportError: no answer, no date in it, one that is too early, or TLS failed.
        OtaError: this board has no `machine.RTC`, or no HTTP server is asked by the transport.
    """
    error = OtaError("no date comes from a %s: use an HttpTransport" % type(transport).__name__)
    for mirror in getattr(transport, "mirrors", ()):
        try:
            return set_clock(mirror, root)
        except OtaError as e:
            error = e
    if not hasattr(transport, "_url"):
        raise error
    return _set_by(transport, root)


def _set_by(transport, root):
    from .bootguard import load
    from .policy import CLOCK_SET

    try:
        RTC = own("machine").RTC
    except (ImportError, AttributeError):
        raise OtaError("no clock to set: there is no machine.RTC")
    rtc = RTC()
    before = rtc.datetime()
    least = max(CLOCK_SET, load(root).get("time", 0))
    try:
        if getattr(transport, "_ca", None):
            from .transports.https import HttpsTransport

            first = HttpsTransport(transport._url, verify=False, timeout=transport._timeout)
            _put(rtc, _ask(first, least))
            first.close()
        now = _ask(transport, least)
    except Exception:
        rtc.datetime(before)
        raise
    _put(rtc, now)
    return now


def _ask(transport, least):
    from .transports.wire import drop

    url = transport._url
    try:
        link, _, headers = transport._exchange(url, "")
        # A short answer is read, so that the connection serves the next request too.
        drop(transport, link, headers)
        now = stamp(headers.get("date", ""))
    except (OSError, ValueError, TransportError) as e:
        from .transports.why import say

        raise TransportError("clock by %s: %s" % (url, say(e)))
    if now < least:
        raise TransportError("clock by %s: %d is before %d, the newest known" % (url, now, least))
    return now


def stamp(text):
    """The seconds since 1970 (int) of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).

    Raises:
        ValueError: it is no such date, or not of this century.
    """
    digits = text[5:7] + text[12:16] + text[17:19] + text[20:22] + text[23:25]
    month = _MONTHS.find(text[8:11])
    if len(text) != 29 or text[25:] != " GMT" or not digits.isdigit() or month % 3:
        raise ValueError("Date is %r" % text[:32])
    month, year, day = month // 3, int(text[12:16]), int(text[5:7])
    hour, minute, second = int(text[17:19]), int(text[20:22]), int(text[23:25])
    if not (2000 <= year < 2100 and 1 <= day < 32 and hour < 24 and minute < 60 and second < 61):
        raise ValueError("Date is %r" % text)
    # In a year that begins in March the leap day comes last, and months are 30.6 days.
    year -= month < 2
    days = 365 * year + year // 4 + (153 * ((month + 10) % 12) + 2) // 5 + day - 719484
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _put(rtc, now):
    time = own("time")

    t = time.gmtime(now - (946684800 if time.gmtime(0)[0] == 2000 else 0))
    rtc.datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))
