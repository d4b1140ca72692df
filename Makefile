# Every target sets up what it needs: a machine with Python 3.11+ and pip is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.locked
DEMO_STAMP := $(VENV)/.demo-locked

.PHONY: setup demo test test-unit suite lint clients acceptance cases bench lock clean

setup: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	$(call install,$<)
	@touch $(STAMP) $(DEMO_STAMP)

# What a demo needs and no more: neither test tools, nor a browser's driver, nor a database server.
$(DEMO_STAMP): requirements-demo.lock pyproject.toml
	$(call install,$<)
	@touch $(DEMO_STAMP)

define install
@echo "Creating $(VENV) with $$($(PYTHON) --version) ..."
@$(PYTHON) -m venv $(VENV)
@echo "Installing $$(grep -c '^[a-zA-Z0-9]' $(1)) packages of $(1) into $(VENV) ..."
@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endef

demo: $(DEMO_STAMP)
	@echo "Running $(BIN)/connector demo --once ..."
	@$(BIN)/connector demo --once
	@echo "More: $(BIN)/connector --help"

# Both at once: the tests wait now and then, and the linters need one processor only.
test: setup clients
	@$(MAKE) --no-print-directory -j 2 lint suite

# Without databases, servers and browsers: what to run after each small change.
test-unit: setup
	$(BIN)/pytest -n 2 --dist worksteal -m "not database" tests/unit

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
COMPILE := uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade pyproject.toml

lock:
	$(COMPILE) --extra dev --extra localorg --group build -o requirements-dev.lock
	$(COMPILE) --extra localorg --group build -c requirements-dev.lock -o requirements-demo.lock
	$(COMPILE) -c requirements-dev.lock -o requirements.lock

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/clients/node_modules
