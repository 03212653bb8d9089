PYTHON ?= python3
BIN := .venv/bin
# With UV=uv, uv installs the packages instead of pip, which is slower.
install = $(if $(UV),$(UV) pip install --quiet --python $(1)/bin/python,$(1)/bin/python -m pip install --quiet --disable-pip-version-check)
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --quiet \
	--no-emit-index-url --custom-compile-command "make lock"

# The extras that read model formats. An image installs those in `imageExtras`.
MODEL_EXTRAS := xgboost lightgbm onnx

# GNU make of macOS has no --output-sync, so the output of the two processes is mixed there.
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.DEFAULT_GOAL := help
.PHONY: help run up down test lint format types unit unit-app unit-rest integration integration-platform integration-servers hostile e2e lifecycle faults watched site bench docs screenshots lock clean

help: ## show the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: .venv/.app ## start the platform on this machine: train, load, predict (ONCE=1 stops after that; ARGS='--serve-port 8001')
	@$(BIN)/manta local $(if $(ONCE),--once) $(ARGS)

up: .venv/.infra ## create or update the stack dev on Minikube and keep tunnels open (STACK=name for another stack)
	@scripts/up

down: .venv/.infra ## destroy the stack dev (STACK=name for another stack)
	@scripts/down

test: lint types unit integration ## every check that needs no cluster: lint, types, unit and integration tests

lint: .venv/.dev ## check formatting, lint rules and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache --no-logo

format: .venv/.dev ## format the code and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: .venv/.dev ## check types with mypy
	$(BIN)/mypy

# The unit tests that import the machine-learning libraries.
LEARNING := $(addprefix tests/unit/app/,models serving training)

unit: .venv/.dev ## unit tests, in two processes: no network, no Ray
	@$(MAKE) --no-print-directory --jobs 2 $(SYNC) unit-app unit-rest

unit-app: .venv/.dev
	$(BIN)/pytest $(LEARNING)

unit-rest: .venv/.dev
	$(BIN)/pytest tests/unit $(addprefix --ignore ,$(LEARNING))

# One process has the tests that share a running platform, the other one those that start servers of their own. Their output
# is mixed, because both take many minutes.
integration: .venv/.dev .venv/.stores .venv/.clients .venv/.sign-in ## integration tests, in two processes: real Ray and MLflow on this machine
	@$(MAKE) --no-print-directory --jobs 2 integration-platform integration-servers

integration-platform: .venv/.dev .venv/.stores .venv/.clients
	$(BIN)/pytest tests/integration -m platform

integration-servers: .venv/.dev .venv/.stores .venv/.clients .venv/.sign-in
	$(BIN)/pytest tests/integration -m "not platform"

hostile: .venv/.dev ## requests and model files that try to take the platform on this machine down (eight minutes)
	$(BIN)/pytest tests/hostile

e2e: .venv/.dev ## a real Kubernetes API server validates every object of both stacks (KUBECONFIG)
	$(BIN)/pytest tests/e2e --ignore tests/e2e/lifecycle

lifecycle: .venv/.dev ## one stack on a real cluster, from pulumi up to pulumi destroy (KUBECONFIG)
	$(BIN)/pytest tests/e2e/lifecycle/test_lifecycle.py

faults: .venv/.dev ## on a real cluster: kill updates and repeat them, kill one of two workers (KUBECONFIG)
	$(BIN)/pytest tests/e2e/lifecycle/test_faults.py

watched: .venv/.dev ## a stack with Prometheus, and a model whose score falls, until another one serves (KUBECONFIG)
	$(BIN)/pytest tests/e2e/lifecycle/test_watching.py

site: .venv/.dev .venv/.stores .venv/.sign-in ## stacks in a shared cluster, and with services of a site on two nodes: drain, cut, change credentials (KUBECONFIG)
	$(BIN)/pytest tests/e2e/lifecycle/test_shared_cluster.py tests/e2e/lifecycle/test_site.py

bench: .venv/.dev ## measure, and write docs/benchmarks (needs wrk; two hours)
	$(BIN)/python -m tests.benchmark.predictor
	$(BIN)/python -m tests.benchmark.serving
	$(BIN)/python -m tests.benchmark.swap
	$(BIN)/python -m tests.benchmark.submission
	$(BIN)/python -m tests.benchmark.catalog
	$(BIN)/python -m tests.benchmark.training
	$(BIN)/python -m tests.benchmark.rollout
	$(BIN)/python -m tests.benchmark.live_rollout
	$(BIN)/python -m tests.benchmark.recording
	$(BIN)/python -m tests.benchmark.drift

docs: .venv/.dev ## write docs/reference from the code: configuration, command line, HTTP API
	$(BIN)/python -m scripts.reference

screenshots: .venv/.dev ## take the screenshots of the docs from the platform that runs in this folder (needs Chromium)
	$(BIN)/python -m scripts.screenshots

lock: .venv/.dev ## rewrite requirements/*.txt from pyproject.toml (UPGRADE=1 takes newer versions)
	$(LOCK) pyproject.toml --extra dvc $(addprefix --extra ,$(MODEL_EXTRAS)) --group dev --fork-strategy fewest $(if $(UPGRADE),--upgrade) -o requirements/dev.txt
	$(LOCK) pyproject.toml --group build -c requirements/dev.txt -o requirements/app.txt
	$(LOCK) --group infra -c requirements/dev.txt -o requirements/infra.txt
	$(LOCK) --group mlflow -o requirements/mlflow.txt
	$(LOCK) --group mlflow --group sign-in -c requirements/mlflow.txt -o requirements/sign-in.txt
	$(LOCK) --group stores -o requirements/stores.txt
	$(LOCK) --group clients -o requirements/clients.txt
	for extra in $(MODEL_EXTRAS); do $(BIN)/python -c 'import sys, tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]], sep="\n")' $$extra \
		| $(LOCK) - -c requirements/dev.txt -o requirements/extras/$$extra.txt; done
	for peer in bentoml litserve mlserver; do $(LOCK) --group $$peer -o requirements/benchmark/$$peer.txt; done

clean: ## remove .venv and the local platform's state; keep the passphrase and the settings of stacks
	@scripts/clean

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "manta needs Python 3.11 or newer: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv .venv

.venv/.app: .venv/bin/python requirements/app.txt pyproject.toml
	$(call install,.venv) --require-hashes -r requirements/app.txt
	$(call install,.venv) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.infra: .venv/.app requirements/infra.txt
	$(call install,.venv) --require-hashes -r requirements/infra.txt
	@touch $@

.venv/.dev: .venv/.app requirements/dev.txt
	$(call install,.venv) --require-hashes -r requirements/dev.txt
	@touch $@

# Servers of object stores for the integration tests, in an environment of their own.
.venv/.stores: .venv/bin/python requirements/stores.txt
	$(PYTHON) -m venv .venv/stores
	$(call install,.venv/stores) --require-hashes -r requirements/stores.txt
	@touch $@

# The packages of MLflow's image and an OpenID Connect provider for the integration tests.
.venv/.sign-in: .venv/bin/python requirements/sign-in.txt
	$(PYTHON) -m venv .venv/sign-in
	$(call install,.venv/sign-in) --require-hashes -r requirements/sign-in.txt
	@touch $@

# The clients of KServe and Triton for the integration tests, in an environment of their own: they need older versions of
# packages that the project uses.
.venv/.clients: .venv/bin/python requirements/clients.txt
	$(PYTHON) -m venv .venv/clients
	$(call install,.venv/clients) --require-hashes -r requirements/clients.txt
	@touch $@
