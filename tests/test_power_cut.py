"""Power fails at every flash operation of an update: the next boot runs one release whole."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import release, run_mp

OLD = {
    "boot.py": "boot 1 " * 40,
    "lib/a.py": "a 1 " * 500,
    "lib/b.py": "b 1 " * 90,
    "lib/gone.py": "gone " * 30,
    "main.py": "main 1 " * 90,
    "ota/x.py": "lib 1 " * 40,
    "same.py": "same " * 10,
}
NEW = {
    "boot.py": "boot 2 " * 41,
    "by_hand.txt": "released",
    "lib/a.py": "a 2 " * 510,
    "lib/b.py": "b 2 " * 91,
    "lib/sub/new.py": "new " * 300,
    "main.py": "main 2 " * 91,
    "ota/x.py": "lib 2 " * 41,
    "same.py": "same " * 10,
}
# `by_hand.txt` is there before the first release that names it; a revert must bring it back.
HAND = {"by_hand.txt": "made by hand", "user.cfg": "mine"}


def sweep(tmp_path, kind, prog, torn, twice=False, parts=2):
    """Run tests/on_board/cuts.py in `parts` processes, two at a time; gives the sums."""
    for name, files, seq in (("one", OLD, 1), ("two", NEW, 2)):
        release(tmp_path / name, {p: d.encode() for p, d in files.items()}, seq=seq)
    args = [json.dumps(OLD), json.dumps(NEW), json.dumps(HAND), tmp_path / "one", tmp_path / "two"]
    args += [kind, prog, json.dumps(torn), "twice" if twice else "once"]

    def part(i):
        done = run_mp("import cuts", *args, i, parts, heap="64M", timeout=900)
        return json.loads(done.stdout.split("FACTS ")[-1])

    found, cuts, second = Counter(), 0, 0
    with ThreadPoolExecutor(2) as pool:
        for facts in pool.map(part, range(parts)):
            found.update(facts["found"])
            cuts += facts["cuts"]
            second += facts["second_cuts"]
    return found, cuts, second


def test_every_cut_of_an_update_and_of_a_revert_boots_a_whole_release(tmp_path):
    """littlefs, program size 256, each operation torn in the middle: only old or new, no litter."""
    found, cuts, _ = sweep(tmp_path, "lfs2", 256, [128])
    assert sorted(found) == ["new", "old"], found
    assert cuts > 150


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("prog", [32, 256])
def test_every_cut_of_the_recovery_boots_a_whole_release_as_well(tmp_path, prog):
    """The same with five shapes of a torn operation and a second cut in the boot that follows."""
    found, _, second = sweep(tmp_path, "lfs2", prog, [0, 1, 128, 255, 256], True, parts=24)
    assert sorted(found) == ["new", "old"], found
    assert second > 1000
