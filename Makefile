# The list of commands. They need Python >= 3.11 (with venv) and make; everything else is installed into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
# Beside it, with the newest of everything, litellm above all. `rm -r .venv-newest` before a newer one is tried.
NEWEST := .venv-newest
INPUTS := pyproject.toml constraints.txt

# The newest of these that is Python >= 3.11 and can make environments; `make PYTHON=...` chooses another.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& echo $$python && break; done)

# Quiet, and without a look for newer versions of pip.
PIP_INSTALL_NEWEST := install --quiet --disable-pip-version-check
PIP_INSTALL = $(PIP_INSTALL_NEWEST) --constraint "$(CURDIR)/constraints.txt"

# Where `make bench` writes its figures, beside the tables that it prints.
JSON ?= bench/speed.json

TYPED := tidings tests bench examples

# litellm fetches a price list from the net when it is imported, unless told not to.
export LITELLM_LOCAL_MODEL_COST_MAP := True
# What is compiled once is not compiled by each process again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Print this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' \
		| while IFS="$$(printf '\t')" read -r name text; do printf '%-21s%s\n' "$$name" "$$text"; done

.PHONY: demo
demo: $(VENV)/.installed-demo ## A fleet, its controllers and a provider with a limit, live in the terminal
	$(BIN)/tidings demo

# Side by side, each process with servers of its own.
.PHONY: test
test: $(VENV)/.installed-all ## Every behaviour once, with coverage (four minutes on two cores)
	$(BIN)/python -m pytest --cov --cov-report=term --numprocesses auto --maxprocesses 6 --dist worksteal

.PHONY: test-all
test-all: $(VENV)/.installed-all ## Every test: each transport, large inputs, many examples, looks of the page
	$(BIN)/python -m pytest --full --numprocesses auto --maxprocesses 6 --dist worksteal

.PHONY: test-litellm-newest
test-litellm-newest: $(NEWEST)/.installed ## What calls models and reads their errors, on the newest litellm
	@$(NEWEST)/bin/python -c 'from importlib.metadata import version; \
		print(*(f"{name} {version(name)}" for name in ("litellm", "openai")), sep=", ")'
	$(NEWEST)/bin/python -m pytest tests/workers/llm tests/workers/retry tests/workers/provider \
		tests/behaviour/test_retries.py tests/behaviour/test_no_answer.py

.PHONY: check
check: $(VENV)/.installed-all ## Format, lint, types, spelling: everything that needs no run
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(wildcard $(TYPED))
	$(BIN)/codespell

.PHONY: format
format: $(VENV)/.installed-all ## Format the code and repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The checkout cannot be imported there: another folder, another environment, no PYTHONPATH. The environment gets no pip of its
# own, and only what the demo imports is compiled: half the time.
.PHONY: smoke
smoke: $(VENV)/.installed-all ## Build the wheel and run its demo from a fresh environment elsewhere
	@set -eu; \
	folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; trap 'exit 1' HUP INT TERM; \
	unset PYTHONPATH; \
	$(BIN)/python -m build --wheel --no-isolation --outdir "$$folder" . >/dev/null; \
	echo "Installing $$(basename "$$folder"/tidings-*.whl) into a fresh environment"; \
	$(BIN)/python -m venv --without-pip "$$folder/venv"; \
	$(BIN)/python -m pip --python "$$folder/venv/bin/python" $(PIP_INSTALL) --no-compile \
		"$$(echo "$$folder"/tidings-*.whl)[worker,embedded]"; \
	cd "$$folder"; venv/bin/tidings --version; venv/bin/tidings demo --once

.PHONY: bench-import
bench-import: $(VENV)/.installed-all ## What `import tidings.bus` and `tidings --help` cost in CPU time
	$(BIN)/python bench/imports.py

.PHONY: bench
bench: $(VENV)/.installed-all ## How quick the bus is, beside redis-py alone (two minutes, on a quiet machine)
	$(BIN)/python -m bench.speed --json-file $(JSON)

# SECONDS of faults, SEED, MODE (always, everysec, rdb, none), FAMILY (network, server, process, all), RUNS of each, JOBS at a time,
# SERVER=valkey; MODE and FAMILY may be several, with commas.
.PHONY: chaos
chaos: $(VENV)/.installed-all ## Runs with faults on a real server, checked; SECONDS=8 SEED=1 MODE=everysec RUNS=10 ...
	$(BIN)/python -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(MODE),--mode $(MODE)) \
		$(if $(FAMILY),--family $(FAMILY)) $(if $(RUNS),--runs $(RUNS)) $(if $(JOBS),--jobs $(JOBS)) \
		$(if $(filter valkey,$(SERVER)),--valkey)

.PHONY: soak
soak: $(VENV)/.installed-all ## Whether a worker and a controller grow over 2,000 sessions (two minutes)
	$(BIN)/python -m bench.soak

.PHONY: bench-provider
bench-provider: $(VENV)/.installed-all ## How long a provider's error holds a worker's event loop, from 1 kB to 10 MB
	$(BIN)/python -m bench.provider_bodies

.PHONY: bench-gateway
bench-gateway: $(VENV)/.installed-all ## How quickly the gateway tells 1,000 viewers, beside a bare stream (three minutes)
	$(BIN)/python -m bench.viewers

.PHONY: docs
docs: $(VENV)/.installed-all ## Write again what the docs take from the code, and build the API reference in dist/api
	for page in states wire settings operations providers api; do $(BIN)/python docs/make_$$page.py || exit 1; done
	@echo 'API reference: dist/api/index.html'

.PHONY: screenshots
screenshots: $(VENV)/.installed-all ## Take the pictures of the page and the terminal again (needs a Chromium)
	PYTHONPATH="$(CURDIR)" $(BIN)/python docs/make_screenshots.py

.PHONY: clean
clean: ## Remove the environment, builds, caches and reports
	rm -rf $(VENV) $(NEWEST) dist bench/speed.json .coverage .coverage.* coverage.xml htmlcov
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

# Two stages, so that a first demo does not wait for the tools; who has all has the demo too.
$(VENV)/.installed-demo: EXTRAS := worker,embedded,gateway
$(VENV)/.installed-all: EXTRAS := all

$(VENV)/.installed-demo: $(INPUTS)
	$(install)
	@touch $@

$(VENV)/.installed-all: $(INPUTS)
	$(install)
	@touch $(VENV)/.installed-demo $@

# Without the constraints: what a user's plain install takes. Where something that the newest litellm asks for is not to be had, that
# is an older one: the test says which it ran on.
$(NEWEST)/.installed: BIN := $(NEWEST)/bin
$(NEWEST)/.installed: VENV := $(NEWEST)
$(NEWEST)/.installed: EXTRAS := worker,embedded,test
$(NEWEST)/.installed: PIP_INSTALL := $(PIP_INSTALL_NEWEST)
$(NEWEST)/.installed: $(INPUTS)
	$(install)
	@echo '*' > $(NEWEST)/.gitignore
	@touch $@

define install
@test -n '$(PYTHON)' || { echo 'Tidings needs Python >= 3.11 with venv (Debian: apt install python3-venv).' \
	'If it is somewhere else, say where: make PYTHON=/path/to/python3' >&2; exit 1; }
@echo 'Installing into $(VENV) with $(PYTHON) (about a minute, once)'
@$(PYTHON) -m venv $(VENV)
@$(BIN)/python -m pip $(PIP_INSTALL) --editable '.[$(EXTRAS)]'
endef
