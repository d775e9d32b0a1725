# Two commands on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 1
N ?= 60
STAMP := $(VENV)/.installed

.PHONY: demo test test-heavy mutants check lint types bench finite-size clean

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -e '.[dev,all]'
	touch $@

demo: $(STAMP)  ## the main job: theory against simulation on handwritten digits
	$(BIN)/collapse-theory report examples/digits.toml -o out/digits

test: $(STAMP)  ## the test suite, on all cores; doctests and derivations included
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-heavy: $(STAMP)  ## the statistical suites that take minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m heavy

mutants: $(STAMP)  ## plant N mistakes drawn by SEED, one at a time, and print those no test sees
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants --seed $(SEED) --sites $(N)

check: lint types test  ## what CI runs

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)  ## measure; nothing here is a test
	for f in benchmarks/*.py; do OMP_NUM_THREADS=1 $(BIN)/python $$f || exit 1; done

finite-size: $(STAMP)  ## measure what finite size does and write the table of docs/finite_size.md; resumes
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/finite_size.py --write

clean:
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .mutants
