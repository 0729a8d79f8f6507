"""Every boot: finish an install, count a trial boot, undo a release that failed.

This module imports nothing of the package: while the library itself is being
replaced, one complete `bootguard`, the old or the new, finishes the job.

Nothing here keeps a journal. The two manifests, live and next, say what differs;
the disk says which rename comes next; so each replay may be cut and made again.
"""

import sys


def _own(name):
    # As `ota.own`, which an older package has not.
    module = sys.modules.get(name)
    if module and not hasattr(module, "__file__") and not hasattr(module, "__path__"):
        return module
    if sys.implementation.name != "micropython":
        return __import__(name)
    path = sys.path[:]
    modules = dict(sys.modules)
    try:
        sys.path[:] = [".frozen"]
        sys.modules.clear()
        return __import__(name)
    finally:
        sys.path[:] = path
        sys.modules.update(modules)


json = _own("json")
os = _own("os")
crc32 = _own("binascii").crc32
hexlify = _own("binascii").hexlify
sha256 = _own("hashlib").sha256

NEW = ".ota-new"  # staged beside its target
OLD = ".ota-old"  # what the target was before
FORMAT = 3  # of the state record

# A phase and the phases that may follow it. Nothing else decides what is legal.
MOVES = {
    "idle": ("idle", "staging"),
    "staging": ("staging", "ready", "cleaning"),
    "ready": ("committing", "cleaning"),
    "committing": ("trial", "cleaning"),
    "trial": ("trial", "reverting", "cleaning"),
    "reverting": ("idle",),
    "cleaning": ("idle",),
}

_CRITICAL = ("boot.py", "main.py", "micropython_ota.py", "lib/micropython_ota.py")
# What the record holds, in its order: keys are added at the end. Others stand in a dict behind them.
_KEYS = ("phase", "format", "n", "live", "next", "seq", "floor", "refused", "boots", "trial")
_KEYS += ("fails", "bare", "etag", "sums", "time")
# Where boot() was called, or this is loaded: an application may change the folder later.
_home = getattr(sys.modules.get("ota"), "_home", None) or os.getcwd()
problems = []  # what the last boot() could not do, for status()


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
        if e.errno != 2:
            raise
        return False


def exists(path):
    return bool(_try(os.stat, path))


def _record(path):
    # JSON whose last value is the CRC of all the text before it. Formats 1 and 2 were a dict.
    # None when there is no file, or nothing in it: the very first is empty until it is closed.
    f = _try(open, path, "rb")
    if not f:
        return None
    with f:
        raw = f.read(1024)
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
    return {"n": -1} if raw else None


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
        seqs = [header(root, slot).get("seq") for slot in "abc"]
        state["floor"] = max([0] + [seq for seq in seqs if isinstance(seq, int)])
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
    try:
        with _try(open, path, "wb") or os.mkdir(home) or open(path, "wb") as f:
            f.write(b'%s,"%08x"]' % (text.encode(), crc32(text.encode())))
    except OSError as e:
        if e.errno != 28 or not state["etag"]:
            raise
        # On a full flash a trial has to end all the same: what only saves a request may go.
        state["etag"] = ""
        return save(root, state, phase)
    if second and not turns:  # of a version that wrote it first, and then renamed it
        os.remove(home + "/state.new")
    state.clear()
    state.update(record)


def lines(root, slot):
    """Give the file entries (dicts) of the manifest in `slot`; none when it has no file."""
    f = slot and _try(open, base(root) + ".ota/" + slot, "rb")
    if not f:
        return
    with f:
        f.readline()
        for raw in f:
            if not raw.startswith(b'{"sig"'):
                yield json.loads(raw)


def header(root, slot):
    """The first line of the manifest in `slot` (dict), empty when it cannot be read."""
    try:
        with open(base(root) + ".ota/" + slot, "rb") as f:
            return dict(json.loads(f.readline(1024)))
    except (OSError, ValueError, TypeError, RuntimeError):
        return {}


def sum_of(root, slot):
    """The CRC-32 of the manifest in `slot`, None when it cannot be read."""
    crc = 0
    try:
        with open(base(root) + ".ota/" + slot, "rb") as f:
            for raw in f:
                crc = crc32(raw, crc)
    except OSError:
        return None
    return crc


def unsound(root, state, key):
    """Whether the manifest that `key` (`live` or `next`) names is not what it was when staged."""
    sums = state.get("sums", {})
    return state[key] in sums and sums[state[key]] != sum_of(root, state[key])


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
    buffer = memoryview(bytearray(512))
    with open(src, "rb") as f, open(dst, "wb") as g:
        while True:
            n = f.readinto(buffer)
            if not n:
                return
            g.write(buffer[:n])


def _forward(root, path, x, y, vital):
    live = root + path
    if not y:
        # A board is never without boot.py: one that no release names any more stays.
        if path != "boot.py":
            _try(os.rename, live, live + OLD)
    elif exists(live + NEW):
        if x and not vital:
            _try(os.rename, live, live + OLD)
        os.rename(live + NEW, live)


