"""Every boot: finish an install, count a trial boot, undo a release that failed.

This module imports nothing of the package: while the library itself is being
replaced, one complete `bootguard`, the old or the new, finishes the job.

Nothing here keeps a journal. The two manifests, live and next, say what differs;
the disk says which rename comes next; so each replay may be cut and made again.
"""

import gc
import sys


def _own(name):
    # As in `builtin.py`, which an older package does not have.
    module = sys.modules.get(name)
    if "__file__" in globals() and module and not hasattr(module, "__file__") and not hasattr(module, "__path__"):
        return module
    if sys.implementation.name != "micropython":
        return __import__(name)
    path = sys.path[:]
    sys.modules.pop(name, None)
    try:
        sys.path[:] = [".frozen"]
        return __import__(name)
    finally:
        sys.path[:] = path
        if module:
            sys.modules[name] = module


json = _own("json")
os = _own("os")
hexlify = _own("binascii").hexlify
sha256 = _own("hashlib").sha256


def _crc32(data, crc=0):
    # An ESP8266 has none.
    crc ^= 0xFFFFFFFF
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


crc32 = getattr(_own("binascii"), "crc32", _crc32)

NEW = ".ota-new"  # staged beside its target
OLD = ".ota-old"  # what the target was before
ASIDE = ".ota-aside"  # what was in the way of a move
FORMAT = 3  # of the state record
_FULL = (28, 36)  # ENOSPC; ENAMETOOLONG is how littlefs says that a folder cannot grow

# A phase and the phases that may follow it. Nothing else decides what is legal.
MOVES = {
    "idle": ("idle", "staging"),
    "staging": ("staging", "ready", "cleaning"),
    "ready": ("committing", "cleaning"),
    "committing": ("trial", "reverting", "cleaning"),
    "trial": ("trial", "reverting", "cleaning"),
    "reverting": ("cleaning",),
    "cleaning": ("idle",),
}

_CRITICAL = ("boot.py", "main.py", "micropython_ota.py", "lib/micropython_ota.py")
# What the record holds, in its order: keys are added at the end. Others stand in a dict behind them.
_KEYS = ("phase", "format", "n", "live", "next", "seq", "floor", "refused", "boots", "trial")
_KEYS += ("fails", "bare", "etag", "sums", "time")
# Where boot() was called, or this is loaded: an application may change the folder later.
_home = getattr(sys.modules.get("ota"), "_home", None) or os.getcwd()
problems = []  # what the last boot() could not do, for status()


def note(text):
    """Keep `text` for status()."""
    problems[:] = problems[-3:] + [text]


def base(root=None):
    """The folder that an update lives in, ready to have a path put behind it."""
    root = _home if root is None else root
    return root if not root or root.endswith("/") else root + "/"


def _try(do, *paths):
    # What `do` gives of files that may not be there, else False: to look first costs as much
    # again. A flash that cannot be read does not say that they are gone.
    try:
        return do(*paths)
    except OSError as e:
        if e.errno != 2 and e.errno != 20:  # ENOENT, ENOTDIR
            raise
        return False


def _twice(do, *args):
    # An error that passes must not be taken for damage.
    try:
        return do(*args)
    except OSError:
        return do(*args)


def _head(path):
    with open(path, "rb") as f:
        return f.read(1024)


def exists(path):
    """What is at `path`: 0 nothing, 1 a file, 2 a folder."""
    found = _try(os.stat, path)
    return 1 + (found[0] >> 14 & 1) if found else 0


def _record(path):
    # JSON whose last value is the CRC of all the text before it. Formats 1 and 2 were a dict.
    # None when there is no file, or nothing in it: the very first is empty until it is closed.
    try:
        raw = _twice(_try, _head, path)
        if not raw:
            return None
    except OSError as e:
        if e.errno == 5:
            raise
        return {"n": -1}  # a folder
    try:
        state = json.loads(raw)
        if isinstance(state, list):
            crc = state.pop()
            more = state.pop()
            state = dict(zip(_KEYS, state))
            state.update(more)
        else:
            crc = state.pop("crc")
        sound = crc == "%08x" % crc32(raw[: raw.rfind(b',"')])
        if sound and state["n"] >= 0 and state["phase"] in MOVES:
            return state
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError):
        pass  # RuntimeError: nested too deep
    return {"n": -1}


