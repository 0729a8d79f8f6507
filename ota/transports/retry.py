"""When a server wants to be asked again: the header Retry-After of RFC 9110."""

_MOST = 86400  # seconds: a day; whoever says more may not mean well
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def retry_s(headers):
    """The seconds to wait by `headers` (dict, names in lower case): 0 when they say nothing usable.

    A date counts from the answer's own `Date`, so that the board needs no clock for it.
    """
    told = headers.get("retry-after", "")
    try:
        if told.isdigit():
            seconds = int(told[:9])
        else:
            since = _stamp(headers["date"]) if "date" in headers else _now()
            seconds = _stamp(told) - since if since else 0
    except ValueError:
        return 0
    return max(0, min(seconds, _MOST))


def _now():
    from ..policy import now

    return now()


def _stamp(text):
    # Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`; ValueError when it is no such date.
    _, day, month, year, clock, _ = text.split()
    hour, minute, second = clock.split(":")
    month = _MONTHS.index(month) // 3
    # A year that begins in March has its leap day at its end.
    year = int(year) - (month < 2)
    days = 365 * year + year // 4 - year // 100 + year // 400
    days += (153 * ((month + 10) % 12) + 2) // 5 + int(day) - 719469
    return ((days * 24 + int(hour)) * 60 + int(minute)) * 60 + int(second)
