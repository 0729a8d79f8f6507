"""What an update needs to know and to note before its files come. `u` is the Updater."""

import gc
import sys

from .builtin import own
from .bootguard import (
    NEW, abandon, above, critical, exists, header, lines, merge, next_of, same, save, spare,
)  # fmt: skip
from .errors import NoSpaceError, PolicyError, StorageError
from .fetch import blocks, hash_of
from .plan import FETCH, PATCH, kept, plan

json = own("json")


def drop(u, state):
    """Delete what is staged of a release that is not wanted any more."""
    from .bootguard import advance

    abandon(u.root, state)
    advance(u.root, state)
    state["next"] = ""


def _size(u, walks, path):
    # The size of a file, -1 for a folder, None for neither, for paths that come in order. littlefs
    # keeps its lists in that order too: to walk along one takes a tenth of a look for each.
    # `walks` has the last folder and those above it: each with its list, and where that is.
    at = path.rfind("/") + 1
    folder = path[:at]
    while walks and not folder.startswith(walks[-1][0]):
        walks.pop()
    if not walks or walks[-1][0] != folder:
        entries = u.storage.ilistdir(folder)
        walks.append([folder, entries, next_of(entries)])
    walk = walks[-1]
    found = walk[2]
    while found and found[0] < path[at:]:
        found = walk[2] = next_of(walk[1])
    if found and found[0] == path[at:]:
        if found[1] & 0x4000:
            return -1
        if found[3:]:  # not all tell the size
            return found[3]
    size = u.storage.size(path)
    return -1 if size is None and exists(u.root + path) == 2 else size


def _truth(u, live, slot):
    # Gives (path, line, line as the disk has it, new line): a revert must find what was there.
    walks = []
    folds = exists(u.root + ".OTA")
    for path, x, y in merge(lines(u.root, live), lines(u.root, slot)):
        size = _size(u, walks, path)
        line = x
        if size is None or size < 0:
            line = None
            folders = [path[:at] for at in above(path) if y and exists(u.root + path[:at]) == 1]
            if folders or y and size:
                from .obstacles import clear_way

                clear_way(u, path, x, y, size, live, folders)
        elif folds and not y and _is_respelt(u, slot, path):
            line = None  # to the file system it is the file that the release spells otherwise
        elif kept(path, u.kept, u.root):
            # What is to stay looks unchanged, or unknown when the release drops it; the board's own
            # is marked, so that it stays although this release may be undone.
            line = x if same(x, y) else dict(y, o=1) if y and (not x or x.get("o")) else y
        elif not y and x.get("o"):
            line = None  # it is the board's own, of which only a release that was given up knew
        elif not x or x.get("s") != size:
            line = {"p": path, "s": size, "h": ""}
            if not x or x.get("o"):
                line["o"] = 1
        if folds and y and path != path.lower():
            _is_respelt(u, slot, path, True)
        yield path, x, line, y


def _is_edited(u, path, x, y):
    # Whether a file that stays as it is has become something else of the same length.
    return same(x, y) and not kept(path, u.kept, u.root) and (yield from hash_of(u, path)) != x["h"]


def _is_respelt(*args):
    from .obstacles import is_respelt

    return is_respelt(*args)


def _blocked(*args):
    from .obstacles import blocked

    return blocked(*args)


def _has_library(homes, path, x, y):
    # Notes what the next boot needs: the folder of the library -> what of it comes.
    at = 4 if path[:4] == "lib/" else 0
    stem = path[at:].split(".")[0]
    if y and path[at:] in ("ota.py", "ota.mpy"):
        raise _blocked(PolicyError, "%s hides the library; publish without it" % path, None)
    if stem[:4] != "ota/":
        return
    vital = stem in ("ota/__init__", "ota/bootguard")
    if y and not at:
        # The first staged file makes the folder, which MicroPython then takes for the library.
        where = getattr(sys.modules["ota"], "__path__", "")
        if where[-8:] == "/lib/ota" or where == "lib/ota" or where[:7] == ".frozen":
            raise _blocked(PolicyError, "ota/ would hide the library in %s; publish it there" % where, None)
    if y or vital:
        parts = homes.setdefault(path[:at] + "ota", set())
        if y and vital:
            parts.add(stem)


def prepare(u, state, slot, release):
    """Make sure that the release in `slot` can be installed, and that the live manifest says what is there.

    Raises:
        StorageError, PolicyError: it cannot; the reason is kept, for the checks that follow.
    """
    try:
        yield from adopt(u, state, slot)
        check_space(u, state["live"], slot)
    except (PolicyError, StorageError) as e:
        gc.collect()  # closes what the walk along the manifests has open: it may be removed only then
        u.storage.remove(".ota/" + slot)
        if hasattr(e, "by"):
            state.update({"blocked": [release.seq, str(e), e.by], "etag": release.etag})
            save(u.root, state)
        raise
    state.pop("blocked", None)


def adopt(u, state, slot):
    """Make the live manifest tell what is on the board, for every path of it or of `slot`.

    Files that somebody put there by hand enter it with their hash, missing ones leave it.

    Raises:
        StorageError: something is in the way of a path. PolicyError: the next boot would find no
            library. `by` is then what `abandon` takes as the third of `blocked`.
    """
    old = header(u.root, state["live"])
    new = header(u.root, slot)
    u.kept = u.keep + new.get("keep", [])
    # Another project's files are not this one's to delete.
    mine = new["project"] == old.get("project") or not new["project"] or not old.get("project")
    live = state["live"] if mine else ""
    changed = live != state["live"]
    homes = {}
    for path, x, line, y in _truth(u, live, slot):
        changed = changed or line is not x or (yield from _is_edited(u, path, x, y))
        _has_library(homes, path, x, y)
    for home, parts in homes.items():
        if len(parts) < 2:  # also one that goes to another folder: what is left of it would hide that
            raise _blocked(PolicyError, "%s/ would have no __init__ or no bootguard; publish all of it" % home, None)
    if not changed:
        return
    to = spare(state, slot)
    with u.storage.open(".ota/" + to, "wb") as out:
        first = {"ota": 1, "project": new["project"], "version": "", "seq": 0}
        out.write(json.dumps(old if live and old else first, separators=(",", ":")).encode() + b"\n")
        for path, x, line, y in _truth(u, live, slot):
            if line is x and (yield from _is_edited(u, path, x, y)):
                line = dict(x, h="")
            if line and line.get("h") == "":
                line["h"] = yield from hash_of(u, path)
            if line:
                out.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    state["live"] = to
    state["sums"].pop(to, None)
    save(u.root, state)


def _room(u, path, size):
    # What a file takes at most: its line in the folder's list, which littlefs keeps in pairs of
    # blocks, each at least a quarter full; in it also what is small.
    line = len(path) - path.rfind("/") + 44
    if size <= u.storage.small:
        return 8 * (line + size)
    return 8 * line + blocks(u, size)


def check_space(u, live, slot):
    """Raise NoSpaceError unless all that the release in `slot` adds fits on the board."""
    for there in (False, True):  # what is staged already is looked for only where that decides
        need = 4 * u.storage.block  # folders and the state
        for what, path, x, y in plan(lines(u.root, live), lines(u.root, slot)):
            if what in (FETCH, PATCH):
                if not there or u.storage.size(path + NEW) is None:
                    need += _room(u, path, y["s"])
                if x and critical(path, x, y):
                    need += _room(u, path, x["s"])
        free = u.storage.free()
        if need <= free:
            return
    raise _blocked(NoSpaceError, "the update needs %d bytes of flash, %d are free" % (need, free), need)
