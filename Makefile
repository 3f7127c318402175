# The commands of the project; `make` alone lists them. Everything happens in .venv.
#
# PIP_ARGS   more options for pip. torch is pinned; where pip would bring its CUDA build
#            (some GB), name PyTorch's CPU index:  make run PIP_ARGS="--extra-index-url <index>"
# BENCH      parts of `make bench`, with commas (all of them if not given)
# BENCH_SCALE  share of their full sizes and lengths that long parts of it run for (1 if not given)
# SCALE      parts of `make scale`, with commas (all of them if not given); BENCH_SCALE holds here too
# PYTHON     the interpreter that .venv is made with (3.11 or newer)
# STEPS, SEED  how many steps `make stateful` takes, and which
# PORT       where `make run` serves
# DATA       a folder of your own data for `make run`, as of `magnet run --data`
# TESTERS    processes that run the tests; many tests wait for servers, hence one more than processors

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
PIP_ARGS ?=
PORT ?= 8000
BENCH ?=
SCALE ?=
DATA ?=
STEPS ?= 10000
SEED ?= 1
TESTERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
export PORT

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --progress-bar off
# Of what pip says: a line for each package that is fetched, and one before the long silence at its end.
NAMES := sed -nuE 's/^Collecting ([A-Za-z0-9._-]+(==[^ ;]+)?).*/  \1/p; s/^Installing collected packages.*/  unpacking all of them, which takes longest/p'
PINS := pyproject.toml constraints.txt client/pyproject.toml
VENV := $(BIN)/.made
RUNTIME := $(BIN)/.runtime
ENCODERS := $(BIN)/.encoders
DEV := $(BIN)/.dev
RELEASE := $(BIN)/.release
PEERS := $(BIN)/.peers
SUPPLY_BIN := .venv/supply/bin
SUPPLY := $(SUPPLY_BIN)/.made

.PHONY: help run retrain setup install test check lint format e2e stateful kill cron ray month rehearse up benchmark bench scale audit sbom docs release clean

help: ## list the commands
	@sed -nE 's/^([a-z0-9]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(RUNTIME) ## sample data -> train -> publish -> serve at PORT (Ctrl-C stops everything)
	@exec $(BIN)/magnet run $(if $(DATA),--data '$(DATA)')

retrain: $(RUNTIME) ## one retraining for what `make run` serves (while it runs)
	@$(BIN)/python -m deploy.local.retrain

setup: $(ENCODERS) ## make .venv with the command `magnet` and all it needs, encoders included
	@echo "Ready. In every new terminal: source '$(CURDIR)/$(BIN)/activate'    then: magnet --help"

install: $(DEV) ## make .venv with everything, development tools included

test: check ## set up, then run every check there is

check: lint ## lint, types, architecture and all tests
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile

lint: $(DEV) ## format, style, types and import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## rewrite the code in the project's format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

messy: $(DEV) ## N messy shops from seeds through `magnet import` (N=2000: minutes)
	MESSY=$(or $(N),2000) $(BIN)/python -m pytest -s tests/training/ingest/test_messy.py

e2e: $(DEV) ## only the tests of the main job, over real sockets
	$(BIN)/python -m pytest -m e2e

stateful: $(DEV) ## STEPS calls and faults in any order (SEED), beside a model of what must be true
	SHRINK=1 PATIENCE=300 STEPS=$(STEPS) SEED=$(SEED) $(BIN)/python -m pytest --timeout 0 -rP tests/service/api/stateful

rehearse: $(DEV) ## docker-compose.yml without an engine: images made, stack up, checked (root; minutes)
	$(BIN)/python -m tests.rehearsal

up: ## everything in containers, by docker compose; docs/operations.md
	sh deploy/secrets.sh
	docker compose up --build --detach

kill: $(DEV) ## a retraining killed before sixty of its steps (minutes)
	$(BIN)/python -m pytest -m kill

cron: $(DEV) ## a cron daemon with a one-minute schedule, until a new version is served (minutes)
	$(BIN)/python -m pytest -m cron

ray: $(DEV) ## the offline half on a Ray cluster of two nodes, one of them killed (minutes)
	$(BIN)/python -m pytest -m ray

