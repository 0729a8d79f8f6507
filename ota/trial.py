"""What an application says to, and may ask about, the release that it is."""

import sys

from .bootguard import (
    base,
    exists,
    header,
    lines,
    load,
    problems,
    reset,
    settle,
    unsound,
)


def _ours(call, root, check=None):
    # Nothing but an OtaError comes out. What makes one is in RAM only then.
    try:
        return call(root, check)
    except Exception:
        from .errors import ours

        with ours:
            raise


def confirm(root=None):
    """Say that this release works: its trial ends and it stays.

    Returns:
        bool: whether a trial was on.
    Raises:
        OtaError: the file system refused; the next boot goes on with it.
    """
    return _ours(_confirm, root)


def _confirm(root, _):
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
        OtaError: what to go back to is damaged or gone, and nothing was moved; or a move
            failed, and each boot tries it again.
    """
    return _ours(_rollback, root)


def _rollback(root, _):
    state = load(root)
    if state["phase"] != "trial":
        return False
    from .bootguard import advance, withdraw

    why = withdraw(root, state)
    if why:
        from .errors import StorageError

        raise StorageError("cannot go back: %s; the release stays" % why)
    advance(root, state)
    reset()
    return True


def status(root=None, check=False):
    """What runs and what is going on (dict).

    `phase`, `version` and `seq` of the live release (None and 0 when no manifest is
    known), `floor` (highest confirmed seq), `refused`, `boots` used of `trial`, `fails`
    (failed starts of a confirmed release, see `launch`), `blocked`: None, or why the
    release that the server offers is not taken, and `problem`: None, or text about what the
    last boot could not do or what is damaged.

    Args:
        check (bool): read the files of the live release, too; `changed` lists the paths of
            those that differ from it or are missing, also of what is kept on purpose.
    Raises:
        OtaError: the flash cannot be read.
    """
    return _ours(_status, root, check)


def _status(root, check):
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
    elif check:
        from .bootguard import hash_file

        told["changed"] = changed = []
        for entry in lines(root, state["live"]):
            try:
                same = hash_file(base(root) + entry["p"]) == entry.get("h")
            except OSError:
                same = False
            if not same:
                changed.append(entry["p"])
        if changed and not problem:
            problem = changed[0] + " is not as in the release"
    blocked = state.get("blocked")
    told["blocked"] = blocked[1] if blocked else None
    for path in state.get("aside", ()):
        if not problem and exists(base(root) + path):
            problem = "%s holds what was in the way when a release was undone" % path
    told["problem"] = problem
    return told