def load(root=None):
    """The state of the board (dict): the newest valid record, or a fresh one."""
    first = _record(base(root) + ".ota/state")
    second = _record(base(root) + ".ota/state.new")
    best = first if first and (not second or first["n"] > second["n"]) else second
    # No slot is live: what is on the board is unknown, so nothing of it counts as unchanged.
    state = dict(zip(_KEYS, ("idle", 0, 0, "", "", 0, 0, 0, 0, 3, 0, 0, "", {}, 0)))
    if best and best["n"] >= 0:
        state.update(best)
    elif best:
        state["damaged"] = 1
        # Nothing older than what the board has seen.
        state["floor"] = max([header(root, slot).get("seq", 0) for slot in "abc"])
    if second:
        state["second"] = 1
    state["format"] = FORMAT
    return state


def save(root, state, phase=None):
    """Write `state` (dict) as the newest record, in `phase` (str, default: as it is).

    Raises:
        ValueError: `MOVES` does not allow the phase.
        OSError: the file system refused; the record before is still the newest.
    """
    phase = phase or state["phase"]
    if phase not in MOVES[state["phase"]]:
        raise ValueError("phase %s cannot follow %s" % (phase, state["phase"]))
    record = dict(state, phase=phase, n=state["n"] + 1)
    record.pop("damaged", None)
    second = record.pop("second", 0)
    more = dict(record)
    # In 128 bytes littlefs keeps it in the folder's list; more would erase a block each time.
    text = json.dumps([more.pop(key) for key in _KEYS] + [more], separators=(",", ":"))[:-1]
    home = base(root) + ".ota"
    # On littlefs a file stays what it was until it is closed; on FAT, where names fold case,
    # two records take turns.
    turns = exists(base(root) + ".OTA")
    path = home + ("/state.new" if turns and record["n"] % 2 == 0 else "/state")
    # Nothing may fail between the open, which empties the file, and the write.
    raw = b'%s,"%08x"]' % (text.encode(), crc32(text.encode()))
    if len(raw) > 1024 and _shed(state):  # load() reads no more
        return save(root, state, phase)
    try:
        with _try(open, path, "wb") or os.mkdir(home) or open(path, "wb") as f:
            f.write(raw)
    except OSError as e:
        if not _give_way(state, e, home, path):
            raise
        return save(root, state, phase)
    if second and not turns:  # of a version that wrote it first, and then renamed it
        try:
            os.remove(home + "/state.new")
        except OSError:  # a folder
            move_aside(home + "/state.new")
    state.clear()
    state.update(record)


def _shed(state):
    # What only saves a request may go; gives whether there was any.
    blocked = state.get("blocked")
    if blocked and len(blocked[1]) > 200:
        blocked[1:] = blocked[1][:99] + "...", None
        return True
    gone = state.pop("blocked", None) or state.pop("aside", None) or state["etag"]
    state["etag"] = ""
    return gone


def _give_way(state, e, home, path):
    # Whether the record may be written after all.
    if e.errno in _FULL:  # a trial has to end on a full flash, too
        return _shed(state)
    if exists(home) == 1:
        return move_aside(home)
    return exists(path) == 2 and move_aside(path)


def lines(root, slot):
    """Give the file entries (dicts) of the manifest in `slot`; none when it has no file."""
    f = slot and _try(open, base(root) + ".ota/" + slot, "rb")
    if not f:
        return
    with f:
        f.readline(1024)
        while True:
            raw = f.readline(1024)
            if not raw:
                return
            if not raw.startswith(b'{"sig"'):
                yield json.loads(raw)


def header(root, slot):
    """The first line of the manifest in `slot` (dict), empty when it cannot be read."""
    try:
        head = dict(json.loads(_twice(_head, base(root) + ".ota/" + slot).split(b"\n")[0]))
        for key in ("seq", "time", "expires"):
            head[key] = int(head.get(key, 0))
            if not head[key] and key != "seq":
                del head[key]
        return head
    except (OSError, ValueError, TypeError, RuntimeError, OverflowError):
        return {}


def _pieces(path):
    buffer = memoryview(bytearray(512))
    with open(path, "rb") as f:
        while True:
            n = f.readinto(buffer)
            if not n:
                return
            yield buffer[:n]


