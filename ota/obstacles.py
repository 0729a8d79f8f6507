"""What keeps a release from this board: loaded only when something does, or did at the last check."""

from .bootguard import alien, critical, entry_of, exists, header, lines, unsound
from .errors import PolicyError, StorageError
from .plan import kept


def blocked(kind, text, by):
    """An error (class `kind`) whose `by` is what `bootguard.abandon` takes as the third of `blocked`."""
    e = kind(text)
    e.by = by
    return e


def is_respelt(u, slot, path, named=False):
    """Whether the release in `slot` has `path` in other case, which to FAT is the same file.

    Raises:
        StorageError: it has, and `path` as well (`named`).
    """
    for entry in lines(u.root, slot):
        other = entry["p"]
        if other != path and other.lower() == path.lower():
            if named:
                raise blocked(StorageError, "%s and %s are one file on FAT; rename one" % (path, other), None)
            return True


def clear_way(u, path, x, y, is_folder, live, folders):
    """Raise StorageError unless what is in the place of `path`, or of its `folders`, may give way.

    Between file and folder a path may change when nothing that the board needs, or has of its own,
    gets lost.
    """
    found = None
    if is_folder:
        found = path if critical(path, x, y) else alien(u.root, path, live, lambda p: kept(p, u.kept, u.root))
    for folder in folders:
        old = entry_of(u.root, live, folder)
        if not old or critical(folder, old, old) or critical(path, x, y) or kept(folder, u.kept, u.root):
            found = folder
    if found:
        raise blocked(StorageError, "%s: %s is in the way; move it" % (path, found), found)


def look_again(u, about):
    """Look at what the checks before left: what is staged in part, or a release that was dropped.

    Args:
        about (tuple): what `policy.judge` takes behind the header; the state is its first.
    Returns:
        str: why the release that was dropped cannot be installed yet; None when it can.
    """
    state = about[0]
    if state["phase"] == "staging":
        return _judge_again(u, state, about)
    _, why, by = state["blocked"]
    if exists(u.root + by) if isinstance(by, str) else by is None or u.storage.free() < by:
        return why
    state.pop("blocked")
    state["etag"] = ""  # so that the next answer has it again


def explain(state, release, why, held):
    """Why `release` is not taken: (event, detail), with the reason noted in `state`."""
    if why == "refused":
        detail = "%s (seq %d): seq %s was undone" % (release.version, release.seq, state["refused"])
        state["blocked"] = [release.seq, detail, None]
        return why, detail
    if not why and release.seq == state["blocked"][0]:
        return "blocked", held
    return why, release.version


def _judge_again(u, state, about):
    # It may have expired since, or its manifest may have been damaged.
    from .policy import judge

    why = "damaged"
    try:
        if not unsound(u.root, state, "next"):
            why = judge(header(u.root, state["next"]), *about)
    except PolicyError as e:
        why = e
    if why:
        from .staging import drop

        u.tell("dropped", why)
        drop(u, state)
