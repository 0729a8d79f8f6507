"""The memory of a version that could not be installed, so that no board resets for it for ever.

It is the key `tries` of the state record: the version, how many attempts at it there
were, and whether the last of them was counted when `check_for_ota_update` reset for it.
"""

from .bootguard import load, save
from .errors import OtaError

MOST = 3  # attempts at one version that are worth a reset


def _count(state, version):
    tries = state.get("tries")
    return tries[1] if tries and tries[0] == version else 0


def begin(version):
    """Count an attempt that a reset begins, before the reset.

    A board that never gets as far as to fail must not go round for ever either.

    Raises:
        OtaError: there have been enough. OSError: it cannot be counted.
    """
    state = load()
    count = _count(state, version)
    if count >= MOST:
        raise OtaError("version %s could not be installed %d times" % (version, count))
    state["tries"] = [version, count + 1, 1]
    save(None, state)


def fail(u, version):
    """Count a failed attempt of the Updater `u`, unless `begin()` has, and drop what it staged."""
    state = load(u.root)
    old = state.get("tries")
    count = _count(state, version)
    news = count < MOST and not (count and old[2])
    if news:
        state["tries"] = [version, count + 1, 0]
    if state["phase"] in ("staging", "ready"):
        from .staging import drop

        drop(u, state)
    elif news and state["phase"] == "idle":
        save(u.root, state)


def forget(u):
    """The version is installed."""
    state = load(u.root)
    if state.pop("tries", None):
        try:
            save(u.root, state)
        except OSError:
            pass  # should this version come again, there are fewer resets for it
