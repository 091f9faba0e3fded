# Two commands for a newcomer: `make demo` and `make test`. Each builds .venv and installs all that it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
SEED ?= 7
SYSTEM_PACKAGES := $(shell grep -v '^\#' Resources/system-packages.txt)
export CARDIACFUSION_DATA ?= $(abspath ../shared/data)

.PHONY: demo test test-fast lint types check system bench clean evaluation

demo: $(VENV)/.ready system
	$(BIN)/cardiacfusion doctor
	$(BIN)/cardiacfusion twin --seed $(SEED) --kind one-vessel --spacing 0.8 --out $(DEMO)/twin
	$(BIN)/cardiacfusion fuse --ct $(DEMO)/twin/ct.nii.gz --stress $(DEMO)/twin/stress.nii.gz \
	  --rest $(DEMO)/twin/rest.nii.gz --out $(DEMO)/case

test: $(VENV)/.ready system
	$(BIN)/python -m pytest Testing -n 2 --dist loadfile --durations=8

test-fast: $(VENV)/.ready
	$(BIN)/python -m pytest Testing/unit -m "not slow" -n 2 --dist loadfile

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

check: lint types

# The virtual environment. ensurepip is a package of its own on Debian, so root installs it when it is missing.
$(VENV)/.ready: pyproject.toml constraints.txt
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; \
	  else echo "Python's venv is missing. Run: sudo apt-get install python3-venv"; exit 1; fi; fi
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13))' || \
	  { echo "CardiacFusion needs Python 3.11 to 3.13; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[scene,dev]'
	@touch $@

# Offscreen OpenGL: installed by root, asked of everybody else; without it the run goes on without pictures.
system:
	@missing=$$(for p in $(SYSTEM_PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then \
	  if [ "$$(id -u)" = 0 ]; then echo "installing for offscreen pictures:" $$missing; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null || echo "could not install them; going on without pictures"; \
	  else echo "No pictures without these packages. Run: sudo apt-get install" $$missing; fi; fi

bench: $(VENV)/.ready
	$(BIN)/python Testing/bench/speed.py --json build/speed.json
	$(BIN)/cardiacfusion evaluate all --cases 4 --seed 1000 --json build/evaluation.json

# Every figure of Docs/accuracy.md. Each line goes on where it was interrupted (finished hearts lie in build/evaluation);
# fewer hearts: make evaluation STAGE_CASES=40 WHOLE_CASES=8 QUALITY_CASES=40 STUDY_CASES=8
STAGE_CASES ?= 200
PEER_CASES ?= 40
WHOLE_CASES ?= 40
QUALITY_CASES ?= 200
STUDY_CASES ?= 60
ROBUST_CASES ?= 6
FIGURES = Testing/reference/evaluation
evaluation: $(VENV)/.ready
	$(BIN)/cardiacfusion --threads 1 evaluate reorientation,ct_walls,cmr_walls,aif,landmarks,registration --spacing 1.5 \
	  --cases $(STAGE_CASES) --peers $(PEER_CASES) --seed 2000 --cache build/evaluation/stages --json $(FIGURES)/stages.json
	$(BIN)/cardiacfusion --threads 1 evaluate perfusion,coronaries,fusion --cases $(WHOLE_CASES) --seed 2000 \
	  --cache build/evaluation/whole_way --json $(FIGURES)/whole_way.json
	$(BIN)/cardiacfusion --threads 1 evaluate quality --cases $(QUALITY_CASES) --seed 2000 \
	  --cache build/evaluation/quality --json $(FIGURES)/quality.json
	$(BIN)/cardiacfusion --threads 1 evaluate perfusion_study --cases $(STUDY_CASES) --seed 2000 \
	  --cache build/evaluation/perfusion_study --json $(FIGURES)/perfusion_study.json
	$(BIN)/cardiacfusion --threads 1 evaluate findings_fine --cases $(STUDY_CASES) --seed 2000 \
	  --cache build/evaluation/findings_fine --json $(FIGURES)/findings_fine.json
	$(BIN)/cardiacfusion --threads 1 evaluate coronaries_robust --cases $(ROBUST_CASES) --seed 2000 \
	  --cache build/evaluation/coronaries_robust --json $(FIGURES)/coronaries_robust.json
	$(BIN)/cardiacfusion evaluate real --json $(FIGURES)/real.json
	$(BIN)/python Testing/bench/speed.py --threads 1 --json $(FIGURES)/speed.json
	$(BIN)/cardiacfusion evaluate report --json $(FIGURES) --out Docs/accuracy.md

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
