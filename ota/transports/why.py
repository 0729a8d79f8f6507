"""What an error says, and whether to try again: in RAM only after one."""

from ..builtin import own
from ..errors import NotFoundError, OtaError
from . import unload

_WORDS = (
    "ECONNREFUSED connection refused,ECONNRESET connection reset,EHOSTUNREACH no route,"
    "ETIMEDOUT timed out,EAGAIN timed out,EINPROGRESS timed out,ENOENT no such file,"
)


def say(e):
    """What went wrong (str), of any exception: in words where the network has only a number for it."""
    unload("why")
    if not isinstance(e, (OSError, ValueError)):
        return str(e) if isinstance(e, OtaError) else repr(e)
    what = e.args[-1] if e.args else e
    if isinstance(what, int):
        if what < 0:
            return "no such host"
        # No network: ENETUNREACH of Linux and of lwIP, which `errno` does not have.
        other = "EHOSTUNREACH" if what in (101, 114) else "error %d" % what
        name = own("errno").errorcode.get(what, other)
        at = _WORDS.find(name + " ")
        return _WORDS[at + len(name) + 1 : _WORDS.find(",", at)] if at >= 0 else name
    what = str(what)
    return "no such host" if what.startswith("[addrinfo") else what


def final(e):
    """Whether the same request would fail in the same way."""
    status = getattr(e, "status", 0)
    return 200 <= status < 500 and status not in (206, 408, 425, 429) or isinstance(e, NotFoundError)


def again(transport, e, tries):
    """Whether to ask once more for what broke off, after so many tries (int)."""
    unload("why")
    return tries <= transport.retries and not e.retry_s and not final(e)
