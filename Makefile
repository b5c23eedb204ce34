# Everything sets itself up: a virtual environment with locked dependencies in .venv, made anew when the lock changes.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
WORKERS ?= auto

.PHONY: demo test check bench acceptance lock clean

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

## The main job on the embedded bank: offline, no key, no spend.
demo: $(VENV)/ready
	@$(BIN)/twinbench demo

## Style, types and layers.
check: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

## The whole suite.
test: check
	$(BIN)/pytest -n $(WORKERS)
	@echo
	@echo 'Ran: style, types, layers and all tests. No test needs Docker so far: the live track is not built yet.'
	@echo 'Try next: make demo, or make acceptance for what is too long for a suite, or make bench for the speeds.'

## What is too long for a suite; evidence goes to docs/evidence/.
acceptance: $(VENV)/ready
	$(BIN)/python -m benchmarks.evidence acceptance -- $(BIN)/pytest -n $(WORKERS) -rpP -m acceptance

## Speed, as ratios against a named alternative in the same run; the table goes to docs/evidence/.
bench: $(VENV)/ready
	$(BIN)/python -m benchmarks

## Pin the newest dependencies that pyproject.toml allows.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command 'make lock' --group dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
