# The project's own commands. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
EMULATOR := .tools/emulator
SAM := .tools/sam
ACCEPT := .tools/accept
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
LAYER := layers/novaloop
export SAM_CLI_TELEMETRY := 0
export AWS_EC2_METADATA_DISABLED := true
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check conformance format unit e2e accept build validate docs lock sbom bench-metrics bench-control-plane bench-live bench-ingest bench-ingest-memory bench-ingest-cloud bench-reward bench-labels bench-start-up calibration chaos chaos-catches mutants fuzz clean

help:  ## List the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 21

setup:  ## Install what the project needs, into this folder only
	@test -e .aws-sam/.ready || echo "Setting up in four steps, once; it takes a minute or two"
	@$(MAKE) --silent --jobs=3 .aws-sam/.ready

# pip wants a hash of everything as soon as a constraint has one, also of what is only for development.
$(VENV)/.ready: pyproject.toml $(LAYER)/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Novaloop needs Python 3.11 or newer; set PYTHON=python3.13, for example")'
	@echo "1/4 Installing what the project and its tests import into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@grep -o '^[^ #]*==[^ ]*' $(LAYER)/requirements.txt > $(VENV)/constraints.txt
	@$(BIN)/python $(PIP_INSTALL) --editable '.[dev]' --constraint $(VENV)/constraints.txt
	@echo "1/4 done"
	@touch $@

# The emulator pins its own botocore, and the SAM CLI its own everything: each gets an environment.
$(EMULATOR)/.ready: localcloud/requirements.txt
	@echo "2/4 Installing the AWS emulator into $(EMULATOR)"
	@$(PYTHON) -m venv $(EMULATOR)
	@$(EMULATOR)/bin/python $(PIP_INSTALL) --requirement $<
	@echo "2/4 done"
	@touch $@

$(SAM)/.ready: localcloud/requirements-sam.txt
	@echo "3/4 Installing the SAM CLI into $(SAM)"
	@$(PYTHON) -m venv $(SAM)
	@$(SAM)/bin/python $(PIP_INSTALL) --requirement $<
	@echo "3/4 done"
	@touch $@

# Builds the layer for this machine once, so that the local cloud starts from SAM's cache.
.aws-sam/.ready: $(VENV)/.ready $(EMULATOR)/.ready $(SAM)/.ready
	@echo "4/4 Building the layer for the local cloud"
	@$(BIN)/python -c 'from pathlib import Path; from novaloop_localcloud.deployment import build; \
		build(Path("template.yaml"), Path("/dev/null"))'
	@echo "4/4 done"
	@touch $@

# A folder that is not there is told before anything is installed.
demo:  ## Run a whole experiment here, without AWS; DATA=DIR
	@test -z "$(DATA)" -o -d "$(DATA)" || { echo "DATA=$(DATA): there is no such folder" >&2; exit 2; }
	@$(MAKE) --silent setup
	$(BIN)/novaloop demo $(if $(DATA),--data "$(DATA)")

test: check unit e2e  ## Everything that must pass

check: setup validate  ## Formatting, lint, types, import contracts, template
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

validate: setup  ## Lint the SAM template, and what it transforms to
	$(SAM)/bin/sam validate --lint --template template.yaml --region us-east-1
	$(BIN)/pytest -q tests/template

# There are as many processes as cores already.
unit: export OPENBLAS_NUM_THREADS := 1
unit: setup  ## Unit, integration and simulation tests, a short fuzz run
	@$(MAKE) --silent .tools/fuzz/.ready || echo "No fuzzer for this machine: its short runs are skipped."
	$(BIN)/pytest -q -n auto --dist worksteal -m "not e2e and not accept" tests

conformance: setup  ## Compare with the Nova Forge SDK, in one table
	$(BIN)/python -m tests.conformance

e2e: setup  ## The whole application on the local cloud
	$(BIN)/pytest -q -n 4 --dist loadfile --no-loadscope-reorder tests/e2e

# The emulator binds to every address: it gets a network of its own, in which there is only loopback.
accept: setup $(ACCEPT)/.ready  ## Deploy and run it all in a second, foreign emulator
	@$(BIN)/python -m tests.accept.machine > /dev/null
	@echo "Building the application for it"
	@$(BIN)/python -c 'from tests.accept.cloud import build; build()'
	$(BIN)/python -m tests.accept.namespace $(BIN)/pytest -q -x --durations=0 tests/accept

$(ACCEPT)/.ready: tests/accept/requirements.txt tests/accept/requirements-lambda.txt
	@python=$$($(PYTHON) -m tests.accept.machine) && $$python -m venv $(ACCEPT)
	@echo "Installing the second emulator into $(ACCEPT)"
	@$(ACCEPT)/bin/python $(PIP_INSTALL) --requirement $<
	@$(ACCEPT)/bin/python $(PIP_INSTALL) --target $(ACCEPT)/lambda --requirement $(word 2,$^)
	@cd $(ACCEPT) && npm pack --silent amplify-dynamodb-simulator@2.9.30 | xargs tar -xzf
	@touch $@

format: setup  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

build: setup  ## Build what `sam deploy` deploys
	$(SAM)/bin/sam build

docs: setup  ## Write the generated parts of docs/
	$(BIN)/novaloop schema --write docs

