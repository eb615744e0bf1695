PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What is wrong with $(PYTHON), if anything.
UNFIT = $(shell $(PYTHON) -c 'import sys; v = sys.version_info; \
	v >= (3, 11) or sys.stdout.write("is %d.%d.%d" % v[:3])' 2>/dev/null || echo does not run)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow torture check fix bench docs data

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	@: $(if $(UNFIT),$(error $(PYTHON) $(UNFIT), weightcast needs Python 3.11 or newer; \
	choose one: make $(or $(MAKECMDGOALS),install) PYTHON=python3.12))
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "installing packages into it, torch among them: minutes, the first time"
	@$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
	@touch $@

install: $(STAMP) ## virtual environment with everything in it

demo: install ## data, then one model over the noisy link
	@echo "fetching CIFAR-10, unless it is there"
	@$(BIN)/client data
	@echo "client send --std 0.1: a model over a noisy link, then 10,000 images by what arrived"
	@$(BIN)/client send --std 0.1

test: install data ## what protects the main job, some 6 minutes
	$(BIN)/python -m pytest -m "not slow"

test-slow: install data ## all other tests
	$(BIN)/python -m pytest -m slow

torture: install ## hundreds of kills and cuts, a line per row of docs/reliability.md
	$(BIN)/client data
	$(BIN)/python -m pytest tests/faults --torture

data: install
	$(BIN)/client data
	$(BIN)/client data mnist

check: install ## format, lint, types, architecture and documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m "not cifar" tests/test_architecture.py tests/test_docs.py

fix: install ## tidy the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## speed and memory, as ratios
	$(BIN)/python benchmarks/run.py

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[docs]'
	@touch $@

docs: $(VENV)/.docs ## the pages as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