def _sum(path):
    crc = 0
    for piece in _pieces(path):
        crc = crc32(piece, crc)
    return crc


def sum_of(root, slot):
    """The CRC-32 of the manifest in `slot`, None when there is none."""
    try:
        return _twice(_sum, base(root) + ".ota/" + slot)
    except OSError as e:
        if e.errno == 5:  # EIO does not say that it is damaged
            raise


def note_sums(root, state):
    """Keep in `state` what both manifests are, for `unsound`."""
    state["sums"] = {}
    for slot in (state["live"], state["next"]):
        if slot:
            state["sums"][slot] = sum_of(root, slot)


def unsound(root, state, key):
    """Whether the manifest that `key` (`live` or `next`) names is damaged."""
    slot = state[key]
    if slot in state["sums"]:
        return state["sums"][slot] != sum_of(root, slot)
    try:  # nobody noted what it was, so it has to read as one
        return bool(slot) and not (_twice(_in_order, root, slot) and header(root, slot))
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as e:
        if getattr(e, "errno", 0) == 5:
            raise
        return True


def _in_order(root, slot):
    last = ""
    for entry in lines(root, slot):
        if entry["p"] <= last:
            return False
        last = entry["p"]
    return True


def spare(state, *taken):
    """The name of a manifest slot that neither `state` nor `taken` uses."""
    for slot in "abc":
        if slot != state["live"] and slot != state["next"] and slot not in taken:
            return slot


def merge(old, new):
    """Walk two iterators of entries sorted by path: gives (path, old or None, new or None)."""
    x, y = next_of(old), next_of(new)
    while x or y:
        a = x if not y or x and x["p"] <= y["p"] else None
        b = y if not x or y and y["p"] <= x["p"] else None
        yield (a or b)["p"], a, b
        x = next_of(old) if a else x
        y = next_of(new) if b else y


def next_of(entries):
    """The next of an iterator, None at its end."""
    # MicroPython before 1.24 has no next() with a default.
    for entry in entries:
        return entry


def same(x, y):
    """Whether two entries hold the same content; an entry without a hash never does."""
    return bool(x and y and x.get("h") and x.get("h") == y.get("h"))


def critical(path, x, y):
    """Whether the board may not boot, or not finish an install, without `path`."""
    if path in _CRITICAL or path.startswith("ota/") or path.startswith("lib/ota/"):
        return True
    return bool((x or y).get("c") or (y or x).get("c"))


def _copy(src, dst):
    with open(dst, "wb") as g:
        for piece in _pieces(src):
            g.write(piece)


def hash_file(path):
    """The SHA-256 (hex) of the file at `path`."""
    hasher = sha256()
    for piece in _pieces(path):
        hasher.update(piece)
    return hexlify(hasher.digest()).decode()


def move_aside(path):
    """Rename what is in the way of a move to a name of its own, which is returned (str)."""
    to, n = path + ASIDE, 1
    while exists(to):
        n += 1
        to = path + ASIDE + str(n)
    os.rename(path, to)
    note("%s was in the way, and is %s now" % (path, to))
    return to


def _move(src, dst):
    try:
        os.rename(src, dst)
    except OSError as e:
        if e.errno == 2 and not exists(src):
            return
        if e.errno in (2, 5) or e.errno in _FULL or not exists(dst):
            raise
        move_aside(dst)  # a folder; on FAT also what is read-only
        os.rename(src, dst)


def _erase(path):
    # Of a folder all that is in it goes.
    try:
        return _try(os.remove, path)
    except OSError:
        if exists(path) != 2:
            raise
    for name in os.listdir(path):
        _erase(path + "/" + name)
    os.rmdir(path)


def _drop(root, path, stays=None):
    # Remove it, and the folders that it leaves empty, also after a cut between the two; where
    # another file stays beside it there are none.
    _erase(root + path)
    while "/" in path and not stays:
        path = path[: path.rfind("/")]
        try:
            if exists(root + path) == 2:  # littlefs removes a file as well
                os.rmdir(root + path)
        except OSError as e:
            if e.errno == 5:  # EIO; else it is not empty
                raise
            return


