# The two commands of the README are `make demo` and `make test`. Everything else serves them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/assay
PYTHON := .venv/bin/python
RUN := .venv/bin
PYTEST ?= $(RUN)/pytest
CLUSTER ?= local
# How many tests of a cluster run at once. Each worker has a cluster of its own; most of the time tests wait.
WORKERS ?= 2
# What the benchmark compares with, and its driver for PostgreSQL. It has an environment of its own.
MLFLOW := mlflow>=3.17,<4 psycopg2-binary
# The clients that the recorder's MLflow endpoint is tested with, and what they log models of.
MLFLOW_CLIENTS := 2.9 2.22 3.6 3.17
MLFLOW_FLAVORS := pandas<3 scikit-learn skops matplotlib pillow xgboost-cpu lightgbm setuptools<81

.PHONY: help setup lock cluster cluster-down demo demo-down test test-fast bench lint format crds docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.venv/.done: pyproject.toml .locks/dev.txt
	uv venv --quiet --allow-existing --python '>=3.11' .venv
	uv pip install --quiet --python $(PYTHON) --require-hashes -r .locks/dev.txt
	uv pip install --quiet --python $(PYTHON) --no-deps -e .
	@touch $@

setup: .venv/.done ## create the virtual environment with every locked dependency

lock: ## resolve the dependencies of pyproject.toml again, with hashes
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" pyproject.toml --extra operator --extra server -o .locks/runtime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" pyproject.toml --extra cli --extra server --extra plot --extra notebook --extra otel --group dev -c .locks/runtime.txt -o .locks/dev.txt
	printf '%s\n' $(foreach each,$(MLFLOW),'$(each)') | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --custom-compile-command "make lock" - -o .locks/mlflow.txt
	for version in $(MLFLOW_CLIENTS); do \
	  printf '%s\n' "mlflow-skinny==$$version.*" "numpy$$([ $$version = 2.9 ] && echo '<2')" $(foreach each,$(MLFLOW_FLAVORS),'$(each)') | uv pip compile -q --universal \
	    --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock" \
	    - -o .locks/mlflow-$$version.txt || exit 1; done

cluster: setup ## start a real Kubernetes on this machine and leave it running
	$(PYTHON) -m tests.cluster up

cluster-down: setup ## stop it
	$(PYTHON) -m tests.cluster down

demo: setup ## start a cluster, train six models, register the best one
	$(PYTHON) -m tests.cluster demo

demo-down: setup ## stop what `make demo` left running
	$(PYTHON) -m tests.cluster down

# The workers import the same modules: what the first compiles, the others only load.
test test-fast: export PYTHONDONTWRITEBYTECODE :=

test: setup ## run every test, on a real cluster
	$(PYTEST) -m unit -n 2
	$(PYTEST) -m 'not unit' --ignore=tests/unit --cluster=$(CLUSTER) $(if $(filter local,$(CLUSTER)),-n $(WORKERS) --dist loadgroup)

test-fast: setup ## run the tests that need no cluster, in under a minute
	$(PYTEST) -m unit -n 2

bench: setup ## run the benchmarks: one `name: value` a line, ratios first
	$(PYTHON) -m tests.benchmarks

lint: setup ## check style, types, import contracts and generated files
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports --no-cache
	$(PYTHON) -m assay.api --check crds
	$(PYTHON) -m assay.cli.output.schema --check docs/cli.schema.json

format: setup ## fix what `make lint` can fix by itself
	$(RUN)/ruff check --fix-only .
	$(RUN)/ruff format .

crds: setup ## generate crds/ from the pydantic models, and the schema of what the command line prints
	$(PYTHON) -m assay.api crds
	$(PYTHON) -m assay.cli.output.schema docs/cli.schema.json

docs: setup ## build the site in .work/site; fails on a broken link
	$(RUN)/mkdocs build --strict

clean: ## delete what the checkout has built; keep the cache with Kubernetes' binaries
	rm -rf .venv .work .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
