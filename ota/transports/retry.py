"""When a server wants to be asked again: the header Retry-After of RFC 9110."""

_MOST = 86400  # seconds: a day; whoever says more may not mean well


def retry_s(headers):
    """The seconds to wait by `headers` (dict, names in lower case): 0 when they say nothing usable.

    A date counts from the answer's own `Date`, so that the board needs no clock for it.
    """
    from ..clock import stamp

    told = headers.get("retry-after", "")
    try:
        if told.isdigit():
            seconds = int(told[:9])
        else:
            since = stamp(headers["date"]) if "date" in headers else _now()
            seconds = stamp(told) - since if since else 0
    except ValueError:
        return 0
    return max(0, min(seconds, _MOST))


def _now():
    from ..policy import now

    return now()
