"""What an update finds out about a board before its files come."""

from support import told_by

SIZES = """
from world import *
from ota.staging import _size
from ota.storage import Storage
from ota.storage.flash import FlashStorage
from ota.storage.littlefs import LittlefsStorage

there = ("a-b.py", "a.py", "a/x.py", "a/y/z.py", "a/z.py", "b.py", "lib/%02d.py" % 0, "lib/01.py", "z")
asked = sorted(there + ("0", "a", "a/a", "a/y/y", "gone/x.py", "lib/02.py", "zz"))
looked = []


class Board:
    pass


def look(path):
    looked.append(path)
    return Storage.size(u.storage, path)


def sizes(kind, root):
    u.storage = kind(root)
    u.root = root
    u.storage.size = look
    del looked[:]
    walks = []
    return [_size(u, walks, path) for path in asked], list(looked)


u = Board()
found = {}
for name, kind in (("lfs2", LittlefsStorage), ("fat", FlashStorage)):
    flash = power_up(name, 512 if name == "fat" else 64, {p: bytes(10 * i) for i, p in enumerate(there)})
    found[name] = [sizes(kind, root) for root in ("/flash/", "")]
    ramflash.umount(flash)
tell(found=found, asked=asked, there=there)
"""


def test_the_sizes_that_a_walk_along_the_lists_finds_are_those_of_each_file_and_only_others_are_looked_for():
    """Paths come sorted, so a folder comes between files beside it; a folder is -1."""
    facts = told_by(SIZES, heap="8M")
    sizes = {path: 10 * i for i, path in enumerate(facts["there"])}
    sizes["a"] = -1
    want = [sizes.get(path) for path in facts["asked"]]
    missing = [path for path in facts["asked"] if sizes.get(path, -1) == -1]
    for found, looked in facts["found"]["lfs2"]:
        assert found == want and looked == missing
    for found, looked in facts["found"]["fat"]:
        assert found == want and looked == facts["asked"]
