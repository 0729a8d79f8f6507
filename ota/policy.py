"""Whether a sound release is for this board, and for now. Pure: all that counts comes in."""

import sys

from .builtin import own
from .errors import PolicyError

sha256 = own("hashlib").sha256

# The architectures of machine code, by their number in `sys.implementation._mpy`.
_MACHINES = "none x86 x64 armv6 armv6m armv7m armv7em armv7emsp armv7emdp xtensa xtensawin rv32imc rv64imc"

# Seconds since 1970 (1 October 2025). A clock before this has not been set since power-on.
CLOCK_SET = 1759276800


def now():
    """The time in seconds since 1970, or 0 while the board's clock is not set."""
    time = own("time")

    t = int(time.time())
    if time.gmtime(0)[0] == 2000:  # the epoch of most boards
        t += 946684800
    return t if t >= CLOCK_SET else 0


def clock(state):
    """The time in seconds since 1970 that it is at least, 0 when unknown.

    A board without a clock, or with one set back, knows the latest `time` that a manifest
    carried whose signature held.
    """
    return max(now(), state.get("time", 0))


def bucket(salt, device_id):
    """Where a device stands in a rollout: a number from 0 up to, not including, 1."""
    first = sha256((salt + device_id).encode()).digest()[:4]
    return int.from_bytes(first, "big") / 4294967296


def judge(header, state, project, device_id, clock):
    """Say whether the release of `header` is one to install.

    Args:
        header, state (dicts): a checked manifest header and the board's state.
        project, device_id (str): the board's own; an empty project accepts any.
        clock (int): seconds since 1970, 0 when unknown.
    Returns:
        str: empty when it is; else why not now: `current`, `refused` or `rollout`.
    Raises:
        PolicyError: never for this board: another project, board or ABI, older, expired; also
            when what it has is offered past its expiry: then the server is held back.
    """
    seq = header["seq"]
    if project and header["project"] != project:
        raise PolicyError("project is %r, this board's is %r" % (header["project"], project))
    if seq < state["floor"]:
        raise PolicyError("seq %d is older than the floor %d" % (seq, state["floor"]))
    if clock and header.get("expires", clock) < clock:
        raise PolicyError("seq %d expired at %d, now is %d" % (seq, header["expires"], clock))
    if seq == state["floor"]:
        return "current"
    # A newer one that failed does not bring an older failure back.
    refused = state["refused"]
    if seq == refused or isinstance(refused, int) and seq < refused:
        return "refused"
    _check_board(header.get("requires", {}))
    rollout = header.get("rollout")
    if rollout:
        place = bucket(str(rollout.get("salt", "")), device_id)
        if place * 100 >= rollout.get("percent", 100):
            return "rollout"
    return ""


def _check_board(requires):
    platforms = requires.get("platform", (sys.platform,))
    if sys.platform not in platforms:
        raise PolicyError("this board is %r; the release is for %r" % (sys.platform, platforms))
    # The low byte is the version of the .mpy format; further up is the machine whose code it may hold.
    mpy = getattr(sys.implementation, "_mpy", 0)
    if requires.get("mpy", mpy & 0xFF) != mpy & 0xFF:
        raise PolicyError(".mpy version is %d, the release has %r" % (mpy & 0xFF, requires["mpy"]))
    mine = mpy >> 10 & 15
    machines = requires.get("arch", [mine])
    if mine not in machines:
        names = _MACHINES.split() + [13, 14, 15]
        machines = [names[n] for n in machines]
        raise PolicyError("machine code is for %s, this board runs %s" % (machines, names[mine]))
