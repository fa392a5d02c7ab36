# Everything runs in the environment that `make install` builds under .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run dev start test test-unit test-integration chaos bench coverage check fix docs lock migrate migration jobs image clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

install: $(STAMP) ## Build the environment (only Python 3.11+ is needed)

# uv installs the locked set in some seconds; where it is not to be had, pip does the same slowly.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("deskhand needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@if $(BIN)/pip install -q uv >/dev/null 2>&1; then \
	  $(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock && \
	  $(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .; \
	else \
	  $(BIN)/pip install -q --require-hashes -r requirements.lock && \
	  $(BIN)/pip install -q --no-deps -e .; \
	fi
	@touch $@

run: install ## Run everything here: private services, demo tenants, worker, tour
	@exec $(BIN)/deskhand run --demo

dev: install ## The same without the tour, restarted on every change
	@exec $(BIN)/watchfiles --filter python --sigint-timeout 30 '$(BIN)/deskhand run' worker jobs clients

start: install ## Run the worker as in production: on DATABASE_URL and REDIS_URL
	@exec $(BIN)/arq worker.main.WorkerSettings

test: install ## The whole suite, on services of its own
	$(BIN)/python -m pytest -n auto

test-unit: install ## Only what needs no server
	$(BIN)/python -m pytest -n auto -m 'not integration'

test-integration: install ## Only what meets a real PostgreSQL or Redis
	$(BIN)/python -m pytest -n auto -m integration

coverage: install ## The whole suite, with a coverage report
	$(BIN)/python -m pytest -n auto --cov --cov-report=term --cov-report=html

bench: install ## Measure against stock ARQ and other runners (15 minutes; BENCH="--quick" 3)
	$(BIN)/python -m tests.benchmarks $(BENCH)

# About ten minutes; the same plan of faults again: make chaos SEED=7
chaos: install ## 50 000 runs amid crashes of everything: none lost, none done twice
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED))

check: install ## Format, lint, types, imports, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

fix: install ## Mend what a machine can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install ## Write the job table of the README and .env.example anew
	$(BIN)/python -m worker.docs

lock: install ## Pin every dependency anew
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --no-header --upgrade -o requirements.lock pyproject.toml

migrate: install ## Apply pending migrations to DATABASE_URL
	$(BIN)/deskhand migrate

migration: ## Start a migration: make migration NAME=add_invoices
	@test -n "$(NAME)" || { echo 'make migration NAME=verb_noun'; exit 2; }
	@last=$$(ls worker/migrations/*.sql | sed -E 's|.*/0*([0-9]+)_.*|\1|' | sort -n | tail -n 1); \
	file=$$(printf 'worker/migrations/%04d_%s.sql' $$((last + 1)) '$(NAME)'); \
	echo "-- Why." > "$$file"; echo "$$file"

jobs: install ## The table of jobs
	@$(BIN)/deskhand jobs

image: ## Build the container image
	docker build -t deskhand .

clean: ## Remove the environment and all caches; data under var/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
