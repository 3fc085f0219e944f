# One command sets everything up and does the job; nothing but Python 3.11+, make and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
JOBS   ?= 2

.PHONY: demo test lint types imports examples benchmarks check wheel clean

demo: $(VENV)/.installed
	$(BIN)/tacs demo

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

imports: $(VENV)/.installed-test
	$(BIN)/lint-imports

examples: $(VENV)/.installed-test
	for script in examples/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

benchmarks: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.peak --recordings 500
	$(BIN)/python -m benchmarks.parametrise
	$(BIN)/python -m benchmarks.corcoran
	$(BIN)/python -m benchmarks.real_recordings
	$(BIN)/python -m benchmarks.stop_latency

check: test lint types imports examples

wheel: $(VENV)/.installed-test
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) dist build tacs-demo* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) -e '.[test,dev]'
	@touch $(VENV)/.installed $@
