# The list of commands. They need Python >= 3.11 (with venv) and make; everything else is installed into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
INPUTS := pyproject.toml constraints.txt

# The newest of these that is Python >= 3.11 and can make environments; `make PYTHON=...` chooses another.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& echo $$python && break; done)

# Quiet, and without a look for newer versions of pip.
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check --constraint "$(CURDIR)/constraints.txt"

TYPED := bus workers tests bench examples

# litellm fetches a price list from the net when it is imported, unless told not to.
export LITELLM_LOCAL_MODEL_COST_MAP := True

.PHONY: help
help: ## Print this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' \
		| while IFS="$$(printf '\t')" read -r name text; do printf '%-14s%s\n' "$$name" "$$text"; done

.PHONY: demo
demo: $(VENV)/.installed-demo ## A fleet, its controllers and a provider with a limit, live in the terminal
	$(BIN)/tidings demo

# Side by side, each process with servers of its own. The processes must collect the same cases: some are listed from sets.
.PHONY: test
test: $(VENV)/.installed-all ## The whole suite with coverage
	PYTHONHASHSEED=0 $(BIN)/python -m pytest --cov --cov-report=term --numprocesses auto --maxprocesses 4 --dist worksteal

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

# The checkout cannot be imported there: another folder, another environment, no PYTHONPATH.
.PHONY: smoke
smoke: $(VENV)/.installed-all ## Build the wheel and run its demo from a fresh environment elsewhere
	@set -eu; \
	folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; trap 'exit 1' HUP INT TERM; \
	unset PYTHONPATH; \
	$(BIN)/python -m build --wheel --no-isolation --outdir "$$folder" . >/dev/null; \
	echo "Installing $$(basename "$$folder"/tidings-*.whl) into a fresh environment"; \
	$(BIN)/python -m venv "$$folder/venv"; \
	"$$folder/venv/bin/python" $(PIP_INSTALL) "$$(echo "$$folder"/tidings-*.whl)[worker,embedded]"; \
	cd "$$folder"; venv/bin/tidings --version; venv/bin/tidings demo --once

.PHONY: bench-import
bench-import: $(VENV)/.installed-all ## What `import bus` and `tidings --help` cost in CPU time
	$(BIN)/python bench/imports.py

.PHONY: bench
bench: $(VENV)/.installed-all ## How quick the bus is, beside redis-py alone (two minutes, on a quiet machine)
	$(BIN)/python -m bench.speed

.PHONY: docs
docs: $(VENV)/.installed-all ## Write again what the docs take from the code: states, wire, settings, rights
	for page in states wire settings operations; do $(BIN)/python docs/make_$$page.py || exit 1; done

.PHONY: clean
clean: ## Remove the environment, builds, caches and reports
	rm -rf $(VENV) dist .coverage .coverage.* coverage.xml htmlcov
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

# Two stages, so that a first demo does not wait for the tools; who has all has the demo too.
$(VENV)/.installed-demo: EXTRAS := worker,embedded
$(VENV)/.installed-all: EXTRAS := all

$(VENV)/.installed-demo: $(INPUTS)
	$(install)
	@touch $@

$(VENV)/.installed-all: $(INPUTS)
	$(install)
	@touch $(VENV)/.installed-demo $@

define install
@test -n '$(PYTHON)' || { echo 'Tidings needs Python >= 3.11 with venv (Debian: apt install python3-venv).' \
	'If it is somewhere else, say where: make PYTHON=/path/to/python3' >&2; exit 1; }
@echo 'Installing into $(VENV) with $(PYTHON) (about a minute, once)'
@$(PYTHON) -m venv $(VENV)
@$(BIN)/python $(PIP_INSTALL) --editable '.[$(EXTRAS)]'
endef
