# Each target sets up what it needs: a virtual environment in .venv with the package and its tested versions.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all lint bench docs notebooks clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hwsim needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,report,dev]'
	touch $@

demo: .venv/installed
	$(BIN)/hwsim demo

test: .venv/installed
	$(BIN)/python -m pytest -m "not slow and not gpu and not browser"

test-all: .venv/installed
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit; done

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebooks: .venv/installed
	$(BIN)/python notebooks/execute.py

clean:
	rm -rf .venv build dist site *.egg-info runs/demo