def _forward(root, path, x, y, vital):
    # A file that becomes a folder has this, with all that comes below it, as its staged form.
    live = root + path
    if exists(live + NEW) > (not y):
        if not vital and (x or exists(live) == 2):
            _move(live, live + OLD)
        _move(live + NEW, live)
    # A board is never without boot.py: one that no release names any more stays.
    elif not y and path != "boot.py" and exists(live) == 1:
        _move(live, live + OLD)


def _backward(root, path, x, y, vital):
    live = root + path
    staged = y and exists(live + NEW)
    there = exists(live)
    if x:
        if (not staged or not there) and exists(live + OLD):
            _move(live + OLD, live)
        return
    if staged and not there:
        _drop(root, path + NEW)
    elif not staged and there < 2:  # else it is the application's
        _drop(root, path)
    if exists(live + OLD) == 2:  # it was a folder
        _move(live + OLD, live)


def _clean(root, path, x, y, vital):
    for suffix in (NEW, OLD):
        try:
            _drop(root, path + suffix, x and y)
        except OSError as e:  # the next release comes all the same
            note("left over: %s%s: %r" % (path, suffix, e))


def _turn(path, x, y, back):
    # Boot-critical files last, so that the boot path is of one release until the end: of these
    # first what was not there, for boot.py may import it, and very last what goes: `bootguard.py`
    # when `bootguard.mpy` has come. boot.py is the last that changes, and the first to change back.
    # What was added goes before the file comes back in whose place its folder is.
    if not critical(path, x, y):
        return int(bool(back and x))
    before, after = (y, x) if back else (x, y)
    if not after:
        return 5
    if path == "boot.py":
        return 3 if back else 4
    return (4 if back else 3) if before else 2


def _replay(root, state, move, back=False):
    old, new = (state["next"], state["live"]) if back else (state["live"], state["next"])
    turn, turns = 0, 1  # a bit for each that there is
    while turns >> turn:
        for path, x, y in merge(lines(root, old), lines(root, new)):
            if same(x, y):
                continue
            its = 0 if move == _clean else _turn(path, x, y, back)
            turns |= 1 << its
            if its == turn:
                move(root, path, x, y, critical(path, x, y))
        turn += 1
        while turns >> turn and not turns >> turn & 1:
            turn += 1


def above(path):
    # Where each folder of `path` ends, the outermost first.
    at = path.find("/")
    while at > 0:
        yield at
        at = path.find("/", at + 1)


def entry_of(root, slot, path):
    """The line (dict) of `path` in a manifest, None when it names no such file."""
    for entry in lines(root, slot):
        if entry["p"] == path:
            return entry


def alien(root, folder, slot, kept=None):
    """What keeps `folder` from giving way to a file of the next release.

    Args:
        slot (str): of the manifest that is live. kept: function of a path: whether it has to stay.
    Returns:
        str: the path of a file below it that the live release does not name, or that the board
            needs; None when there is none.
    """
    for name in os.listdir(root + folder):
        path = folder + "/" + name
        if exists(root + path) == 2:
            found = alien(root, path, slot, kept)
            if found:
                return found
        elif name[-8:] not in (NEW, OLD):
            entry = entry_of(root, slot, path)
            if not entry or critical(path, entry, entry) or kept and kept(path):
                return path


def _is_staged(root, state, path, entry):
    # Also below a file that becomes a folder.
    look = exists if state["bare"] else hash_file
    got = _try(look, root + path + NEW)
    for at in above(path):
        got = got or _try(look, root + path[:at] + NEW + path[at:] + NEW)
    return got and (state["bare"] or got == entry["h"])


def _secure(root, state):
    # Looks for all that can stop a move, before the first one, and copies what must never be
    # absent: only this needs room. Gives why not (str), and the path that is in the way.
    for path, x, y in merge(lines(root, state["live"]), lines(root, state["next"])):
        if same(x, y):
            continue
        live = root + path
        there = exists(live)
        exists(live + NEW)  # a path that cannot be looked at cannot be moved back
        if x and there != 1:
            return "%s is gone" % path, ""
        if not x and there == 1:  # of the application, since it was staged: the next check sees it
            return "%s has come" % path, ""
        if exists(live + OLD):  # nothing has moved yet, so it is of another time
            _make_way(live + OLD)
        if not y:
            continue
        if not _is_staged(root, state, path, y):
            return "staged %s is damaged" % path, ""
        vital = critical(path, x, y)
        if there == 2:
            found = path if vital else alien(root, path, state["live"])
            if found:
                return "%s is in the way of %s" % (found, path), found
        if x and vital:
            try:
                _copy(live, live + OLD)
            except OSError as e:
                if e.errno == 5 or e.errno in _FULL:
                    raise
                _make_way(live + OLD)
                _copy(live, live + OLD)
    return "", ""


