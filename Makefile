# `make help` lists the targets. The first two are all that a fresh machine needs: make table1, make test.
PYTHON ?= python3
VENV ?= .venv
CORES ?= all
PIP_ARGS ?=
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)

.DEFAULT_GOAL := help
.PHONY: help table1 table1-long bars figures table2 table4 budget ablations variants interpretability test test-ci test-slow test-gpu test-slurm test-slurm-ci test-accounts slurm-here test-all test-pythons test-release own cifar10-cpu dist coverage lint format weights weights-bases weights-students ship readme readme-cifar10 profile dag clean-state

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-17s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "hkd needs Python 3.11 to 3.13; say make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.installed-slurm: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[test,slurm]'
	touch $@

$(VENV)/.installed-photos: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[photos]'
	touch $@

STUDENTS := configs/benchmarks/students.yaml

table1: $(VENV)/.installed  ## install, then the main job: Table 1 on the embedded default (minutes, CPU)
	$(SNAKEMAKE) results/table1.csv paper_figures/samples.pdf

table1-long: $(VENV)/.installed  ## every row of Table 1 trained as long as the shipped ones, from the shipped bases (an estimated 4 CPU-hours)
	$(SNAKEMAKE) --configfile $(STUDENTS) -- results/students/table1.csv paper_figures/students/samples.pdf

bars: $(VENV)/.installed  ## rows of 250 to 1,000 steps, three seeds, most columns, and the quality bars (an hour and a half)
	$(SNAKEMAKE) --configfile configs/benchmarks/embedded_long.yaml -- results/embedded_long/table1.csv \
		results/embedded_long/table3.csv results/embedded_long/trajectory_error.csv results/embedded_long/bars.csv

table2: $(VENV)/.installed  ## Table 2 on the 64-pixel stand-in, at a token size (a quarter of an hour of one core)
	$(SNAKEMAKE) --configfile configs/benchmarks/table2.yaml -- results/table2.csv

table4: $(VENV)/.installed  ## Table 4, with classes, on the default's stand-in
	$(SNAKEMAKE) --configfile configs/benchmarks/table4.yaml -- results/table4.csv

budget: $(VENV)/.installed  ## one-step methods at equal network evaluations: table and figure (about half an hour)
	$(SNAKEMAKE) results/budget.csv paper_figures/budget.pdf

ablations: $(VENV)/.installed  ## the paper's ablations over ten paired seeds, and which orders they resolve (80 CPU-minutes)
	$(SNAKEMAKE) --configfile configs/benchmarks/ablations.yaml -- results/ablations/paired.csv \
		results/ablations/table3.csv results/ablations/trajectory_error.csv paper_figures/ablations/ablations.pdf

variants: $(VENV)/.installed  ## HKD and all ablations over three seeds, with errors over time (40 minutes of one core)
	$(SNAKEMAKE) --configfile configs/benchmarks/variants.yaml -- results/variants/table3.csv \
		results/variants/trajectory_error.csv paper_figures/variants/ablations.pdf

interpretability: $(VENV)/.installed  ## closure, spectra, bands and factors over three seeds, and what they say (half an hour)
	$(SNAKEMAKE) --configfile configs/benchmarks/interpretability.yaml -- results/interpretability/interpretability.csv \
		paper_figures/interpretability/interpretability.pdf paper_figures/interpretability/spectrum.pdf

# neither make nor the shell, which takes it from its environment, reads anything in it
override SOURCE := $(value SOURCE)
export SOURCE
own: $(VENV)/.installed-photos  ## your own images: make own SOURCE=zip, folder or archive [RESOLUTION=32]; says first how long it takes
cifar10-cpu: $(VENV)/.installed-photos  ## CIFAR-10 on a CPU: make cifar10-cpu SOURCE=cifar-10-python.tar.gz; hours, says first how many
own cifar10-cpu: NAME = $(subst -,_,$@)
own cifar10-cpu:
	@test -n "$$SOURCE" || { echo "say make $@ SOURCE=PATH: a zip or folder of pictures, or cifar-10-python.tar.gz" >&2; exit 2; }
	@$(BIN)/hkd forecast --benchmark configs/benchmarks/$(NAME).yaml --config "source=$$SOURCE" \
		$(if $(RESOLUTION),--config data.images.resolution=$(RESOLUTION))
	$(SNAKEMAKE) --configfile configs/benchmarks/$(NAME).yaml --config "source=$$SOURCE" \
		$(if $(RESOLUTION),"data={images: {resolution: $(RESOLUTION)}}") \
		-- results/$(NAME)/table1.csv results/$(NAME)/nearest.csv paper_figures/$(NAME)/samples.pdf
	@sed -n 's/^- //p' paper_figures/$(NAME)/nearest.md
	@echo "Look at paper_figures/$(NAME)/samples.png and, for repeated images, at paper_figures/$(NAME)/nearest.png"

figures: $(VENV)/.installed  ## every figure of the embedded default
	$(SNAKEMAKE) figures

# one thread a process: the networks of tests are too small to share a step, and the processes share the cores
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest -n auto --dist loadgroup

test: $(VENV)/.installed-test  ## the default tests, over all cores (minutes)
	$(PYTEST)

