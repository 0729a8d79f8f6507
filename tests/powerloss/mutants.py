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


MUTANTS = [
    Mutant("the replay is left out", "bootguard.py", '    if state["phase"] == "committing":\n', '    if state["phase"] == "never":\n'),
    Mutant("the slots are flipped before the files", "bootguard.py", "            return save(root, state, \"committing\")\n", "            save(root, state, \"committing\")\n            return save(root, state, \"trial\")\n"),
    Mutant("a file whose old one is kept counts as installed", "bootguard.py", "    elif exists(live + NEW):", "    elif exists(live + NEW) and not exists(live + OLD):"),
    Mutant("boot-critical files are renamed away", "bootguard.py", "        if x and not vital:", "        if x:"),
    Mutant("nothing critical is copied", "bootguard.py", "                _try(_copy, root + path, root + path + OLD)", "                pass", ("revert",)),
    Mutant("half of a critical file is copied", "bootguard.py", "            g.write(buffer[:n])", "            g.write(buffer[: n // 2])", ("revert",)),
    Mutant("the copy is of the new file", "bootguard.py", "_try(_copy, root + path, root + path + OLD)", "_try(_copy, root + path + NEW, root + path + OLD)", ("revert",)),
    Mutant("old files are not kept", "bootguard.py", "            _try(os.rename, live, live + OLD)\n        os.rename(live + NEW, live)", "            pass\n        os.rename(live + NEW, live)", ("revert",)),
    Mutant("removed files are deleted", "bootguard.py", "            _try(os.rename, live, live + OLD)\n    elif", "            _try(os.remove, live)\n    elif", ("revert",)),
    Mutant("removed files stay", "bootguard.py", "        if path != \"boot.py\":", "        if False:"),
    Mutant("a revert leaves added files", "bootguard.py", "    if not x:\n        _drop(root, path)", "    if not x:\n        pass", ("revert",)),
    Mutant("a revert brings nothing back", "bootguard.py", "        _try(os.rename, live + OLD, live)", "        pass", ("revert",)),
    Mutant("a revert forgets to flip", "bootguard.py", "        state[\"live\"], state[\"next\"] = state[\"next\"], state[\"live\"]\n        state[\"refused\"]", "        state[\"refused\"]", ("revert",)),
    Mutant("the refused release is taken again", "bootguard.py", "        state[\"refused\"] = state[\"seq\"]\n", "", ("revert",)),
    Mutant("trial boots are not counted", "bootguard.py", "            state[\"boots\"] += 1\n", "", ("revert",)),
    Mutant("the count of trial boots is not saved", "bootguard.py", "            state[\"boots\"] += 1\n            save(root, state)\n", "            state[\"boots\"] += 1\n", ("revert",)),
    Mutant("the floor is never raised", "bootguard.py", "        state[\"floor\"] = max(state[\"floor\"], state[\"seq\"])", "        pass"),
    Mutant("the floor sinks at a revert", "bootguard.py", "        state[\"refused\"] = state[\"seq\"]\n", "        state[\"refused\"] = state[\"seq\"]\n        state[\"floor\"] = 0\n", ("revert",)),
    Mutant("staged litter stays", "bootguard.py", "    _drop(root, path + NEW)\n", "", ("withdrawn",)),
    Mutant("kept files stay for ever", "bootguard.py", "    _drop(root, path + OLD)\n", ""),
    Mutant("the old state is removed before the new one is written", "bootguard.py", '    try:\n        with _try(open, path, "wb")', '    _try(os.remove, path)\n    try:\n        with _try(open, path, "wb")'),
    Mutant("the boot-critical files are left out", "bootguard.py", "            last = max(last, its)\n", ""),
    Mutant("the marker comes before staging is complete", "updater.py", "            yield from self._source.stage(release, state)\n", "            for _ in self._source.stage(release, state):\n                yield _\n                if state[\"phase\"] == \"staging\" and _[0] == \"lib/b.py\":\n                    break\n"),
    Mutant("a staged file is not hashed again", "place.py", "        if (yield from hash_of(u, path + NEW)) == want:", "        if (yield from hash_of(u, path + NEW)):", ("damaged while staging",)),
    Mutant("what a delta makes is not hashed", "place.py", "            if got == want or not hashed:", "            if True:", ("wrong deltas",)),
    Mutant("only the smallest form is tried", "place.py", "in _ways(old, entry, there, hashed):", "in _ways(old, entry, there, hashed)[:1]:", ("wrong deltas",)),
    Mutant("of a resumed release nothing is staged", "channel.py", "            if what in (FETCH, PATCH):\n                yield", "            if what in (FETCH, PATCH) and (path + \"~\" > \"main\"):\n                yield"),
    Mutant("staged files go into another folder", "bootguard.py", 'NEW = ".ota-new"', 'NEW = "/.ota-new"'),
    Mutant("files put there by hand are not adopted", "channel.py", "        yield from adopt(u, state, slot)\n", "", ("revert",)),
    Mutant("the old manifest's slot is overwritten", "bootguard.py", "        if slot != state[\"live\"] and slot != state[\"next\"] and slot not in taken:", "        if slot not in taken:"),
    Mutant("the old bootguard goes before the new one has come", "bootguard.py", "its = 2 if vital and not item[stays] else int(vital)", "its = int(vital) if item[stays] else 0", ("update", "revert")),
    Mutant("an install without room goes on", "bootguard.py", "        if e.errno != 28:  # ENOSPC: the application took what was free\n            raise\n        why = \"no room\"", "        return save(root, state, \"committing\")", ("flash filled before the install",)),
    Mutant("what is staged is not looked at again", "bootguard.py", "_try(hash_file, new) == y[\"h\"]", "exists(new)", ("damaged when ready",)),
    Mutant("a staged file that is gone is passed over", "bootguard.py", "        why = _secure(home, state)", "        _secure(home, state)\n        _try(os.remove, home + \"boot.py\" + NEW)\n        why = None", ("update",)),
]


def mutated(mutant, folder):
    """A copy of ota/ in `folder` with the fault; gives the folder."""
    text = (ROOT / "ota" / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}, not once")
    shutil.copytree(ROOT / "ota", folder / "ota", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "ota" / mutant.file).write_text(text.replace(mutant.old, mutant.new))
    return folder


def caught(mutant, folder):
    """What the proof said of a mutant: the first bad verdict, or None when it survived."""
    path = (str(mutated(mutant, folder / "library")),)
    for job in mutant.jobs:
        there = folder / job.replace(" ", "-")
        try:
            one = self_update(there) if job == "self-update" else scenario(there, job)
            one.path = path
            got = prove(one, shapes=("half",), parts=1, stop=True, timeout=120)
        except Exception as e:
            return f"stopped: {str(e).splitlines()[-1][:100]}"
        if got.bad_states:
            return str(got.bad[0][1])
    return None


assert all(job in JOBS or job == "self-update" for m in MUTANTS for job in m.jobs)
