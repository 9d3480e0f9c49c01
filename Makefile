# The two commands of the README, and what developers run. Nothing but Python 3.11+ and make is needed before.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test cover lint e2e attack bench bench-networks bench-programs container lock licences dist site clean

help:  ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(VENV)/.train  ## make, train, test and explain on synthetic scans; writes demo/report.html
	$(BIN)/tumorlens demo --output demo

# Side by side: a file's tests stay together, for they share what their fixtures make.
PARALLEL := -n auto --maxprocesses 8 --dist loadfile
test: $(VENV)/.dev  ## run the tests on all processors; those on real scans need TUMORLENS_DATA
	$(BIN)/python -m pytest $(PARALLEL)

cover: $(VENV)/.dev  ## run the tests and show what they miss; fails below pyproject's share, takes half as long again
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term-missing:skip-covered

lint: $(VENV)/.dev  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

e2e: $(VENV)/.dev  ## run the tests that need Debian's chromium, postgresql, orthanc, orthanc-dicomweb, dcmtk, dicom3tools
	$(BIN)/python -m pytest tests/e2e --override-ini addopts="-raR --strict-markers"
	TUMORLENS_TEST_DATABASE=postgresql $(BIN)/python -m pytest $(PARALLEL) tests/web

attack: $(VENV)/.dev  ## attack node, page and command line on this machine; FULL=--full takes an hour
	$(BIN)/python -m rehearsal.attack $(FULL)

BENCH := build/bench
bench: bench-networks bench-programs  ## run the benchmarks in small sizes on phantoms; -j2 runs their halves side by side

bench-networks: $(VENV)/.dev
	rm -rf $(BENCH)
	$(BIN)/tumorlens data phantoms $(BENCH)/phantoms --count 120 --size 64 --quiet
	$(BIN)/python benchmarks/leakage.py --data $(BENCH)/phantoms --runs $(BENCH)/runs --epochs 1
	$(BIN)/python benchmarks/calibration.py --runs $(BENCH)/runs/cv-cnn_lstm
	$(BIN)/python benchmarks/heatmaps.py $(BENCH)/runs/cv-cnn_lstm/fold-0 --sample 6
	$(BIN)/python benchmarks/ablations.py --model cnn_lstm_attention --data $(BENCH)/phantoms --runs $(BENCH)/runs --epochs 1 --variants "all of it" "no LSTM"
	$(BIN)/tumorlens crossvalidate --data $(BENCH)/phantoms --model cnn_lstm_attention --output $(BENCH)/runs/cv-attention \
		--folds 2 --final --set validation=0 --set epochs=1 --quiet
	$(BIN)/python benchmarks/folds.py $(BENCH)/runs/cv-attention --mirror
	$(BIN)/python benchmarks/corruptions.py $(BENCH)/runs/cv-cnn_lstm/fold-0 --count 8
	$(BIN)/python benchmarks/study.py --count 8 --slices 12 24 --series 2
	$(BIN)/python benchmarks/audit.py --phantoms 1100
	$(BIN)/python benchmarks/training_profile.py --steps 4

bench-programs: $(VENV)/.dev
	rm -rf $(BENCH)-hospital
	$(BIN)/python benchmarks/validate_site.py $(BENCH)-hospital
	$(BIN)/python benchmarks/runtimes.py
	$(BIN)/python benchmarks/weights.py --rounds 1
	$(BIN)/python benchmarks/archive.py memory --count 2000
	$(BIN)/python benchmarks/archive.py kill --count 2000
	$(BIN)/python benchmarks/archive.py ray --count 1000
	$(BIN)/python benchmarks/cluster_cost.py --rate 500
	$(BIN)/python benchmarks/hospital_load.py --scale 0.05 all
	$(BIN)/python benchmarks/speed.py --scale 0.1 --files 300
	$(BIN)/python benchmarks/page_load.py --scale 0.02
	$(BIN)/python benchmarks/installed.py --rounds 1

container: $(VENV)/.python  ## lint the container's file, and build it or run its steps in an empty environment
	.ci/container

lock: $(VENV)/.dev  ## pin what container and tests are made of, and write the container's bill of materials, into locks/
	$(BIN)/python .ci/supply lock

licences: $(VENV)/.python  ## list the licences of what the container is made of
	$(BIN)/python .ci/supply licences

dist: $(VENV)/.dev  ## build sdist and wheel into dist/, and check them in an empty environment
	.ci/dist $(BIN)/python

site: $(VENV)/.docs  ## build the docs as a site into build/site; it works offline, and a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

clean:  ## remove the environment and everything made
	rm -rf $(VENV) demo build dist .coverage* .pytest_cache .mypy_cache .ruff_cache

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

# The versions that the tests ran with, on the Python they were locked for; on another the newest that fit.
AS_LOCKED = $$($(BIN)/python -V | grep -q ' 3\.11\.' && echo --constraint locks/dev.txt)

# The dev environment holds all that the others do, so a later `make demo` or `make site` installs nothing again.
$(VENV)/.train: $(VENV)/.python pyproject.toml locks/dev.txt
	@echo "installing TumorLens and what it needs into $(VENV) (a few minutes, once)"
	$(BIN)/python -m pip install --quiet $(AS_LOCKED) --editable '.[train]'
	touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml locks/dev.txt
	@echo "installing TumorLens and what its tests need into $(VENV) (a few minutes, once)"
	$(BIN)/python -m pip install --quiet $(AS_LOCKED) --editable '.[dev]'
	touch $@ $(VENV)/.train $(VENV)/.docs

$(VENV)/.docs: $(VENV)/.python pyproject.toml locks/dev.txt
	$(BIN)/python -m pip install --quiet $(AS_LOCKED) --editable '.[docs]'
	touch $@