def _make_way(path):
    try:
        _erase(path)
    except OSError:
        move_aside(path)


def _lost(root, state, back):
    # The first path that there is no way back for. With `back` all of the release has been moved,
    # and state["next"] is what to go back to.
    before, after = (state["next"], state["live"]) if back else (state["live"], state["next"])
    moved = back and after
    for path, x, y in merge(lines(root, before), lines(root, after)):
        if same(x, y):
            continue
        live = root + path
        # Before anything moves, all is looked at that the way back will look at.
        there, staged, old = exists(live), exists(live + NEW), exists(live + OLD)
        if not x or old:
            continue
        stays = staged if y else path == "boot.py" or not moved
        if stays and there and not (y and moved):
            continue
        for at in above(path):
            if exists(root + path[:at] + OLD + path[at:]):
                break
        else:
            return path


def distrust(root, state):
    """Let go of a manifest that is damaged: one that lost lines would have files removed that stay."""
    found = False
    for key in ("live", "next"):
        if unsound(root, state, key):
            note("the %s manifest is damaged" % key)
            state[key] = ""
            found = True
    return found


def advance(root, state, booting=False):
    """Do what the phase asks for; gives whether live files moved. The only way that they do.

    Once more when it fails: an error that passes must not leave a mix.
    """
    live = state["live"]
    try:
        return _advance(root, state, booting)
    except Exception:
        moving = state["phase"] in ("committing", "reverting") or state["live"] != live
        record = load(root)
        state.clear()
        state.update(record)
    return _advance(root, state, booting) or moving


def _advance(root, state, booting):
    home = base(root)
    moved = False
    if state["phase"] in ("ready", "committing", "reverting", "cleaning"):
        damaged = distrust(root, state)
    if state["phase"] == "ready":
        _prepare(root, home, state, damaged)
    if state["phase"] == "committing":
        _commit(root, home, state)
        moved = True
    elif state["phase"] == "trial" and booting:
        if state["boots"] < state["trial"]:
            state["boots"] += 1
            save(root, state)
        else:
            why = withdraw(root, state)
            if why:  # it stays, and is not taken again
                state["refused"] = state["seq"]
                _say("seq %s failed its trial and stays: %s" % (state["seq"], why))
                save(root, state, "cleaning")
    if state["phase"] == "reverting":
        _revert(root, home, state)
        moved = True
    if state["phase"] == "cleaning":
        _replay(home, state, _clean)
        blocked = state.get("blocked")
        if blocked and blocked[2] == 0:  # until there is more room than now
            info = os.statvfs(home or ".")
            # On a full littlefs the count of free blocks goes below zero, and wraps.
            blocked[2] = info[0] * (2 + (info[3] if info[3] < info[2] else 0))
        save(root, state, "idle")
    return moved


def _say(text):
    note(text)
    print("ota:", text)


def _prepare(root, home, state, damaged):
    # All that can still fail, before the first file moves: then the release is dropped.
    path = None
    why = "a manifest is damaged"
    try:
        if not damaged:
            why, path = _secure(home, state)
        if not why:
            return save(root, state, "committing")
    except OSError as e:
        why, path = ("no room", 0) if e.errno in _FULL else (repr(e), None)
    why = "seq %s not installed: %s" % (state["seq"], why)
    _say(why)
    gc.collect()  # closes the manifests, whose slots may be written again
    abandon(root, state, None if path in (None, "") else [state["seq"], why, path])


def _commit(root, home, state):
    # A move that fails twice for another reason than a cut leads back.
    why = None if state["next"] else "its manifest is damaged"
    for again in (1, 0):
        try:
            if not why:
                _replay(home, state, _forward)
            break
        except (OSError, MemoryError) as e:
            if not again:
                why = repr(e)
    if why and _lost(home, state, False):
        raise OSError(why)
    state["live"], state["next"] = state["next"], state["live"]
    if why:
        _say("seq %s not installed: %s" % (state["seq"], why))
        return save(root, state, "reverting")
    state["boots"] = state["fails"] = 0
    if isinstance(state["seq"], int):  # the legacy functions say what they always said
        print("ota: seq %d is live" % state["seq"])
    settle(root, state) if not state["trial"] else save(root, state, "trial")


