PYTHON ?= python3
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --quiet \
	--no-emit-index-url --custom-compile-command "make lock"

# Not in macOS' own make: there the lines of two processes come mixed.
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.DEFAULT_GOAL := help
.PHONY: help run up down test lint format types unit unit-app unit-rest integration e2e lifecycle faults bench docs lock clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: .venv/.app ## start the platform on this machine: train, load, predict (ONCE=1 ends by itself, ARGS='--serve-port 8001')
	@$(BIN)/manta local $(if $(ONCE),--once) $(ARGS)

up: .venv/.infra ## bring the dev stack up on Minikube and hold the tunnels open (STACK=name takes another)
	@scripts/up

down: .venv/.infra ## destroy the stack that `make up` brought up (STACK=name takes another)
	@scripts/down

test: lint types unit integration ## everything that needs no cluster

lint: .venv/.dev ## formatting, lint rules, and which module may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache --no-logo

format: .venv/.dev ## format the code and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: .venv/.dev ## strict types
	$(BIN)/mypy

# The unit tests that import the machine-learning libraries.
LEARNING := $(addprefix tests/unit/app/,models serving training)

unit: .venv/.dev ## tests without network or Ray: what needs the machine-learning libraries on one core, the rest on another
	@$(MAKE) --no-print-directory --jobs 2 $(SYNC) unit-app unit-rest

unit-app: .venv/.dev
	$(BIN)/pytest $(LEARNING)

unit-rest: .venv/.dev
	$(BIN)/pytest tests/unit $(addprefix --ignore ,$(LEARNING))

integration: .venv/.dev ## tests against real Ray and MLflow processes on loopback
	$(BIN)/pytest tests/integration

e2e: .venv/.dev ## a real Kubernetes API judges every object of both stacks (KUBECONFIG)
	$(BIN)/pytest tests/e2e --ignore tests/e2e/lifecycle

lifecycle: .venv/.dev ## one stack through its whole life on a real cluster, with the real engine (KUBECONFIG)
	$(BIN)/pytest tests/e2e/lifecycle/test_lifecycle.py

faults: .venv/.dev ## the same engine and cluster: updates broken off and taken up again, one of two workers killed (KUBECONFIG)
	$(BIN)/pytest tests/e2e/lifecycle/test_faults.py

bench: .venv/.dev ## measure against peers, into docs/benchmarks: predictor, server, swaps, jobs, training (wrk; half an hour)
	$(BIN)/python -m tests.benchmark.predictor
	$(BIN)/python -m tests.benchmark.serving
	$(BIN)/python -m tests.benchmark.swap
	$(BIN)/python -m tests.benchmark.submission
	$(BIN)/python -m tests.benchmark.training

docs: .venv/.dev ## write docs/reference from the code: configuration, command line, HTTP API
	$(BIN)/python -m scripts.reference

lock: .venv/.dev ## rewrite requirements/*.txt from pyproject.toml (UPGRADE=1 takes newer versions)
	$(LOCK) pyproject.toml --extra dvc --group dev --fork-strategy fewest $(if $(UPGRADE),--upgrade) -o requirements/dev.txt
	$(LOCK) pyproject.toml --group build -c requirements/dev.txt -o requirements/app.txt
	$(LOCK) --group infra -c requirements/dev.txt -o requirements/infra.txt
	$(LOCK) --group mlflow -o requirements/mlflow.txt
	for peer in bentoml litserve mlserver; do $(LOCK) --group $$peer -o requirements/benchmark/$$peer.txt; done

clean: ## remove the virtual environment and the local platform's state; keep the passphrase and the settings of stacks
	@scripts/clean

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "manta needs Python 3.11 or newer: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv .venv

.venv/.app: .venv/bin/python requirements/app.txt pyproject.toml
	$(INSTALL) --require-hashes -r requirements/app.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.infra: .venv/.app requirements/infra.txt
	$(INSTALL) --require-hashes -r requirements/infra.txt
	@touch $@

.venv/.dev: .venv/.app requirements/dev.txt
	$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@
