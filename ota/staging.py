"""What an update needs to know and to note before its files come. `u` is the Updater."""

from . import own
from .bootguard import NEW, abandon, advance, critical, header, lines, merge, next_of, same, save, spare
from .fetch import blocks, check_free, hash_of
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
    # The size of a file, for paths that come in order. littlefs keeps its lists in that order too:
    # to walk along one takes a tenth of a look for each. `walks` has the last folder and those
    # above it: each with its list, and where that is.
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
    if found and found[0] == path[at:] and found[3:] and not found[1] & 0x4000:  # not all tell the size
        return found[3]
    return u.storage.size(path)


def _truth(u, live, slot):
    # Gives (path, line, line as the disk has it): a revert must find what was there.
    walks = []
    for path, x, y in merge(lines(u.root, live), lines(u.root, slot)):
        size = _size(u, walks, path)
        if size is None:
            yield path, x, None
        elif kept(path, u.keep):
            # What is to stay looks unchanged, or unknown when the release drops it.
            yield path, x, (x if same(x, y) else y)
        elif x and x.get("s") == size:
            yield path, x, x
        else:
            yield path, x, {"p": path, "s": size, "h": ""}


def adopt(u, state, slot):
    """Make the live manifest tell what is on the board, for every path of it or of `slot`.

    Files that somebody put there by hand enter it with their hash, missing ones leave it.
    """
    old = header(u.root, state["live"])
    new = header(u.root, slot)
    # Another project's files are not this one's to delete.
    mine = new["project"] == old.get("project") or not new["project"] or not old.get("project")
    live = state["live"] if mine else ""
    if live == state["live"]:
        for _, x, line in _truth(u, live, slot):
            if line is not x:
                break
        else:
            return
    to = spare(state, slot)
    with u.storage.open(".ota/" + to, "wb") as out:
        first = {"ota": 1, "project": new["project"], "version": "", "seq": 0}
        out.write(json.dumps(old if live and old else first).encode() + b"\n")
        for path, _, line in _truth(u, live, slot):
            if line and line.get("h") == "":
                line["h"] = yield from hash_of(u, path)
            if line:
                out.write(json.dumps(line).encode() + b"\n")
    state["live"] = to
    state.get("sums", {}).pop(to, None)
    save(u.root, state)


def check_space(u, live, slot):
    """Raise NoSpaceError unless all that the release in `slot` adds fits on the board."""
    for there in (False, True):  # what is staged already is looked for only where that decides
        need = 4 * u.storage.block  # folders and the state
        for what, path, x, y in plan(lines(u.root, live), lines(u.root, slot)):
            if what in (FETCH, PATCH):
                if not there or u.storage.size(path + NEW) is None:
                    need += blocks(u, y["s"])
                if x and critical(path, x, y):
                    need += blocks(u, x["s"])
        if need <= u.storage.free():
            return
    check_free(u, need)
