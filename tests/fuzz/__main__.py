"""Feeds the readers of every format: `python tests/fuzz N`, with one line of JSON at the end.

Each target gets its corpus, then N inputs of a coverage-guided fuzzer, with a fixed seed.
What breaks a target is written to build/fuzz and named. `--seeds` writes the sound inputs anew.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent.parent.parent)]

from fuzz.run import CORPUS, fuzz, has_fuzzer  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402


def write_seeds():
    from fuzz.seeds import seeds

    inputs, signed = seeds()
    (CORPUS.parent / "signed.json").write_text(json.dumps(signed, indent=1) + "\n")
    for target, named in inputs.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, data in named.items():
            (CORPUS / target / ("seed-" + name)).write_bytes(data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=int, nargs="?", default=100000, help="inputs for each target")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only this one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder that inputs with new coverage stay in")
    parser.add_argument("--seeds", action="store_true", help="write the sound inputs of the corpus anew")
    options = parser.parse_args()
    if options.seeds:
        return write_seeds()
    if not has_fuzzer():
        print("atheris is not installed (it is for Linux only): the corpus alone is run", file=sys.stderr)
    inputs, crashes = 0, []
    targets = options.target or list(TARGETS)
    for target in targets:
        done = fuzz(target, options.runs, options.seed, options.keep and options.keep / target)
        inputs += done.inputs
        crashes += done.crashes
        print(f"{target}: {done.inputs} inputs, {len(done.crashes)} crashes", flush=True)
        for path in done.crashes:
            print(f"  {path}\n{done.said}", flush=True)
    print(json.dumps({"inputs": inputs, "targets": len(targets), "crashes": len(crashes)}))
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
