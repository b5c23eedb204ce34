# Everything sets itself up: a virtual environment with locked dependencies in .venv, made anew when the lock changes.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# More than there are cores, since tests wait for containers more than they compute.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * os.cpu_count())')

INSTALL := pip install --quiet --disable-pip-version-check --no-deps --require-hashes

.PHONY: demo test fast check engine bench acceptance mutants build-banks lock clean

# uv installs in seconds what pip installs in minutes, and compiles it on all cores. It reads no configuration of pip:
# where packages come from a place that pip alone knows of, pip installs.
$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	awk '/^uv==/ {found = 1} found {print} found && !/\\$$/ {exit}' requirements.lock >$(VENV)/uv.txt
	{ $(BIN)/$(INSTALL) -r $(VENV)/uv.txt && \
		$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --no-deps --require-hashes -r requirements.lock; } || \
		$(BIN)/$(INSTALL) -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

## The main job on what ships here: no key, no spend; a few live cases are rehearsed where a Docker engine runs.
demo: $(VENV)/ready
	@$(BIN)/twinbench demo --rehearse

## Style, types and layers.
check: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

## A Docker engine, if one can be had: the one that runs, or Debian's as root.
engine:
	@.ci/engine

## The whole suite, with the tests that need Docker; types are checked beside it.
test: $(VENV)/ready engine
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@types=$$(mktemp); ($(BIN)/mypy && $(BIN)/lint-imports --no-logo) >$$types 2>&1 & types_pid=$$!; \
	$(BIN)/pytest -n $(WORKERS) --dist worksteal; tests=$$?; wait $$types_pid; checks=$$?; \
	echo; echo 'mypy and lint-imports:'; cat $$types; rm -f $$types; exit $$((tests | checks))
	@echo
	@echo 'Ran: style, types, layers and all tests; the lines above say whether those that need Docker ran.'
	@echo 'Try next: make demo, or make acceptance for what is too long for a suite, or make bench for the speeds.'

## The tests that are done in a minute, for every little change.
fast: $(VENV)/ready
	$(BIN)/pytest -n 2 --dist worksteal -m 'not acceptance and not docker and not slow'

## What is too long for a suite, all of it or PART=…, each at most 40 minutes; evidence goes to docs/evidence/.
acceptance: $(VENV)/ready engine
	@$(BIN)/python -m benchmarks.acceptance --workers $(WORKERS) $(PART)

## Speed, as ratios against a named alternative in the same run; the table goes to docs/evidence/.
bench: $(VENV)/ready engine
	$(BIN)/python -m benchmarks

## Mutants of the modules that hold rules, one at each position in the code: hours, and the same command continues.
mutants: $(VENV)/ready engine
	$(BIN)/python -m benchmarks.mutants

## The embedded bank `rehearsal` from nothing, by executing its tasks in containers: half an hour on two idle cores, resumable, no spend.
## Then: python -m benchmarks.embedding results/banks/rehearsal. The bank small-models: docs/single-turn.md.
build-banks: $(VENV)/ready engine
	$(BIN)/twinbench bank build benchmarks/banks/rehearsal.toml --out results/banks/rehearsal --workers $(WORKERS)

## Pin the newest dependencies that pyproject.toml allows.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command 'make lock' --group dev --extra dynamic --extra inspect --extra report --extra croissant --extra ray pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
