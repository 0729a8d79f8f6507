"""What is updated: the workloads, the same for every updater, laid out for each as its own server wants it."""

import hashlib
import json
import random
from dataclasses import dataclass, field

from ota_host.config import Config
from ota_host.keys import Seal
from ota_host.release import build, publish
from ota_host.terms import Terms
from ota_host.tree import Tree

KB = 1024


@dataclass
class Workload:
    """Two releases, {path: bytes}; `blocks` of 4 KB is the flash that they need."""

    name: str
    says: str
    old: dict
    new: dict
    blocks: int = 640

    @property
    def changed(self):
        return {p: d for p, d in self.new.items() if self.old.get(p) != d}

    @property
    def changed_bytes(self):
        return sum(map(len, self.changed.values()))


def source(seed, size):
    """`size` bytes of Python that compiles and, as code does, repeats itself: zlib leaves about a third."""
    chance = random.Random(seed)
    sounds = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = ["".join(chance.choices(sounds, k=chance.randint(2, 4))) for _ in range(150)]

    def word():
        return chance.choice(words)

    lines, length = [], 0
    while length < size:
        lines.append(f"def {word()}_{word()}({word()}_, _{word()}={chance.randint(0, 999)}):")
        for _ in range(chance.randint(3, 9)):
            shape = chance.choice(("{} = {}.{}({})", "{}[{}] = {} + {}", "{}({}, {}, {})", "{} = {} or [{}, {}]"))
            lines.append("    " + shape.format(word(), word(), word(), chance.randint(0, 99999)))
        lines.append("    return " + word())
        length = sum(len(line) + 1 for line in lines)
    text = "\n".join(lines).encode()[: size - 1]
    text = text[: text.rfind(b"\ndef ") + 1]
    return text + b"#" * (size - len(text) - 1) + b"\n"


def asset(seed, size):
    """`size` bytes of a file that hardly compresses, in text, because one of the updaters takes nothing else."""
    import base64

    text = base64.b64encode(random.Random(seed).randbytes(size))[:size]
    return b"\n".join(text[i : i + 79] for i in range(0, size, 80))[: size - 1] + b"\n"


def one_line(data):
    """The same file with one line in its middle changed."""
    at = data.index(b"\n    return ", len(data) // 2) + 12
    end = data.index(b"\n", at)
    return data[:at] + b"changed_" + data[at:end] + data[end:]


def make(name):
    """The Workload `name`, `a` to `f` but for `e`, which is made of other people's releases."""
    if name in "abf":
        old = {f"part{i:02d}.py": source(i, 10 * KB) for i in range(20)}
        if name == "a":
            new = {p: source(p, 10 * KB) for p in old}
            return Workload("a", "20 files of 10 KB, all changed", old, new)
        new = dict(old)
        if name == "b":
            new["part07.py"] = one_line(old["part07.py"])
        says = {"b": "20 files of 10 KB, one line changed", "f": "20 files of 10 KB, nothing new"}
        return Workload(name, says[name], old, new)
    if name == "c":
        old, new = ({"assets.txt": asset(seed, KB * KB)} for seed in (1, 2))
        return Workload("c", "one file of 1 MB, all changed", old, new, 1024)
    old = {f"lib/mod{i // 25:02d}/file{i % 25:02d}.py": source(i, KB) for i in range(500)}
    new = dict(old)
    for i in (77, 230, 420):
        path = f"lib/mod{i // 25:02d}/file{i % 25:02d}.py"
        new[path] = one_line(old[path])
    return Workload("d", "500 files of 1 KB in 20 folders, 3 changed", old, new, 1024)


@dataclass
class Layout:
    """Where the servers' trees lie below nginx, and what each updater is told. Written once, changed never."""

    www: object
    signer: object
    etags: dict = field(default_factory=dict)

    def ours(self, place, files, version, seq=None):
        """Publish `files` with `ota publish`'s own code below `place`; gives the Manifest."""
        folder = self.www.parent / "projects" / place / version
        for path, data in files.items():
            target = folder / "src" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        config = Config(folder, "sample", destination=str((self.www / place).absolute()))
        tree = Tree(config.tree)
        seal = Seal((self.signer,)) if self.signer else None
        publish(build(config), tree, version, seal=seal, terms=Terms())
        return tree.release(version)

    def _write(self, place, files):
        for path, data in files.items():
            target = self.www / place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def micropython_ota(self, place, files, version):
        self._write(f"{place}/sample", {f"{version}_{p}": d for p, d in files.items()})
        self._write(f"{place}/sample", {"version": version.encode()})

    def senko(self, place, files):
        self._write(place, files)

    def mip(self, place, files):
        """The layout of an index of packages, with short hashes."""
        hashes = []
        for path, data in files.items():
            short = hashlib.sha256(data).hexdigest()[:8]
            hashes.append([path, short])
            self._write(place, {f"file/{short[:2]}/{short}": data})
        package = {"v": 1, "version": "2", "hashes": hashes, "urls": [], "deps": []}
        self._write(place, {"package/py/sample/latest.json": json.dumps(package).encode()})

    def limit(self, place, changed):
        """The list of what changed, each file, and all of them in one."""
        lines = [f"{hashlib.sha256(d).hexdigest()} {len(d)} {p}\n" for p, d in changed.items()]
        self._write(place, {**changed, "list": "".join(lines).encode(), "bundle": b"".join(changed.values())})
