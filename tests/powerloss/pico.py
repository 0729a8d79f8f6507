"""Power cuts at exact flash operations of an install and of a revert, on the unmodified Pico W firmware."""

import threading
from collections import Counter

from ota_host import deploy
from ota_host.boards import WIFI_BOOT, start
from ota_host.config import NAME, read
from ota_host.release import build, publish
from ota_host.server import listen, serve
from ota_host.tree import Tree

SHAPES = ("none", "1byte", "half", "all-but-1", "all")
BOOT = "import ota\nota.boot()\n"
TIMED = """
import gc, sys, time
sys.modules.pop("ota", None)  # boot.py has it
gc.collect()
before = gc.mem_alloc()
began = time.ticks_us()
import ota
ota.boot()
took = time.ticks_diff(time.ticks_us(), began)
gc.collect()
print(took, gc.mem_alloc() - before)
"""
STAGE = """
import ota
from ota import Updater, HttpTransport
print(Updater(HttpTransport("http://updates.example:%d/sample"), trial_boots=1).run(reset=False))
"""


def files(version):
    """The application of a release."""
    main = f"import part\nprint('main', part.VERSION, {version!r})\n"
    return {
        "boot.py": BOOT + f"# {version}\n" * 40,
        "main.py": main + "# padding\n" * 60,
        "part.py": f"VERSION = {version!r}\n" * 80,
        f"lib/of_{version[:2]}.py": "x = 1\n" * 100,
        "same.py": "y = 2\n",
    }


def publish_both(folder, files=files):
    """The two releases below `folder`, of what `files` gives for a version; gives the tree of the project."""
    project = folder / "project"
    (project / "src").mkdir(parents=True)
    (project / NAME).write_text('project = "sample"\nsource = "src"\ndestination = "../www"\ncompile = false\n')
    (folder / "www").mkdir()
    for version in ("v1.0.0", "v2.0.0"):
        for path in sorted((project / "src").rglob("*.py")):
            path.unlink()
        for path, text in files(version).items():
            (project / "src" / path).parent.mkdir(exist_ok=True)
            (project / "src" / path).write_text(text)
        settings = read(project / NAME)
        tree = Tree(settings.tree)
        publish(build(settings), tree, version)
    return tree


def stage(folder, flash, tree):
    """A board that has v1.0.0 and, staged over Wi-Fi, v2.0.0; gives what an idle boot costs (µs, bytes)."""
    sock = listen("127.0.0.1", 0)
    threading.Thread(target=serve, args=(folder / "www", sock, lambda entry: None), daemon=True).start()
    with start("pico-w", flash) as board:
        deploy.put_all(board.port, tree, tree.release("v1.0.0"), reset=False)
        idle = board.exec(TIMED, timeout=120).split()
        said = board.exec(WIFI_BOOT + STAGE % sock.getsockname()[1], timeout=400)
        assert said.split()[-1] == "True", said
    return tuple(map(int, idle))


def wants(tree):
    """{version: {path: bytes}} of the two releases."""
    return {v: deploy.contents(tree, tree.release(v)) for v in ("v1.0.0", "v2.0.0")}


def found(board, want):
    """Which release a board holds, and whether its application was of it."""
    line = board.wait_for("main v", 120)
    line += board.wait_for("\n", 30)
    ran = line[line.rindex("main v") :].split()[1:3]
    tree = {p: d for p, d in board.tree().items() if not p.startswith((".ota/", "lib/ota/", "lib/micropython_ota"))}
    live = {p: d for p, d in tree.items() if not p.endswith((".ota-new", ".ota-old"))}
    for name, version in (("old", "v1.0.0"), ("new", "v2.0.0")):
        if live == want[version] and ran == [version, version]:
            return name
    return f"mix: ran {ran}, has {sorted(live)}"


def cuts(flash, image, want, ends, least):
    """Cut at `least` operations spread over what the board does from `image` on; gives (operation, shape, what)."""
    looks = []
    with start("pico-w", flash) as board:
        board.power_off()
        flash.write_bytes(image)
        board.power_on()
        assert found(board, want) == ends
        total = board.ops()
        for i in range(least):
            number, shape = 1 + i * (total - 1) // max(1, least - 1), SHAPES[i % len(SHAPES)]
            board.power_off()
            flash.write_bytes(image)
            board.power_on(number, shape)
            looks.append((number, shape, found(board, want)))
    return total, looks


def pico_cuts(folder, least=20):
    """Cuts during the install and, of a release that never confirms, during its revert.

    Returns:
        dict: `cuts`, `bad`, `found` {what: how often}, `ops` of the install and of the revert,
        `idle_boot_us` and `idle_boot_bytes` of `import ota; ota.boot()` from .mpy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tree = publish_both(folder)
    want = wants(tree)
    flash = folder / "flash.img"
    took, kept = stage(folder, flash, tree)
    ready = flash.read_bytes()
    install, first = cuts(flash, ready, want, "new", least - least // 2)
    # The one trial boot is used up by the boot that installed it; the next one goes back.
    with start("pico-w", flash) as board:
        board.power_off()
        flash.write_bytes(ready)
        board.power_on()
        found(board, want)
    revert, second = cuts(flash, flash.read_bytes(), want, "old", least // 2)
    looks = [("install", *x) for x in first] + [("revert", *x) for x in second]
    bad = [look for look in looks if look[3] not in ("old", "new")]
    for look in bad:
        print("pico-w: BAD", look)
    counted = Counter(look[3] for look in looks)
    ops = {"install": install, "revert": revert}
    costs = {"idle_boot_us": took, "idle_boot_bytes": kept}
    return {"cuts": len(looks), "bad": len(bad), "found": dict(counted), "ops": ops, **costs}


