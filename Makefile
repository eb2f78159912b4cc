SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := $(wildcard hybrid mediators processors cli)
COVERAGE := --cov --cov-report=term

# Knobs: `make test N=4`, `make test COV=1`, `make lock UPGRADE=1`.
N ?= 2
COV ?= 0
UPGRADE ?= 0

.PHONY: help demo test check check-all prove prove-short bench docs lock clean

help: ## Show what there is to make
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: $(READY) ## Run the bookstore before your eyes: nothing to install, nothing to configure
	@$(BIN)/hybrid demo

test: $(READY) ## Run the tests, some minutes (N=4: four at a time; COV=1: with the coverage gate)
	@command -v redis-server >/dev/null || echo '*** LEFT OUT: the runs against Debian'"'"'s Redis 7.0 (no redis-server here: sudo apt-get install -y redis-server)'
	@echo '*** LEFT OUT: the long proofs with crashes (make prove)'
	$(BIN)/python -m pytest -n $(N) $(if $(filter 1,$(COV)),$(COVERAGE))

check: $(READY) ## Check format, lint, types and the gates (size, layers, docstrings, public names)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CODE)
	$(BIN)/python -m pytest -q tests/gates

check-all: check ## Check, then test with the coverage gate
	@$(MAKE) --no-print-directory test COV=1

prove: $(READY) ## Prove the laws with crashes and restarts, long
	HYBRID_PROVE=full $(BIN)/python -m pytest -m prove --timeout 3600

prove-short: $(READY) ## Prove the laws in some minutes
	HYBRID_PROVE=short $(BIN)/python -m pytest -m prove --timeout 600

bench: $(VENV)/.bench ## Measure ours, the floor, and the same work done by others
	$(BIN)/python -m benchmarks

docs: $(READY) ## Make the pictures of docs/console.md anew, from a real run
	$(BIN)/python tools/make_console_docs.py

lock: $(READY) ## Write the lock files anew from pyproject.toml (UPGRADE=1: with the newest versions)
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile $(LOCK) --extra dev -o requirements.lock pyproject.toml >/dev/null
	$(BIN)/python -m uv pip compile $(LOCK) --extra bench -c requirements.lock -o requirements-bench.lock pyproject.toml >/dev/null

LOCK = --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command 'make lock' \
	$(if $(filter 1,$(UPGRADE)),--upgrade)

clean: ## Remove everything that was made here, the virtual environment too (.hybrid/, your data, stays)
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: made once, and again when the lock or pyproject.toml changes.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'Python is missing. Type: sudo apt-get update && sudo apt-get install -y python3 python3-venv' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) is here." >&2; \
	  echo 'Debian 12 and newer bring it: sudo apt-get update && sudo apt-get install -y python3 python3-venv' >&2; \
	  echo 'With another one beside it: make PYTHON=python3.11 …' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'The virtual environments of Python are missing. Type: sudo apt-get update && sudo apt-get install -y python3-venv' >&2; exit 1; }
	@echo 'Making the environment in $(VENV)/ …'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.bench: $(READY) requirements-bench.lock
	@echo 'Adding the systems to measure against …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.lock
	@touch $@
