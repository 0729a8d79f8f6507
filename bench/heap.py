"""Where the heap of an update goes, and the smallest that is enough: `make bench-heap`.

littlefs on a flash image, signed releases from nginx on 127.0.0.1, the library as .mpy.
All figures are of the 64-bit unix port, where most things take twice what they take on a board.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT / "tests")
sys.path.insert(0, str(ROOT))

from bench import boards  # noqa: E402
from bench.subjects import Bench  # noqa: E402
from bench.web import Web  # noqa: E402
from bench.workloads import Layout, make  # noqa: E402
from ota_host.keys import generate  # noqa: E402

# In the order in which a signed update over HTTP imports them; those that it may unload come last.
ORDER = (
    "ota ota.errors ota.bootguard ota.storage ota.storage.littlefs ota.updater ota.transports ota.transports.wire "
    "ota.transports.http ota.verifiers ota.verifiers.signature ota.channel ota.verifiers.rs256"
).split()


def modules():
    """All modules of the library, as imported; what ORDER does not name comes after it."""
    paths = sorted((ROOT / "ota").rglob("*.py"))
    names = [p.relative_to(ROOT).with_suffix("").as_posix().replace("/__init__", "").replace("/", ".") for p in paths]
    known = [name for name in ORDER if name in names]
    used = ("manifest", "policy", "plan", "staging", "fetch", "patch", "version", "retry", "trial")
    return known + [name for name in names if name not in known and name.split(".")[-1] in used]


def main():
    with tempfile.TemporaryDirectory() as name:
        temp = Path(name)
        sizes = boards.compile_all(temp / "mpy")
        said = boards.told("import profile; profile.main()", temp / "mpy", NAMES="\n".join(modules()))
        print("| module, in the order of an update | .mpy, B | keeps of the heap, B |\n|---|---|---|")
        total = 0
        for line in said:
            if line.startswith("HEAP"):
                _, kept, what = line.split()
                path = what.replace(".", "/")
                size = sizes.get(path + ".mpy", sizes.get(path + "/__init__.mpy", ""))
                total += int(kept)
                print(f"| {what} | {size} | {kept} |")
        print(f"| together | {sum(n for p, n in sizes.items() if p.startswith('ota/'))} (all of ota/) | {total} |\n")
        with Web(temp / "web") as web:
            layout = Layout(web.www, generate(temp / "key"))
            for workload in "ac":
                bench = Bench(make(workload), web, layout, temp / "mpy", temp, ("ours",), (32,))
                peak = bench.update("ours", heap="256k", WATCH=1).peak
                print(f"({workload}) {bench.load.says}: {bench.heap('ours', 512)} KB; in use at most {peak} B", flush=True)


if __name__ == "__main__":
    main()
