# Everything a fresh machine needs is Python 3.10 or later, make and git.
PYTHON ?= python3
BOARD ?= unix
# Tests wait for servers and timeouts about half of the time, so twice as many run as there are processors.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(2 * min(os.cpu_count() or 1, 8))')
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The versions that CI has.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: setup constraints demo lint format test test-slow coverage powerloss fuzz bench bench-heap footprint starts docs clean

setup: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or later is needed; choose one with make PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "No venv: on Debian, apt-get install python3-venv."; exit 1; }
	@echo "Installing what the project needs into $(VENV) ..."
	@$(INSTALL) -e '.[test]'
	@touch $@

# Renews constraints.txt: the newest versions that work together, for every Python from 3.10 on.
constraints: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/python -m uv pip compile --quiet --universal --upgrade --python-version 3.10 --all-extras --no-annotate \
		--custom-compile-command 'make constraints' --output-file constraints.txt setup.cfg

# A board without hardware updates itself over the air. BOARD=unix or pico-w.
demo: $(READY)
	@$(BIN)/python -m ota_host.demo $(BOARD)

# Rules and formats of the code, and types: pyproject.toml says which hold where, and why.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

# What `make lint` can put right by itself.
format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# All but the long proof. It ends with the tests that were skipped, why, and what to install for them.
test: $(READY)
	$(BIN)/python -m pytest -q -rs -n $(JOBS) --dist worksteal -m "not slow"

# The slow tests.
test-slow: $(READY)
	$(BIN)/python -m pytest -q -rs -m slow

# What the fast tests run of ota_host, and of ota on CPython, by package; fails below the floor in pyproject.toml.
coverage: $(READY)
	@$(BIN)/python tests/covered.py

# The long proof: a power cut at every flash operation, and again in the recovery; ends with a line of JSON.
powerloss: $(READY)
	@$(BIN)/python -u tests/powerloss

# 200 cold starts of a test board, two busy processes a core beside them; ends with a line of JSON.
starts: $(READY)
	@$(BIN)/python -u tests/starts.py

# Any bytes for every reader, N for each; ends with a line of JSON.
N ?= 100000
fuzz: $(READY)
	@$(BIN)/python -u tests/fuzz $(N)

# Beside the alternatives: bytes, flash, heap and time, in one run of ten minutes.
bench: $(READY)
	@$(BIN)/python -u bench

# What the library takes on a board in each of its forms.
footprint: $(READY)
	@$(BIN)/python tests/footprint.py

# The smallest heap in which an update completes.
bench-heap: $(READY)
	$(BIN)/python bench/heap.py

# The documentation as a site in site/, with search; a dead link is an error.
docs: $(READY)
	@$(INSTALL) -e '.[docs]'
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -d .cache/docs docs site
	@echo "site/index.html"

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache build dist site *.egg-info