def _backward(root, path, x, y, vital):
    live = root + path
    if not x:
        _drop(root, path)
    else:
        _try(os.rename, live + OLD, live)


def _clean(root, path, x, y, vital):
    _drop(root, path + NEW)
    _drop(root, path + OLD)


def _drop(root, path):
    # Remove a file, and the folders that it leaves empty.
    if _try(os.remove, root + path) is False:
        return
    while "/" in path:
        path = path[: path.rfind("/")]
        try:
            os.rmdir(root + path)
        except OSError as e:
            if e.errno == 5:  # EIO; else it is not empty
                raise
            return


def _replay(root, old, new, move, stays=1):
    # Boot-critical files last, so that the boot path is of one release until the end; of these
    # the ones that go very last: `ota/bootguard.py` when `ota/bootguard.mpy` has come, or the
    # other way round. `stays` tells which entry (1: old, 2: new) a path has afterwards.
    turn = last = 0
    while turn <= last:
        for item in merge(lines(root, old), lines(root, new)):
            path, x, y = item
            if same(x, y):
                continue
            vital = critical(path, x, y)
            its = 2 if vital and not item[stays] else int(vital)
            last = max(last, its)
            if its == turn:
                move(root, path, x, y, vital)
        turn += 1


def _secure(root, state):
    # Copies what must never be absent, all of it before a file moves: only this needs room. Gives
    # the first path whose staged content is not what was verified: the application writes, too.
    for path, x, y in merge(lines(root, state["live"]), lines(root, state["next"])):
        if y and not same(x, y):
            new = root + path + NEW
            if not (exists(new) if state.get("bare") else _try(hash_file, new) == y["h"]):
                return path
            if x and critical(path, x, y):
                _try(_copy, root + path, root + path + OLD)


def hash_file(path):
    """The SHA-256 (hex) of the file at `path`."""
    hasher = sha256()
    buffer = memoryview(bytearray(512))
    with open(path, "rb") as f:
        while True:
            n = f.readinto(buffer)
            if not n:
                return hexlify(hasher.digest()).decode()
            hasher.update(buffer[:n])


def distrust(root, state):
    """Raise ValueError when a replay would go by a damaged manifest; drop a release not begun.

    One that lost lines would have files removed that have to stay.
    """
    for key in ("live", "next"):
        if unsound(root, state, key):
            if state["phase"] != "ready":
                raise ValueError("the %s manifest is damaged" % key)
            state[key] = ""
            state["sums"] = {}
            return abandon(root, state)


def advance(root, state, booting=False):
    """Do what the phase asks for; gives whether live files moved. The only way that they do."""
    home = base(root)
    moved = False
    if state["phase"] in ("ready", "committing", "reverting"):
        distrust(root, state)
    if state["phase"] == "ready":
        _prepare(root, home, state)
    if state["phase"] == "committing":
        _replay(home, state["live"], state["next"], _forward, 2)
        state["live"], state["next"] = state["next"], state["live"]
        state["boots"] = state["fails"] = 0
        moved = True
        settle(root, state) if not state["trial"] else save(root, state, "trial")
    elif state["phase"] == "trial" and booting:
        if state["boots"] < state["trial"]:
            state["boots"] += 1
            save(root, state)
        else:
            distrust(root, state)
            save(root, state, "reverting")
    if state["phase"] == "reverting":
        _replay(home, state["next"], state["live"], _backward)
        state["live"], state["next"] = state["next"], state["live"]
        state["refused"] = state["seq"]
        state["fails"] = 0
        moved = True
        save(root, state, "idle")
    if state["phase"] == "cleaning":
        _replay(home, state["live"], state["next"], _clean)
        save(root, state, "idle")
    return moved


def _prepare(root, home, state):
    # All that can still fail, before the first file moves: then the release is dropped.
    try:
        why = _secure(home, state)
        if not why:
            return save(root, state, "committing")
        why = "staged %s is damaged" % why
    except OSError as e:
        if e.errno != 28:  # ENOSPC: the application took what was free
            raise
        why = "no room"
    problems.append("seq %s not installed: %s" % (state["seq"], why))
    abandon(root, state)


def settle(root, state):
    """Let the live release stay: raise the floor; what was kept to go back to may go."""
    if isinstance(state["seq"], int):  # the legacy layout has a version there
        state["floor"] = max(state["floor"], state["seq"])
    save(root, state, "cleaning")


def abandon(root, state):
    """Give up a release of which no file has moved; what is staged may go."""
    state["etag"] = ""  # so that the next check sees it again
    save(root, state, "cleaning")


def reset():
    """Reset the board, where there is one."""
    try:
        _own("machine").reset()
    except (ImportError, AttributeError):
        pass


def boot(root=None):
    """Finish or undo an install and count a trial boot; call it on the first lines of boot.py.

    Resets the board when live files moved, so that no module of before runs on.
    Never raises: what went wrong is returned (str, else None) and stands in `status()`.
    """
    try:
        if advance(root, load(root), True):
            reset()
    except Exception as e:  # an error in boot.py would keep main.py from running
        problems.append("boot: %r" % e)
    return problems[-1] if problems else None