def _clear(root, state):
    # All has moved, so what has the name of a staged file is the application's.
    for path, x, y in merge(lines(root, state["next"]), lines(root, state["live"])):
        if y and not same(x, y) and exists(root + path + NEW):
            move_aside(root + path + NEW)


def withdraw(root, state):
    """Begin to go back to the release before; gives why that cannot be (str), empty when it has begun."""
    distrust(root, state)
    if not state["next"]:
        return "there is no manifest to go back to"
    try:
        path = _twice(_lost, base(root), state, True)
        if path:
            return "%s is gone" % (path + OLD)
        _twice(_clear, base(root), state)
    except OSError as e:
        return repr(e)
    save(root, state, "reverting")
    return ""


def _revert(root, home, state):
    if state["next"]:  # else nobody knows what to go back to
        _replay(home, state, _backward, True)
    aside = [
        path + ASIDE
        for path, x, y in merge(lines(root, state["live"]), lines(root, state["next"]))
        if not same(x, y) and exists(home + path + ASIDE)
    ]
    if aside:
        state["aside"] = aside[-2:]  # the record has 1 KB
    state["live"], state["next"] = state["next"], state["live"]
    state["refused"] = state["seq"]
    state["fails"] = 0
    print("ota: seq %s was undone" % state["seq"])
    save(root, state, "cleaning")


def settle(root, state):
    """Let the live release stay: raise the floor; what was kept to go back to may go."""
    if isinstance(state["seq"], int):  # the legacy layout has a version there
        state["floor"] = max(state["floor"], state["seq"])
    if state.pop("signed", 0):
        # Not before: a release with a time far ahead, never confirmed, would block what expires.
        state["time"] = max(state["time"], header(root, state["live"]).get("time", 0))
    state.pop("aside", 0)
    save(root, state, "cleaning")


def abandon(root, state, blocked=None):
    """Give up a release none of whose files has moved; what is staged may go.

    Args:
        blocked (list): its seq, why (str), and the path that is in the way, or 0 for want of room:
            until that changes it is not fetched again. None: the next check sees it anew.
    """
    if blocked:
        state["blocked"] = blocked
    else:
        state["etag"] = ""
    save(root, state, "cleaning")


# What only moves files, for which an update needs the room.
_HEAVY = ("_copy", "hash_file", "_move", "_erase", "_drop", "_forward", "_backward", "_clean", "_turn", "_replay")
_HEAVY += ("alien", "_is_staged", "_secure", "_make_way", "_lost", "distrust", "advance", "_advance", "_say", "_prepare")
_HEAVY += ("_commit", "_clear", "withdraw", "_revert", "boot")


def lean():
    """Let go of what only moves files; who asks for it gets it from a module of its own.

    Not from source: to compile it again takes more than is won.
    """
    if sys.implementation.name == "micropython" and globals().get("__file__", "")[-3:] != ".py":
        for name in _HEAVY:
            globals().pop(name, None)
        gc.collect()


def __getattr__(name):
    if name not in _HEAVY:
        raise AttributeError(name)
    package = sys.modules["ota"]
    this = sys.modules.pop("ota.bootguard")
    guard = __import__("bootguard", globals(), None, ("base",), 1)
    sys.modules["ota.bootguard"] = package.bootguard = this
    guard._home = _home
    guard.problems = problems
    return getattr(guard, name)


def reset():
    """Reset the board, where there is one."""
    try:
        machine = _own("machine")
    except ImportError:
        return
    if hasattr(machine, "reset"):
        machine.reset()


def boot(root=None):
    """Finish or undo an install and count a trial boot; call it on the first lines of boot.py.

    Resets the board when live files moved, so that no module of before runs on.
    Never raises: what went wrong is returned (str, else None) and stands in `status()`.
    """
    try:
        if advance(root, load(root), True):
            reset()
    except Exception as e:  # an error in boot.py would keep main.py from running
        _say("boot: %r" % e)
    return problems[-1] if problems else None
