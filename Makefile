# One command sets everything up and does the job; nothing but Python 3.11+, make and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
JOBS   ?= 2

.PHONY: demo test lint types imports examples benchmarks kernel campaign profile mutants matrix conformance kills fuzz soak check wheel clean

demo: $(VENV)/.installed
	$(BIN)/tacs demo

# One thread for each worker: small matrices on several threads cost twice the time.
test: $(VENV)/.installed-test
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

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
	$(BIN)/python -m benchmarks.connectivity
	$(BIN)/python -m benchmarks.connectivity_confound
	$(BIN)/python -m benchmarks.power
	$(BIN)/python -m benchmarks.false_positives
	$(BIN)/python -m benchmarks.preparation
	$(BIN)/python -m benchmarks.artifact
	$(BIN)/python -m benchmarks.group_errors
	$(BIN)/python -m benchmarks.real_outcomes
	$(BIN)/python -m benchmarks.compare_process
	$(BIN)/python -m benchmarks.stop_latency

# Every branch of the kernel, by its own tests.
kernel: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n 0 tests/tacs/test_session.py tests/tacs/test_session_trains.py \
	  --cov=tacs.session --cov=tacs.session_plan --cov=tacs.transitions --cov-branch --cov-report=term-missing --cov-fail-under=100

# A million random sequences that must break no rule; minutes on all cores.
campaign: $(VENV)/.installed
	$(BIN)/tacs verify kernel --sequences 1000000 --seed 1

# The response profile on 60 virtual patients of every kind, and on a real flicker; half an hour.
profile: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.profile --patients 60 --json profile.json
	$(BIN)/python -m benchmarks.real_flicker

# Does a test notice every single change to the kernel, limits, predicates, guard, judge and framing?
mutants: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.mutants --planted
	nice $(BIN)/python -m benchmarks.mutants

# The 47 fault scenarios on both emulated rigs; every row that can run must hold.
matrix: $(VENV)/.installed
	$(BIN)/tacs verify device emulated:synthpal --part scenarios
	$(BIN)/tacs verify device emulated:synthpal --rig emulated-synthpal-monitored --part scenarios

# Every driver against every check, and the same session on every emulated device.
conformance: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.conformance
	$(BIN)/python -m benchmarks.every_device

# Stops and kills on the real clock; three quarters of an hour, most of it asleep.
kills: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.kill --repeats 1000 --at-once 8 --json kills.json
	$(BIN)/python -m benchmarks.stop_latency --repeats 200 --at-once 8 --json stops.json

fuzz: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.fuzz --inputs 10000000

soak: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.soak --hours 2 --minutes 40

check: test lint types imports examples kernel matrix conformance

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
