"""One target in a process of its own: `one.py TARGET FOLDER… OPTIONS…`, as libFuzzer takes them.

Without atheris the files of the folders are all that it gets, and a crash is written as atheris would.
"""

import hashlib
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from fuzz.mutate import mutate  # noqa: E402

try:
    import atheris
except ImportError:
    atheris = None


def without(work, arguments):
    prefix = [a.partition("=")[2] for a in arguments if a.startswith("-artifact_prefix=")][0]
    files = [path for a in arguments if a[0] != "-" for path in sorted(Path(a).iterdir())]
    for path in files:
        data = path.read_bytes()
        try:
            work(data)
        except Exception:
            traceback.print_exc()
            Path(prefix + "crash-" + hashlib.sha1(data).hexdigest()).write_bytes(data)
            sys.exit(77)
    print(f"number_of_executed_units: {len(files)}", file=sys.stderr)


def run(work, arguments):
    def test_one(data):
        work(data)

    def mutator(data, most, seed):
        made = mutate(data, seed) if seed % 2 else None
        return made if made and len(made) <= most else atheris.Mutate(data, most)

    atheris.Setup([sys.argv[0], *arguments], test_one, custom_mutator=mutator)
    atheris.Fuzz()


def main():
    name, *arguments = sys.argv[1:]
    if not atheris:
        from fuzz.targets import TARGETS

        return without(TARGETS[name], arguments)
    with atheris.instrument_imports(include=["ota", "ota_host", "fuzz.targets"]):
        from fuzz.targets import TARGETS, loaded

        loaded()
    run(TARGETS[name], arguments)


if __name__ == "__main__":
    main()
