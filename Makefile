# `make demo` and `make test` start from a bare checkout: they need Python 3.11, g++ and make
# (Debian 12: apt-get install python3 python3-venv g++ make) and set up .venv themselves.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell grep '^torch==' constraints.txt)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

# Idle OpenMP threads sleep instead of spinning, which matters on a shared machine.
export OMP_WAIT_POLICY := passive

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint bench clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# A new environment whenever what goes into it changes; an interrupted one is made again.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 is not on the PATH: apt-get install python3"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV) || { echo "apt-get install python3-venv helps"; exit 1; }
	$(PIP) $(TORCH)
	$(PIP) -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)  ## the main job: the 3k column as spikes and as rates, compared (runs/demo)
	$(BIN)/striate compare --out runs/demo --force
	@echo "The report: $(CURDIR)/runs/demo/report.html"

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## ruff, mypy and the tests
	$(BIN)/pytest

test-all: lint  ## the same with the slow tests
	$(BIN)/pytest -m 'slow or not slow'

bench: $(STAMP)  ## time and memory of building and running
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:  ## remove the environment and caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find toolkit converters circuits tests -name __pycache__ -type d -prune -exec rm -rf {} +
