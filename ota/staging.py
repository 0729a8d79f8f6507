"""What an update needs to know and to note before its files come. `u` is the Updater."""

from . import own
from .bootguard import (
    NEW, abandon, above, advance, alien, critical, entry_of, exists, header, lines, merge, next_of, same, save, spare,
)  # fmt: skip
from .errors import NoSpaceError, PolicyError, StorageError
from .fetch import blocks, hash_of
from .plan import FETCH, PATCH, kept, plan

json = own("json")


def drop(u, state):
    """Delete what is staged of a release that is not wanted any more."""
    abandon(u.root, state)
    advance(u.root, state)
    state["next"] = ""


def write_lines(u, slot, entries):
    """Write `entries` (dicts) as the manifest in `slot`."""
    u.storage.mkdir(".ota")
    with u.storage.open(".ota/" + slot, "wb") as out:
        for entry in entries:
            out.write(json.dumps(entry).encode() + b"\n")


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
            if y:
                _make_sure(u, path, x, y, size, live)
        elif folds and not y and _is_respelt(u, slot, path):
            line = None  # to the file system it is the file that the release spells otherwise
        elif kept(path, u.keep):
            # What is to stay looks unchanged, or unknown when the release drops it.
            line = x if same(x, y) else y
        elif not y and x.get("o"):
            line = None  # it is the board's own, of which only a release that was given up knew
        elif not x or x.get("s") != size:
            line = {"p": path, "s": size, "h": ""}
            if not x or x.get("o"):
                line["o"] = 1
        yield path, x, line, y


def _is_respelt(u, slot, path):
    for entry in lines(u.root, slot):
        if entry["p"].lower() == path.lower():
            return True


def _make_sure(u, path, x, y, size, live):
    # Between file and folder a path may change when nothing that the board needs, or has of its
    # own, gets lost.
    found = None
    if size:
        found = path if critical(path, x, y) else alien(u.root, path, live, lambda p: kept(p, u.keep))
    for at in above(path):
        folder = path[:at]
        if exists(u.root + folder) == 1:
            old = entry_of(u.root, live, folder)
            if not old or critical(folder, old, old) or critical(path, x, y) or kept(folder, u.keep):
                found = folder
    if found:
        raise _blocked(StorageError, "%s: %s is in the way; move it" % (path, found), found)


def _blocked(kind, text, by):
    e = kind(text)
    e.by = by  # see `abandon`
    return e


def _has_library(homes, path, x, y):
    # Notes what the next boot needs: the folder of the library -> what of it comes.
    at = 4 if path[:4] == "lib/" else 0
    stem = path[at:].split(".")[0]
    if y and path[at:] in ("ota.py", "ota.mpy"):
        raise _blocked(PolicyError, "%s hides the library; publish without it" % path, None)
    if stem[:4] == "ota/":
        parts = homes.setdefault(path[:at] + "ota" if y else "", set())
        if stem in ("ota/__init__", "ota/bootguard"):
            parts.add(stem)


def adopt(u, state, slot):
    """Make the live manifest tell what is on the board, for every path of it or of `slot`.

    Files that somebody put there by hand enter it with their hash, missing ones leave it.

    Raises:
        StorageError: something is in the way of a path. PolicyError: the next boot would find no
            library. `by` is then what `abandon` takes as the third of `blocked`.
    """
    old = header(u.root, state["live"])
    new = header(u.root, slot)
    # Another project's files are not this one's to delete.
    mine = new["project"] == old.get("project") or not new["project"] or not old.get("project")
    live = state["live"] if mine else ""
    changed = live != state["live"]
    homes = {}
    for path, x, line, y in _truth(u, live, slot):
        changed = changed or line is not x
        _has_library(homes, path, x, y)
    lost = homes.pop("", None)
    for home in homes or ([""] if lost else ()):
        if len(homes.get(home, "")) < 2:
            raise _blocked(PolicyError, "%s/ would have no __init__ or no bootguard; publish all of it" % (home or "ota"), None)
    if not changed:
        return
    to = spare(state, slot)
    with u.storage.open(".ota/" + to, "wb") as out:
        first = {"ota": 1, "project": new["project"], "version": "", "seq": 0}
        out.write(json.dumps(old if live and old else first).encode() + b"\n")
        for path, _, line, _ in _truth(u, live, slot):
            if line and line.get("h") == "":
                line["h"] = yield from hash_of(u, path)
            if line:
                out.write(json.dumps(line).encode() + b"\n")
    state["live"] = to
    state["sums"].pop(to, None)
    save(u.root, state)


def staged(u, path):
    """Beside what the new content of `path` is staged: the path, or below a file that gives way."""
    for at in above(path):
        if exists(u.root + path[:at]) == 1:
            return path[:at] + NEW + path[at:]
    return path


def _room(u, path, size):
    # What a file takes at most: its line in the folder's list, which littlefs keeps in pairs of
    # blocks, each at least a quarter full; in it also what is small.
    line = len(path) - path.rfind("/") + 36
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
