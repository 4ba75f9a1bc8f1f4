# Everything lives in .venv, installed from the hashed lock files in requirements/.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
  $(if $(shell $(name) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(name))))
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help leaderboard slurm kubernetes test test-fast test-cluster lint format bench lock pins clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

leaderboard: $(VENV)/.run ## Set up on first use, run the benchmark of config.yaml
	$(BIN)/snakemake --cores all

slurm: $(VENV)/.slurm ## Set up what submits jobs to Slurm

kubernetes: $(VENV)/.kubernetes ## Set up what submits jobs to Kubernetes

test: $(VENV)/.test ## Set up on first use, run the whole test suite
	$(BIN)/pytest -n 2 --dist worksteal

test-fast: $(VENV)/.test ## Run the tests that train nothing
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

test-cluster: $(VENV)/.test $(VENV)/.slurm ## Install and start a Slurm here, run the pipeline on it (root; FULL=1: all of it)
	$(if $(FULL),SIDEKICK_FULL=1 )$(BIN)/pytest -m cluster tests/cluster/test_slurm.py
	$(MAKE) kubernetes
	$(BIN)/pytest -m cluster tests/cluster/test_kubernetes.py

lint: $(VENV)/.test ## Check code style and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: $(VENV)/.test ## Rewrite code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

bench: $(VENV)/.test ## Measure speed against peers, in one run
	PYTHONPATH=workflow_scripts $(BIN)/python -m benchmarks

lock: ## Make the lock files anew from requirements/*.in (needs uv)
	cd requirements && for name in run slurm kubernetes test; do \
	  uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	    $$name.in --output-file $$name.txt; \
	done

pins: ## Write explicit lists of the conda environments, to install without a solver (needs conda)
	for file in $(filter-out envs/modules.yaml,$(wildcard envs/*.yaml)); do \
	  rm -rf .snakemake/pins && mkdir -p .snakemake && \
	  conda env create --quiet --file $$file --prefix .snakemake/pins && \
	  conda list --explicit --md5 --prefix .snakemake/pins > .snakemake/pins.txt && \
	  mv .snakemake/pins.txt $${file%.yaml}.linux-64.pin.txt || exit; \
	done; rm -rf .snakemake/pins

clean: ## Delete results, downloads and the environment
	rm -rf results/* resources .snakemake $(VENV)
	git checkout -- results/README.md

# A stamp is written last, so that an interrupted installation is repeated. The locks are complete, so
# pip resolves nothing: some releases of it take `name[extra]` for another package, without a pin.
$(VENV)/.run: requirements/run.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

$(VENV)/.slurm $(VENV)/.kubernetes: $(VENV)/.%: requirements/%.txt | $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

$(VENV)/.test: requirements/test.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@ $(VENV)/.run

$(VENV)/bin/pip:
	$(if $(PYTHON),,$(error Sidekick needs Python 3.11 or newer; none was found. Name one with PYTHON=/path/to/python))
	@echo "Setting up $(VENV) (about 6 GB with PyTorch; two to three minutes)"
	$(PYTHON) -m venv $(VENV)
