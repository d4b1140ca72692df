# Every target sets up what it needs: a machine with Python 3.11+ and pip is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.locked

.PHONY: setup demo test suite lint clients acceptance cases bench lock clean

setup: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: setup
	$(BIN)/connector demo --once

# Both at once: the tests wait now and then, and the linters need one processor only.
test: setup clients
	@$(MAKE) --no-print-directory -j 2 lint suite

suite: setup clients
	$(BIN)/pytest -n 4 --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config .importlinter
	$(BIN)/deptry .

# Salesforce clients in JavaScript, for tests/clients; where there is no npm, those tests say so.
CLIENTS := tests/clients/node_modules/.package-lock.json

clients: $(if $(shell command -v npm 2>/dev/null),$(CLIENTS))

$(CLIENTS): tests/clients/package-lock.json
	npm ci --prefix tests/clients --no-audit --no-fund --ignore-scripts --loglevel error
	touch $@

# The claims of README.md on a Northwind export: `make acceptance DATA=folder`, or one made up here.
acceptance: setup
	$(BIN)/python -m tests.acceptance $(DATA)

# Inputs and bad days that used to break it, each with what is right; CASES="word word" runs those that are named so.
cases: setup
	$(BIN)/python -m tests.cases $(CASES)

bench: setup
	$(BIN)/python -m tests.bench

# Newest versions that fit pyproject.toml; needs `uv` on the PATH.
lock:
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade --extra dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/clients/node_modules