test-ci: $(VENV)/.installed-test  ## of the longer proofs, one of each kind (a quarter of an hour)
	$(ONE_THREAD) $(BIN)/python -m pytest -m "slow and ci"

test-slow: $(VENV)/.installed-test  ## all longer proofs: full-size networks, kill and resume, end to end
	$(ONE_THREAD) $(BIN)/python -m pytest -m slow

# installs nothing: PYTHON is that of any environment with torch >= 2.4, numpy, pydantic, pyyaml, safetensors, typer,
# pillow and pytest
test-gpu:  ## what only a GPU can show (ten minutes, one card); see docs/gpu.md
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m pytest -m gpu -rs tests/gpu

test-slurm: $(VENV)/.installed-slurm  ## submission to a one-node SLURM here; needs Debian's slurm-wlm and munge
	$(ONE_THREAD) $(BIN)/python -m pytest -m slurm -rsP

slurm-here: $(VENV)/.installed-slurm  ## a one-node SLURM to try submission with, until Ctrl-C; needs slurm-wlm and munge
	$(BIN)/python tests/slurm/cluster.py

test-accounts: $(VENV)/.installed-test  ## two accounts over one results tree; needs root, which makes them for a while
	$(ONE_THREAD) $(BIN)/python -m pytest -m accounts -rs

test-slurm-ci: $(VENV)/.installed-slurm
	$(ONE_THREAD) $(BIN)/python -m pytest -m "slurm and ci" -rs

# interpreters that pyenv has already; each gets an environment of its own
OTHERS := $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python $(HOME)/.pyenv/versions/3.13.*/bin/python)
test-pythons:  ## the default tests under the Pythons 3.12 and 3.13 that are here, one after the other
	@for python in $(OTHERS); do \
		$(MAKE) test PYTHON=$$python VENV=.venv-$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 1; \
	done
	@test -n "$(OTHERS)" || echo "no Python 3.12 or 3.13 below ~/.pyenv/versions: nothing to test under"

test-all: test test-slow test-accounts test-slurm test-pythons  ## every test that needs no GPU (an hour, and a test run for each other Python)

dist: $(VENV)/.installed  ## sdist and wheel, with the workflow and the shipped weights in both, below dist/
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) build
	$(BIN)/python -m build --outdir dist .

# installs the wheel with all that it needs into a clean environment; PIP_ARGS as for the first install
test-release: $(VENV)/.installed-test  ## build, install into a clean environment, run in an empty folder
	HKD_RELEASE_INSTALL="-c constraints.txt $(PIP_ARGS)" $(ONE_THREAD) $(BIN)/python -m pytest -m release -rs

coverage: $(VENV)/.installed-test  ## the default tests with a coverage report
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered

lint: $(VENV)/.installed-test  ## ruff, mypy, snakefmt, snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules workflow
	$(BIN)/snakemake --lint

format: $(VENV)/.installed-test  ## rewrite sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules workflow

# Each row alone, too: `make weights-hkd`. A training that was stopped goes on where it was.
weights: weights-bases weights-students  ## retrain all shipped weights and compare them with their cards (an estimated night of two cores)

weights-bases: $(VENV)/.installed  ## bases and feature networks from nothing (two hours of one core)
	$(SNAKEMAKE) --configfile configs/benchmarks/weights.yaml -- results/weights/table1.csv results/weights/bars.csv
	$(BIN)/hkd ship shapes16 --benchmark configs/benchmarks/weights.yaml

weights-students: table1-long  ## makes table1-long, and compares its rows with their cards
	$(BIN)/hkd ship shapes16 --benchmark $(STUDENTS)

weights-%: $(VENV)/.installed
	$(SNAKEMAKE) --configfile $(STUDENTS) -- results/students/shapes16/methods/$*/seed0/metrics/nfe1.json
	$(BIN)/hkd ship shapes16 --benchmark $(STUDENTS) --only methods/$*

ship: $(VENV)/.installed  ## replace the shipped weights by the retrained ones: the bases first, then students from them
	$(MAKE) weights-bases
	$(BIN)/hkd ship shapes16 --benchmark configs/benchmarks/weights.yaml --write
	$(MAKE) weights-students
	$(BIN)/hkd ship shapes16 --benchmark $(STUDENTS) --write

readme: table1  ## put the table and the sample grid of the embedded run into README.md
	$(BIN)/hkd readme

readme-cifar10: cifar10-cpu  ## put the table and the sample grid of CIFAR-10 on a CPU into README.md: SOURCE as there
	$(BIN)/hkd readme --section cifar10_cpu --benchmark configs/benchmarks/cifar10_cpu.yaml --config "source=$$SOURCE" \
		$(if $(RESOLUTION),--config data.images.resolution=$(RESOLUTION))

profile: $(VENV)/.installed  ## where the CPU-seconds of the main job went: by rule and by row, work and starts of processes
	$(BIN)/hkd spent

dag: $(VENV)/.installed  ## what the main job would run
	$(BIN)/snakemake -n --quiet=rules results/table1.csv

clean-state:  ## delete the training states of finished runs
	find results -type d -name checkpoints -prune -exec rm -r {} +
