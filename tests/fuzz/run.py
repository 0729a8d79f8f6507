"""Runs one target over its corpus and over what a coverage-guided fuzzer makes of it."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
OUT = HERE.parent.parent / "build" / "fuzz"
SIZE = 4000  # bytes of an input
SECONDS = 60  # for one input, before it counts as a hang: thousands of times what one takes
_COUNT = re.compile(r"number_of_executed_units: (\d+)")


@dataclass
class Done:
    """`inputs` tried, the files (list of Path) of `crashes`, and what the last of them `said`."""

    inputs: int = 0
    crashes: list = field(default_factory=list)
    said: str = ""


def has_fuzzer():
    """Whether atheris is installed."""
    return bool(importlib.util.find_spec("atheris"))


def corpus(target):
    """The inputs of `target` in the repository, {name: bytes}."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / target).iterdir())}


def fuzz(target, runs, seed=1, keep=None, out=OUT):
    """Run `target` over its corpus, then over `runs` inputs of atheris, if it is installed.

    Args:
        seed (int): the same one gives the same inputs.
        keep (Path): a folder that gets the inputs with new coverage.
        out (Path): where an input that breaks the target is written to.

    Returns:
        Done.
    """
    # Where there is such a folder, it is of RAM.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        made = keep or Path(name) / "made"
        made.mkdir(parents=True, exist_ok=True)
        found = out / target
        found.mkdir(parents=True, exist_ok=True)
        for old in found.iterdir():
            old.unlink()
        command = [sys.executable, str(HERE / "one.py"), target, str(made), str(CORPUS / target)]
        options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={SIZE}", f"-timeout={SECONDS}", f"-artifact_prefix={found}/"]
        options += ["-print_final_stats=1", "-rss_limit_mb=1024", "-len_control=20"]
        done = subprocess.run(
            command + options, cwd=name, capture_output=True, text=True, errors="replace", env=dict(os.environ, PYTHONHASHSEED="0")
        )
        crashes = sorted(found.iterdir())
        # The traceback comes on standard output, what libFuzzer has to say on the other.
        said = "\n".join(done.stdout.splitlines()[-30:] + done.stderr.splitlines()[-3:])
        if done.returncode and not crashes:
            raise RuntimeError(f"{target}: exit code {done.returncode}\n{said}")
        count = _COUNT.search(done.stderr)
        return Done(int(count[1]) if count else 0, crashes, said)
