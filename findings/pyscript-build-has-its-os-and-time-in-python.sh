#!/usr/bin/env bash
# Of MicroPython's WebAssembly build for PyScript, `os`, `io`, `time` and `binascii` are Python, frozen in.
#
# Version: @micropython/micropython-webassembly-pyscript 1.25.0 (npm), with Node.js 18 or later.
# Expected: as on the ports for boards, `import os` gives a module in C, which has no `__file__`.
# Seen: `os`, `io`, `time` and `binascii` have a `__file__`, `os` a `__path__` (".frozen/os") as well, though nothing lies
# in the file system; `json`, `hashlib`, `random` and `struct` have neither.
# So a program that tells a built-in module from a file in the application's folder by the lack of `__file__` takes this
# build's own modules for the application's; `__path__` or the path ".frozen" does not settle it for `time` either.
# Output (last line): frozen: binascii io os time; in C: hashlib json random struct
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund @micropython/micropython-webassembly-pyscript@1.25.0 >/dev/null
cat > look.mjs <<'JS'
import { loadMicroPython } from "@micropython/micropython-webassembly-pyscript/micropython.mjs";
const mp = await loadMicroPython({ stdout: (line) => console.log(line) });
mp.runPython(`
import os, sys
print(sys.version, os.listdir("/"), sys.path)
frozen, in_c = [], []
for name in ("binascii", "hashlib", "io", "json", "os", "random", "struct", "time"):
    module = __import__(name)
    (frozen if hasattr(module, "__file__") else in_c).append(name)
print("frozen:", " ".join(frozen) + "; in C:", " ".join(in_c))
`);
JS
said=$(node look.mjs)
echo "$said"
[ "$(tail -1 <<<"$said")" = "frozen: binascii io os time; in C: hashlib json random struct" ]