month: $(RUNTIME) ## thirty nights of feedback and retraining on the sample; rewrites docs/lifecycle.md
	$(BIN)/python -m deploy.benchmarks.lifecycle --plot docs/month-ml-100k.svg --document docs/lifecycle.md

benchmark: $(RUNTIME) ## MAGNET beside tuned baselines on the sample; rewrites docs/benchmarks.md
	$(BIN)/python -m deploy.local.sample
	$(BIN)/magnet benchmark --data .magnet/data/ml-100k --seeds 3 --document docs/benchmarks.md

bench: $(PEERS) ## the service beside its floors and peers; writes bench.json and docs/benchmarks.md
	$(BIN)/python -m deploy.benchmarks.serving $(if $(BENCH),--parts $(BENCH)) --document docs/benchmarks.md

scale: $(DEV) ## how time and memory grow with the data; writes scale.json and docs/scaling.md
	$(BIN)/python -m deploy.benchmarks.scaling $(if $(SCALE),--parts $(SCALE)) --document docs/scaling.md

audit: $(SUPPLY) ## known vulnerabilities of every pinned library (asks PyPI)
	@$(SUPPLY_BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r constraints.txt \
		|| { echo "Not passed: either the lines above name a vulnerability, or PyPI could not be asked about every library (it takes the network)." >&2; exit 1; }

sbom: $(RUNTIME) $(SUPPLY) ## what is in .venv, as CycloneDX: writes sbom.cdx.json
	@$(SUPPLY_BIN)/cyclonedx-py environment --output-reproducible --output-file sbom.cdx.json .venv
	@echo "Written: sbom.cdx.json. The images have theirs in /app/sbom.cdx.json."

release: ## everything of a release but the upload, in dist/ (SKIP_TESTS="why" leaves `make test` out)
	@sh deploy/release.sh --check
	@$(MAKE) $(RELEASE)
	@sh deploy/release.sh

docs: $(DEV) ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove .venv, caches and everything that `make run` made
	rm -rf .venv .magnet site dist client/typescript/dist client/typescript/node_modules .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV):
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: install python3.11 (Debian, Ubuntu: sudo apt install python3.11 python3.11-venv; macOS: brew install python@3.11), or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian, Ubuntu: sudo apt install python3-venv, or python3.11-venv for python3.11)" >&2; exit 1; }
	@echo "Making .venv with $(PYTHON)"
	@"$(PYTHON)" -m venv .venv
	@$(PIP) install --quiet $(PIP_ARGS) 'pip>=25.1'
	@touch $@

$(RUNTIME): $(VENV) $(PINS) $(wildcard model/runtime/native/*.[ch])
	@echo "Installing what training and serving need into .venv (the first time takes minutes)"
	@$(INSTALL) $(PIP_ARGS) -c constraints.txt -e '.[service,training,local]' -e ./client | $(NAMES)
	@$(BIN)/python -m model.runtime.native.build >/dev/null || true
	@touch $@

$(ENCODERS): $(RUNTIME)
	@echo "Installing the encoders of texts and pictures into .venv"
	@$(INSTALL) $(PIP_ARGS) -c constraints.txt -e '.[encoders]' | $(NAMES)
	@touch $@

$(DEV): $(ENCODERS)
	@echo "Installing the development tools into .venv"
	@$(INSTALL) $(PIP_ARGS) -c constraints.txt -e '.[large,otel,ray]' --group dev | $(NAMES)
	@touch $@

$(RELEASE): $(DEV)
	@echo "Installing what checks a release into .venv"
	@$(INSTALL) $(PIP_ARGS) -c constraints.txt --group release | $(NAMES)
	@touch $@

$(PEERS): $(DEV)
	@echo "Installing what the service is compared with into .venv"
	@$(INSTALL) $(PIP_ARGS) -c constraints.txt --group bench | $(NAMES)
	@touch $@

$(SUPPLY): $(VENV) deploy/supply-requirements.txt
	@echo "Installing what looks at the supply chain into .venv/supply"
	@"$(PYTHON)" -m venv .venv/supply
	@$(SUPPLY_BIN)/python -m pip --disable-pip-version-check install --quiet $(PIP_ARGS) -r deploy/supply-requirements.txt
	@touch $@
