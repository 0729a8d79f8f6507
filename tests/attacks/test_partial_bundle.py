"""Partial bundle: some files of a release are kept from the board."""

import pytest

from .scene import KINDS, V1, Publisher, Site, blob, on_board
from .test_drop_request import reset

FILES = {"boot.py": b"boot 2", "main.py": b"main 2", "lib/a.py": b"a 2" * 1200, "lib/b.py": b"b", "x.txt": b"x" * 5000}
BLOCK = """
told = []
for k in range(int(ARGS[1])):
    power_up_with_root()
    install("v1")
    before = live()
    one = attempt("block%d" % k)
    first = live() == before
    boot(2)
    told.append([one["said"], one["ready"], first and live() == before, install("v2-%d" % k)["said"], live()["x.txt"][:1]])
    os.chdir("/")
    ramflash.vfs.umount("/flash")
    del ramflash._files[:]
tell(told=told)
"""


@pytest.mark.parametrize("way", ["missing", "reset"])
@pytest.mark.parametrize("kind", KINDS)
def test_whichever_file_is_blocked_nothing_is_installed_and_later_only_the_rest_is_fetched(tmp_path, kind, way):
    """File k of n, for every k; the release is complete at the next try."""
    publisher = Publisher(tmp_path, kind)
    v1, v2 = publisher.publish(V1, 1), publisher.publish(FILES, 2)
    order = [blob(FILES[path]) for path in sorted(FILES)]

    def answer(tree, name):
        k = tree.removeprefix("block")
        if k != tree and name == order[int(k)]:
            return None if way == "missing" else reset
        return (v1 if tree == "v1" else v2).get(name)

    with Site(answer) as site:
        facts = on_board(publisher, site, BLOCK, len(FILES), heap="8M")
        for k, (said, ready, same, last, content) in enumerate(facts["told"]):
            kind_of_error = "NotFoundError: GET " if way == "missing" else "TransportError: "
            assert said.startswith(kind_of_error) and order[k] in said, said
            assert (ready, same, last, content) == (False, True, "no error", "x")
            assert [name for name in site.of(f"v2-{k}") if name.startswith("blobs/")] == order[k:]
