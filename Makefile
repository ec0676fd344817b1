# make demo            the main job, on a simulated dataset
# make demo DATA=folder   the same on fMRIPrep outputs of yours (ATLAS=labels.nii.gz OUT=folder)
# make test            the tests
# make faults          more of them: killed writers, damaged archives, long chains, all pages (some minutes)
# make smoke           each benchmark on tiny data, for its form alone
# make slurm           a SLURM of one node on this machine, installed and started (Debian, as root)
# make slurm-tests     the tests that need SLURM
# make lint            style and types
# make docs            docs/operations.md, as the docstrings have it
# make bench           entense beside its peers (ARGS="--quick")

PYTHON ?= python3
VENV ?= .venv
DATA ?=
OUT ?=
ATLAS ?=
ARGS ?=
BIN := $(VENV)/bin

.PHONY: demo test faults smoke slurm slurm-tests lint docs bench clean

demo: $(VENV)/.installed-all
	$(BIN)/entense demo $(if $(DATA),--data "$(DATA)") $(if $(OUT),--out "$(OUT)") $(if $(ATLAS),--atlas "$(ATLAS)")

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 $(ARGS)

faults: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 tests/faults/archive/slow_*.py $(ARGS)
	$(BIN)/python -m pytest -n 2 -m slow $(ARGS)

smoke: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 tests/flow/slow_benchmarks.py $(ARGS)

slurm:
	tests/slurm/up.sh

slurm-tests: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slurm tests/execute/pydra tests/archive/test_distribute.py tests/faults/archive/slow_distributed.py $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-test
	$(BIN)/python docs/generate.py

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks $(ARGS)

# a set of extras is installed once, and again when pyproject.toml changes
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	touch $@

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "entense needs Python 3.11 or newer; say which: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist demo
