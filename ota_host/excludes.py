"""What stays out of a release by itself, and what `ota init` suggests to leave out; patterns as in a .gitignore."""

# Left out of every release, unless `exclude` takes it back with a `!`. Hidden names cover .git, .venv, .ota, .DS_Store,
# and most caches and swap files.
# fmt: off
ALWAYS = [
    # what Python and its tools write
    ".*", "__pycache__/", "*.py[co]", "*.pyi", "py.typed", "*.egg-info/", "venv/", "node_modules/", "ota.toml",
    # editors' backup and swap files
    "*~", "~$*", r"\#*#", "*.sw[nop]", "*.bak", "*.orig", "*.rej", "*.tmp", "*.py.old", "*.py.save", "*___jb_???___",
    # litter of operating systems
    "[Tt]humbs.db", "ehthumbs*.db", "[Dd]esktop.ini", "$RECYCLE.BIN/", "System?Volume?Information/", "__MACOSX/", "Icon\r",
]
# fmt: on
# A folder with this file is a virtual environment of Python, whatever its name.
ENVIRONMENT = "pyvenv.cfg"

# What lies beside the sources where they lie in the project's own folder: (what it is, patterns).
BESIDE = (
    ("tests and documents", ["test/", "tests/", "test_*.py", "conftest.py", "doc/", "docs/", "*.md", "*.rst", "*.adoc", "*.pdf"]),
    (
        "about the project",
        ["LICEN[CS]E*", "COPYING*", "README*", "CHANGELOG*", "CONTRIBUTING*", "AUTHORS*", "NOTICE*", "/screenshots/"],
    ),
    ("packaging", ["/setup.py", "/setup.cfg", "pyproject.toml", "/package*.json", "yarn.lock", "requirements*.txt", "Pipfile*"]),
    ("build tools", ["Makefile", "*.mk", "CMakeLists.txt", "Dockerfile", "tox.ini", "*.sh", "*.bat", "*.ps1", "*.lock"]),
    ("C sources and objects", ["*.c", "*.h", "*.cc", "*.cpp", "*.hpp", "*.ino", "*.ld", "*.o", "*.a", "*.so"]),
    ("firmware images", ["*.uf2", "*.elf", "*.dfu", "firmware*.bin", "micropython*.bin", "*-v[0-9]*.bin"]),
    ("drawings and archives", ["*.kicad_*", "*.sch", "*.brd", "*.stl", "*.step", "*.psd", "*.xcf", "*.zip", "*.7z"]),
)
