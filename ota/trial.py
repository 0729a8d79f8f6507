"""What an application says to, and may ask about, the release that it is."""

import sys

from .bootguard import (
    base,
    exists,
    header,
    load,
    problems,
    reset,
    settle,
    unsound,
)


def confirm(root=None):
    """Say that this release works: its trial ends and it stays.

    Returns:
        bool: whether a trial was on.
    Raises:
        OSError: the file system refused; the next boot goes on with it.
    """
    state = load(root)
    if state["phase"] != "trial":
        return False
    from .bootguard import advance

    settle(root, state)
    advance(root, state)
    return True


def rollback(root=None):
    """Go back to the release before while a trial is on, refuse this one, and reset.

    Returns:
        bool: False when no trial is on: the files to go back to are gone.
    Raises:
        ValueError: what to go back to is damaged or gone; nothing was moved.
    """
    state = load(root)
    if state["phase"] != "trial":
        return False
    from .bootguard import advance, withdraw

    why = withdraw(root, state)
    if why:
        raise ValueError("cannot go back: %s" % why)
    advance(root, state)
    reset()
    return True


def status(root=None):
    """What runs and what is going on (dict).

    `phase`, `version` and `seq` of the live release (None and 0 when no manifest is
    known), `floor` (highest confirmed seq), `refused`, `boots` used of `trial`, `fails`
    (failed starts of a confirmed release, see `launch`), and `problem`: None, or text
    about what the last boot could not do or what is damaged.
    """
    state = load(root)
    live = header(root, state["live"])
    told = {key: state[key] for key in ("phase", "floor", "refused", "boots", "trial", "fails")}
    told["version"] = live.get("version")
    told["seq"] = live.get("seq", 0)
    # A core lets bootguard go after a boot, and notes what that could not do in the package.
    problem = problems[-1] if problems else getattr(sys.modules["ota"], "problem", None)
    if not problem and state.get("damaged"):
        problem = ".ota/state is damaged"
    elif not problem and unsound(root, state, "live"):
        problem = "the live manifest is damaged"
    blocked = state.get("blocked")
    told["blocked"] = blocked[1] if blocked else None
    for path in state.get("aside", ()):
        if not problem and exists(base(root) + path):
            problem = "%s holds what was in the way when a release was undone" % path
    told["problem"] = problem
    return told
