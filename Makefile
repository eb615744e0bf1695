PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test torture check fix bench

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

install: $(STAMP) ## virtual environment with everything in it

demo: install ## data, then one model over the noisy link
	$(BIN)/client data
	$(BIN)/client send --std 0.1

test: install ## all tests that this machine can run
	$(BIN)/client data
	$(BIN)/client data mnist
	$(BIN)/python -m pytest

torture: install ## hundreds of kills and cuts, a line per row of docs/reliability.md
	$(BIN)/client data
	$(BIN)/python -m pytest tests/faults --torture

check: install ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: install ## tidy the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## speed and memory, as ratios
	$(BIN)/python benchmarks/run.py