# One version of each package for every Python from the oldest that is promised, for the environment
# of development is held to the layer's; with the hashes of every file, since the local cloud
# installs others of the same versions. `make build` then takes those of the layer's own target.
lock: .tools/lock/.ready  ## Renew the layer's pinned requirements and their hashes
	cd $(LAYER) && UV_PYTHON_DOWNLOADS=never $(CURDIR)/.tools/lock/bin/uv pip compile requirements.in \
		--upgrade --quiet --generate-hashes --only-binary :all: \
		--universal --python-version 3.11 --fork-strategy fewest \
		--no-annotate --no-emit-index-url --custom-compile-command "make lock" --output-file requirements.txt

# Of the layer's files as they are deployed: installed for its machine, and only looked at on this one.
sbom: .tools/lock/.ready  ## Write build/sbom.json and docs/licences.md
	rm -rf build/sbom
	$(PYTHON) -m venv --without-pip build/sbom
	cd $(LAYER) && PYTHON=$(PYTHON) $(MAKE) --silent requirements TARGET="$$(echo $(CURDIR)/build/sbom/lib/python3*/site-packages)"
	.tools/lock/bin/cyclonedx-py environment --output-reproducible --of JSON --output-file build/sbom.json build/sbom/bin/python
	$(PYTHON) $(LAYER)/licences.py build/sbom.json > build/licences.md
	mv build/licences.md docs/licences.md

.tools/lock/.ready: $(LAYER)/requirements-lock.txt
	@$(PYTHON) -m venv .tools/lock
	@.tools/lock/bin/python $(PIP_INSTALL) --requirement $<
	@touch $@

chaos: $(VENV)/.ready  ## Simulate random experiments; RUNS=1000 SEED=0
	$(BIN)/python -m tests.simulation.chaos --runs $(or $(RUNS),1000) --seed $(or $(SEED),0)

chaos-catches: $(VENV)/.ready  ## Take each mend out, let chaos find it; RUNS=300
	$(BIN)/python -m tests.simulation.catches --runs $(or $(RUNS),300) --seed $(or $(SEED),0)

mutants: $(VENV)/.ready  ## Break each guard, let its test notice; ONLY=gate
	$(BIN)/python -m tests.mutants --jobs 2 --only "$(ONLY)"

bench-metrics: $(VENV)/.ready .tools/bench-metrics/.ready  ## Time metrics against lighteval and others
	$(BIN)/python benchmarks/metrics.py

.tools/bench-metrics/.ready: benchmarks/metrics.py
	$(PYTHON) benchmarks/metrics.py --install
	@touch $@

bench-control-plane: setup  ## Count an experiment's calls and their cost
	$(BIN)/python -m benchmarks.control_plane

bench-live: $(VENV)/.ready  ## Count the days of live experiments; EXPERIMENTS=2000
	$(BIN)/python -m benchmarks.live --experiments $(or $(EXPERIMENTS),1) --days $(or $(DAYS),40)

bench-ingest: setup  ## Time ingest; MB=200 PEER_PYTHON=python3.12
	$(BIN)/python benchmarks/ingest.py --mb $(or $(MB),200) $(if $(PEER_PYTHON),--peer-python $(PEER_PYTHON))

bench-ingest-memory: $(VENV)/.ready  ## Memory of ingest on 100 MB and on 2 GB
	$(BIN)/python benchmarks/ingest.py --memory

bench-ingest-cloud: setup  ## Drop a CSV into the local cloud; MB=200
	$(BIN)/python benchmarks/ingest_cloud.py --mb $(or $(MB),200)

bench-reward: $(VENV)/.ready  ## Time the reward function against a plain one
	$(BIN)/python benchmarks/reward.py

bench-labels: $(VENV)/.ready  ## Read 1,500 answers; count the labels read right
	$(BIN)/python benchmarks/labels.py

bench-start-up: $(VENV)/.ready  ## CPU seconds of each function's imports
	$(BIN)/python -m benchmarks.start_up

calibration: $(VENV)/.ready  ## How often tests and health checks are wrong; RUNS=20000
	$(BIN)/python -m benchmarks.calibration --runs $(or $(RUNS),20000)
	$(BIN)/python -m benchmarks.health

fuzz: .tools/fuzz/.ready  ## Feed ingest and rewards odd bytes; SECONDS=3600
	@for check in convert records reward; do \
		mkdir -p .tools/fuzz/corpus/$$check; \
		.tools/fuzz/bin/python tests/fuzz/fuzz.py $$check -max_total_time=$(or $(SECONDS),60) \
			.tools/fuzz/corpus/$$check tests/fuzz/seeds/$$check || exit 1; \
	done

# Compiled against libFuzzer, with wheels for Linux: not among the requirements of development.
.tools/fuzz/.ready: Makefile $(LAYER)/requirements.txt
	$(PYTHON) -m venv .tools/fuzz
	.tools/fuzz/bin/python $(PIP_INSTALL) --requirement $(LAYER)/requirements.txt
	.tools/fuzz/bin/python $(PIP_INSTALL) --only-binary atheris 'atheris>=3,<4'
	@touch $@

clean:  ## Remove everything that the other commands made
	rm -rf .venv* .tools .aws-sam .novaloop build *-report *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
