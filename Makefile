# Every target makes the virtual environment it needs; PYTHON chooses the interpreter, VENV where the environment lies.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup test lint check audit demo bench faults soak clean

help: ## Say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/' | expand -t 12

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("jobqueue needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(STAMP)

setup: $(STAMP) ## Make the virtual environment

test: $(STAMP) ## Run the tests (TESTS="tests/unit -k retry" for some)
	$(BIN)/python -m pytest -q $(TESTS)

lint: $(STAMP) ## Format, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

check: lint test ## All of that, and the tests

audit: $(STAMP) ## Ask the public advisories about everything installed (needs the network, and fails without it)
	$(BIN)/python -m pip install --quiet "pip-audit>=2.7"
	$(BIN)/python -m pip freeze --quiet --exclude-editable > $(VENV)/audit.txt
	$(BIN)/python -m pip_audit --strict --no-deps --disable-pip --progress-spinner off --requirement $(VENV)/audit.txt

demo: $(STAMP) ## Run the ticket desk (ARGS="--requests FILE.csv", "--backend memory", "--backend redis://…")
	$(BIN)/python -m examples.ticketing demo $(ARGS)

bench: $(STAMP) ## Measure against the rivals (ONLY=jobqueue,bullmq, ARGS="--measures process --rounds 5"; ARGS=--help)
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(ARGS)

faults: $(STAMP) ## Kill, stop and cut off real processes, and count what is lost (ARGS="F2 --scale 0.1 --seed 7")
	$(BIN)/python -m tests.faults $(ARGS)

soak: $(STAMP) ## Faults at random for MINUTES=10, and whether anything grows (ARGS="--seed 7")
	$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),10) $(ARGS)

clean: ## Remove what the targets made
	rm -rf $(VENV) .pytest_cache .hypothesis .ruff_cache .bench demo-data dist build
