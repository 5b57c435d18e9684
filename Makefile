# Everything a newcomer types. Needs make and Python 3.11 or newer; the rest is installed into .venv on first use.

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON := $(BIN)/python
STAMP  := $(VENV)/.installed
ARGS   ?=
JOBS   ?= 2
# Each worker gets a run of neighbouring tests, so that a module's servers start once; idle workers steal.
SPREAD  = -n $(JOBS) --dist worksteal

# Which campaign, how much of it, from which seed: make campaign NAME=crash N=2000 SEED=7 (without N the short form)
NAME ?= crash
N    ?=
SEED ?= 7

# make test COVERAGE=85 measures coverage as well and fails below that percentage.
COVERAGE ?=
PYTEST   := $(if $(COVERAGE),$(BIN)/coverage run -m pytest,$(PYTHON) -m pytest)

# Where the environment forbids bytecode beside the sources it is kept here instead: hundreds of processes would each
# compile every module anew.
ifdef PYTHONDONTWRITEBYTECODE
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX ?= $(CURDIR)/.cache/bytecode
endif

.DEFAULT_GOAL := help
.PHONY: help run dev superuser dev-install dev-worker dev-beat test test-unit test-integration test-cov test-watch lint format bench docs \
        campaign campaigns teeth mutants security migrate makemigrations check-all clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(STAMP) ## run the whole system on this machine (ARGS="--port 0 --feed FILE --speed 60")
	@$(BIN)/oms run $(ARGS)

dev: run ## the same as make run

dev-install: $(STAMP) ## make .venv with everything in it; the other targets do so by themselves

test: $(STAMP) ## run every test, on real PostgreSQL, Redis and Chromium (COVERAGE=85 sets a gate)
	$(if $(COVERAGE),@$(BIN)/coverage erase)
	$(PYTEST) $(SPREAD) $(ARGS)
	$(if $(COVERAGE),@$(BIN)/coverage combine --quiet)
	$(if $(COVERAGE),@$(BIN)/coverage report --fail-under=$(COVERAGE))

test-unit: $(STAMP) ## run the tests that need nothing but Python
	$(PYTHON) -m pytest -m unit $(ARGS)

test-integration: $(STAMP) ## run the tests that use servers, a browser or processes
	$(PYTHON) -m pytest $(SPREAD) -m integration $(ARGS)

test-cov: ## run every test and report coverage, also as htmlcov/index.html
	@$(MAKE) test COVERAGE=85
	@$(BIN)/coverage html --quiet && echo "htmlcov/index.html"

test-watch: $(STAMP) ## run the unit tests again whenever a source file changes (ARGS="tests/domain")
	@$(PYTHON) -m tests.watch $(ARGS)

dev-worker: $(STAMP) ## run one more worker beside the system (ARGS="--queues webhooks")
	@$(BIN)/oms worker $(ARGS)

dev-beat: $(STAMP) ## run a process that does nothing but mind the schedules
	@$(BIN)/oms worker --only schedules $(ARGS)

lint: $(STAMP) ## check style, formatting, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## format the sources and repair what can be repaired
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(STAMP) ## measure speed beside a floor; writes benchmarks/results/latest.json
	$(PYTHON) -m benchmarks $(ARGS)

campaign: $(STAMP) ## run a seeded campaign of faults (NAME=crash N=2000 SEED=7)
	$(PYTHON) -m campaigns $(NAME) $(if $(N),--n $(N)) --seed $(SEED)

teeth: $(STAMP) ## prove that the campaigns catch defects planted into a production set (minutes)
	$(PYTHON) -m pytest --teeth tests/campaigns $(ARGS)

mutants: $(STAMP) ## plant N small changes, one at a time, and count which the tests notice (half an hour; N=500 SEED=7)
	$(PYTHON) -m mutants --n $(or $(N),500) --seed $(SEED) $(ARGS)

security: $(STAMP) ## attack the system in the long form: tenants, pool, OpenAPI, tokens, log (an hour; NAME=open_api: one of them)
	$(PYTHON) -m security $(if $(filter command line,$(origin NAME)),$(NAME)) --long --seed $(SEED)

campaigns: $(STAMP) ## run every campaign in its short form; one line of JSON for each
	$(PYTHON) -m campaigns --short --seed $(SEED)

docs: $(STAMP) ## build the documentation into site/
	$(BIN)/zensical build --clean

superuser: migrate ## make a person who runs the platform; asks for e-mail and password
	@$(BIN)/oms users create --superuser $(ARGS)

migrate: $(STAMP) ## bring the database to the newest schema
	$(BIN)/oms db upgrade $(ARGS)

makemigrations: $(STAMP) ## write a migration for what changed in the tables (ARGS="-m 'why'")
	$(BIN)/oms db revision $(ARGS)

check-all: ## what the build server runs: lint, types, import rules, tests, coverage, campaigns
	@.ci/run

clean: ## remove build products and caches; keeps .venv and var/
	rm -rf build dist site htmlcov coverage.json coverage.xml .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(STAMP): pyproject.toml uv.lock app/pyproject.toml $(wildcard plugins/*/pyproject.toml) .ci/venv
	@.ci/venv $(VENV)
	@touch $@
