# Two commands on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 1
N ?= 60
STAMP := $(VENV)/.installed
DOCS := $(VENV)/.docs

.PHONY: package docs book demo gallery test test-heavy mutants check lint types bench finite-size clean

GALLERY := $(patsubst examples/gallery/%.toml,out/gallery/%/figure.png,$(sort $(wildcard examples/gallery/*.toml)))

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -e '.[dev,all]'
	touch $@

demo: $(STAMP)  ## the main job: theory against simulation on handwritten digits
	$(BIN)/collapse-theory report examples/digits.toml -o out/digits

gallery: $(STAMP)  ## every figure of docs/gallery.md, two at a time; what is finished stays, what was interrupted goes on
	OMP_NUM_THREADS=1 $(MAKE) --keep-going --jobs=2 $(GALLERY)

out/gallery/%/figure.png: examples/gallery/%.toml
	$(BIN)/collapse-theory report $< -o $(@D)
	cp $@ docs/gallery/$*.png

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

$(DOCS): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -e '.[docs]'
	touch $@

docs: $(DOCS)  ## the documentation site, its pages of theorems and reference generated first -> docs/_build/html
	OMP_NUM_THREADS=1 $(BIN)/python -m docs.generate
	mkdir -p docs/_build/extra && $(BIN)/collapse-theory explore --export docs/_build/extra/explore.html
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html

book: $(DOCS)  ## the book of derivations (needs pdflatex and makeindex) -> docs/_build/book/derivations.pdf
	OMP_NUM_THREADS=1 $(BIN)/python -m docs.generate.book

package:  ## build wheel and sdist, install each without extras in an environment of its own, and use it
	rm -rf dist build/package && $(PYTHON) -m venv build/package/make
	build/package/make/bin/python -m pip install --quiet build
	build/package/make/bin/python -m build --outdir dist .
	for made in dist/*.whl dist/*.tar.gz; do \
	    rm -rf build/package/use && $(PYTHON) -m venv build/package/use && \
	    build/package/use/bin/python -m pip install --quiet $$made && \
	    (cd build/package && use/bin/collapse-theory predict ols-replace --spectrum isotropic:d=50 --set T=80 --set T0=90 --set n=3 \
	        --set sigma=0.5 --set sigma0=0.4) || exit 1; \
	done

clean:
	rm -rf $(VENV) docs/_build docs/theorems docs/derivations docs/reference out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .mutants
