"""Deliberate faults of the updater, each of which the proof has to catch."""

import shutil
from dataclasses import dataclass

from support import ROOT

from ota_host.proof import prove

from .scenarios import JOBS, scenario, self_update


@dataclass
class Mutant:
    """`file` of ota/ with `old` text replaced by `new`; `jobs` are tried until one shows it."""

    name: str
    file: str
    old: str
    new: str
    jobs: tuple = ("update",)


def of_guard(name, old, new, *jobs):
    """A Mutant of bootguard."""
    return Mutant(name, "bootguard.py", old, new, jobs or ("update",))


_FLIP = '    state["live"], state["next"] = state["next"], state["live"]\n'
_UNDONE = _FLIP + '    state["refused"] = state["seq"]\n    state["fails"] = 0\n'
_DROPS_WHAT_WAS_ADDED = "    elif not staged and there < 2:  # else it is the application's\n"
_BOOT_RANK = "        return 3 if back else 4\n"
_RANKS = "    return (4 if back else 3) if before else 2\n"

MUTANTS = [
    of_guard("the replay is left out", '    if state["phase"] == "committing":\n', '    if state["phase"] == "never":\n'),
    of_guard("the slots are flipped before the files", '            return save(root, state, "committing")\n', '            save(root, state, "committing")\n            return save(root, state, "trial")\n'),
    of_guard("a file whose old one is kept counts as installed", "    if exists(live + NEW) > (not y):", "    if exists(live + NEW) > (not y) and not exists(live + OLD):"),
    of_guard("boot-critical files are renamed away", "        if not vital and (x or exists(live) == 2):", "        if x or exists(live) == 2:"),
    of_guard("nothing critical is copied", "        if x and vital:\n            try:", "        if False:\n            try:", "revert"),
    of_guard("half of a critical file is copied", "            g.write(piece)", "            g.write(piece[: len(piece) // 2])", "revert"),
    of_guard("the copy is of the new file", "            try:\n                _copy(live, live + OLD)", "            try:\n                _copy(live + NEW, live + OLD)", "revert"),
    of_guard("old files are not kept", "            _move(live, live + OLD)\n        _move(live + NEW, live)", "            pass\n        _move(live + NEW, live)", "revert"),
    of_guard("removed files are deleted", "exists(live) == 1:\n        _move(live, live + OLD)", "exists(live) == 1:\n        _try(os.remove, live)", "revert"),
    of_guard("removed files stay", '    elif not y and path != "boot.py" and exists(live) == 1:', "    elif False:"),
    of_guard("a revert leaves added files", _DROPS_WHAT_WAS_ADDED, "    elif False:\n", "revert"),
    of_guard("a revert brings nothing back", "            _move(live + OLD, live)\n        return", "            pass\n        return", "revert"),
    of_guard("a revert forgets to flip", _UNDONE, _UNDONE.replace(_FLIP, ""), "revert"),
    of_guard("the refused release is taken again", _UNDONE, _FLIP + '    state["fails"] = 0\n', "revert"),
    of_guard("trial boots are not counted", '            state["boots"] += 1\n', "", "revert"),
    of_guard("the count of trial boots is not saved", '            state["boots"] += 1\n            save(root, state)\n', '            state["boots"] += 1\n', "revert"),
    of_guard("the floor is never raised", '        state["floor"] = max(state["floor"], state["seq"])', "        pass"),
    of_guard("the floor sinks at a revert", _UNDONE, _UNDONE + '    state["floor"] = 0\n', "revert"),
    of_guard("staged litter stays", "    for suffix in (NEW, OLD):", "    for suffix in (OLD,):", "withdrawn"),
    of_guard("kept files stay for ever", "    for suffix in (NEW, OLD):", "    for suffix in (NEW,):"),
    of_guard("the old state is removed before the new one is written", '    try:\n        with _try(open, path, "wb")', '    _try(os.remove, path)\n    try:\n        with _try(open, path, "wb")'),
    of_guard("the boot-critical files are left out", "            turns |= 1 << its\n", ""),
    Mutant("the marker comes before staging is complete", "updater.py", "            yield from self._source.stage(release, state)\n", "            for _ in self._source.stage(release, state):\n                yield _\n                if state[\"phase\"] == \"staging\" and _[0] == \"lib/b.py\":\n                    break\n"),
    Mutant("a staged file is not hashed again", "place.py", "        if (yield from hash_of(u, path + NEW)) == want:", "        if (yield from hash_of(u, path + NEW)):", ("damaged while staging",)),
    Mutant("what a delta makes is not hashed", "place.py", "            if got == want or not hashed:", "            if True:", ("wrong deltas",)),
    Mutant("only the smallest form is tried", "place.py", "in _ways(bases, entry, there, hashed):", "in _ways(bases, entry, there, hashed)[:1]:", ("wrong deltas",)),
    Mutant("of a resumed release nothing is staged", "channel.py", "            if what in (FETCH, PATCH):\n                yield", "            if what in (FETCH, PATCH) and (path + \"~\" > \"main\"):\n                yield"),
    of_guard("staged files go into another folder", 'NEW = ".ota-new"', 'NEW = "/.ota-new"'),
    Mutant("files put there by hand are not adopted", "staging.py", "        yield from adopt(u, state, slot)\n", "", ("revert",)),
    of_guard("the old manifest's slot is overwritten", '        if slot != state["live"] and slot != state["next"] and slot not in taken:', "        if slot not in taken:"),
    of_guard("the old bootguard goes before the new one has come", "    if not after:\n        return 5\n", "    if not after:\n        return 0\n", "update", "revert"),
    of_guard("an install without room goes on", '        why, path = ("no room", 0) if e.errno in _FULL else (repr(e), None)', '        return save(root, state, "committing")', "a folder that cannot grow"),
    of_guard("what is staged is not looked at again", '    return got and (state["bare"] or got == entry["h"])', "    return got", "damaged when ready"),
    of_guard("a staged file that is gone is passed over", "            why, path = _secure(home, state)", '            _secure(home, state)\n            _try(os.remove, home + "boot.py" + NEW)\n            why = ""'),
    # What is in the way.
    of_guard("a folder in the way is not looked for", "        if there == 2:\n", "        if False:\n", "a folder of the application before the install"),
    of_guard("a release that cannot be installed is not noted", '        state["blocked"] = blocked\n', '        state["etag"] = ""\n', "a folder of the application before the install"),
    of_guard("a folder that cannot grow is not a full flash", "_FULL = (28, 36)", "_FULL = (28,)", "a folder that cannot grow"),
    of_guard("what is in the way of a revert is not moved aside", "        move_aside(dst)  # a folder; on FAT also what is read-only\n", "        raise\n", "a folder in an old file's place"),
    of_guard("what is in the way of a revert is removed", "    os.rename(path, to)\n    note", "    _erase(path)\n    note", "a folder in an old file's place"),
    of_guard("what was moved aside is not noted", '        state["aside"] = aside[-2:]  # the record has 1 KB\n', "        pass\n", "a folder in an old file's place"),
    of_guard("what a revert needs is not looked for", "        path = _twice(_lost, base(root), state, True)\n", "        path = None\n", "what to go back to is gone"),
    of_guard("a release that stays is not refused", '                state["refused"] = state["seq"]\n                _say', "                _say", "what to go back to is gone"),
    of_guard("a folder that is emptied stays", '    while "/" in path and not stays:\n', '    while False:\n', "revert"),
    of_guard("a file is removed as if it were an empty folder", "            if exists(root + path) == 2:  # littlefs removes a file as well\n", "            if True:\n", "a folder becomes a file"),
    of_guard("a folder that becomes a file is not kept", "        if not vital and (x or exists(live) == 2):", "        if not vital and x:", "a folder becomes a file"),
    # Ways out.
    of_guard("committing has no way out", "            if not again:\n                why = repr(e)\n", "            if not again:\n                raise\n", "a move that fails each time"),
    of_guard("a move that fails is not tried again", "    for again in (1, 0):", "    for again in (0,):", "a move that fails once"),
    of_guard("the way out of committing does not flip", '    state["live"], state["next"] = state["next"], state["live"]\n    if why:\n', '    if not why:\n        state["live"], state["next"] = state["next"], state["live"]\n    if why:\n', "the last move fails each time"),
    of_guard("the way out of committing forgets what it has moved", '        return save(root, state, "reverting")\n    state["boots"]', '        state["refused"] = state["seq"]\n        state["live"], state["next"] = state["next"], state["live"]\n        return save(root, state, "cleaning")\n    state["boots"]', "the last move fails each time"),
    of_guard("cleaning stops at a leftover", "        except OSError as e:  # the next release comes all the same\n", "        except OSError as e:\n            raise\n", "a leftover that cannot be removed"),
    of_guard("a damaged manifest is believed", "        if unsound(root, state, key):\n", "        if False:\n", "a damaged next manifest, when ready"),
    Mutant("what is staged is not judged again", "obstacles.py", "        return _judge_again(u, state, about)\n", "        return None\n", ("a release that expires while it is staged",)),
    Mutant("the slot of a lost manifest gets the next one", "channel.py", "            save(u.root, state)  # its slot", "            pass  # its slot", ("a deploy whose manifest is damaged",)),
    Mutant("a stopped update leaves its file open", "fetch.py", "    finally:\n        got.close()\n    if not got.hasher:", "    except StorageError:\n        raise\n    got.close()\n    if not got.hasher:", ("steps() closed and begun again",)),
    # The floor.
    of_guard("the floor sinks when a confirmed release is cleaned up", '        _replay(home, state, _clean)\n', '        _replay(home, state, _clean)\n        state["floor"] = 1\n'),
    of_guard("the floor sinks in confirm", '    state.pop("aside", 0)\n    save(root, state, "cleaning")', '    state.pop("aside", 0)\n    floor, state["floor"] = state["floor"], 0\n    save(root, state, "cleaning")\n    state["floor"] = floor'),
    # The order, where boot.py imports modules before ota.boot().
    of_guard("boot.py comes before the module that it imports", _BOOT_RANK, "        return 3 if back else 1\n", "boot.py imports a new module"),
    of_guard("boot.py goes back before the module that it imports", _BOOT_RANK, "        return 1 if back else 4\n", "boot.py imports a new module, undone"),
    of_guard("a changed module comes before the one that it imports", _RANKS, "    return (4 if back else 2) if before else 3\n", "boot.py imports a changed module"),
    of_guard("a changed module goes back before the one that it imports", _RANKS, "    return (1 if back else 3) if before else 2\n", "boot.py imports a changed module, undone"),
    of_guard("what was added goes before those that import it", "    if not after:\n        return 5\n", "    if not after:\n        return 1 if back else 5\n", "boot.py imports a changed module, undone"),
]  # fmt: skip


def mutated(mutant, folder):
    """A copy of ota/ in `folder` with the fault; gives the folder."""
    text = (ROOT / "ota" / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}, not once")
    text = text.replace(mutant.old, mutant.new)
    compile(text, mutant.file, "exec")  # what does not even load proves nothing
    shutil.copytree(ROOT / "ota", folder / "ota", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "ota" / mutant.file).write_text(text)
    return folder


def caught(mutant, folder):
    """What the proof said of a mutant: the first bad verdict, or None when it survived."""
    path = (str(mutated(mutant, folder / "library")),)
    for job in mutant.jobs:
        there = folder / job.replace(" ", "-")
        try:
            one = self_update(there) if job == "self-update" else scenario(there, job)
            one.path = path
            got = prove(one, shapes=("one byte",), parts=1, stop=True, timeout=120)
        except Exception as e:
            return f"stopped: {str(e).splitlines()[-1][:100]}"
        if got.bad_states:
            return str(got.bad[0][1])
    return None


assert all(job in JOBS or job == "self-update" for m in MUTANTS for job in m.jobs)
