# One menu for people, CI and the delivery pipeline. `make` alone prints it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := 0.13.9
LOCK    = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
          --no-emit-package pip --custom-compile-command "make lock" --quiet
export PYTHONPATH := $(CURDIR)

.PHONY: help
help: ## print this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@printf '\n%s\n' 'Variables: ONCE=1 (run: promote to production too, then stop)  DATASET=path/to/dataset.toml (run: your own table)' \
	  '           PYTHON=python3.12 (the interpreter for .venv)  *_PORT=n (run: see README, "Ports")'

.DEFAULT:
	@echo "there is no 'make $@'; the menu:" >&2; $(MAKE) help >&2; exit 2

# ---- the local cloud ------------------------------------------------------------------------------------------------

.PHONY: run
run: $(VENV)/.local-installed ## the whole flow on this computer: train, validate, serve; Ctrl-C stops it
	@exec $(BIN)/python -m infra.local.up $(if $(filter 1 true yes,$(ONCE)),--once) $(if $(DATASET),--dataset "$(DATASET)")

.PHONY: retrain
retrain: $(VENV)/.local-installed ## run the weekly training job now (after `source .local/env`: on the local cloud)
	@$(BIN)/python -m infra.operate.retrain $(if $(JOB),--job "$(JOB)")

.PHONY: history promote rollback
history: $(VENV)/.local-installed ## what served, since when and why (STAGE=production AT=2026-11-01T00:00:00Z)
	@$(BIN)/python -m infra.operate.history $(if $(STAGE),--stage "$(STAGE)") $(if $(AT),--at "$(AT)")

promote: $(VENV)/.local-installed ## let production serve what staging serves, and wait for the verdict
	@$(BIN)/python -m infra.operate.promote $(if $(WAIT),--wait "$(WAIT)")

rollback: $(VENV)/.local-installed ## let production serve what it served before (TO=run_id: an older run)
	@$(BIN)/python -m infra.operate.rollback $(if $(TO),--to "$(TO)") $(if $(WAIT),--wait "$(WAIT)")

.PHONY: mlflow
mlflow: $(VENV)/.local-installed ## open every run in MLflow's own page (BUCKET=...: the runs of a deployment)
	@exec $(BIN)/python -m infra.operate.experiments $(if $(MLFLOW_PORT),--port "$(MLFLOW_PORT)")

.PHONY: clean-local
clean-local: ## forget the local cloud's state: bucket, runs, logs
	@if [ -f .local/up.pid ] && kill -0 "$$(cat .local/up.pid)" 2>/dev/null; then \
	  echo "the local cloud is running (process $$(cat .local/up.pid)): stop it with Ctrl-C first" >&2; exit 1; fi
	rm -rf .local

# ---- training at a desk ---------------------------------------------------------------------------------------------

.PHONY: train
train: $(VENV)/.local-installed ## train on a file without any cloud: DATASET=path/to/dataset.toml OUT=folder
	@test -n "$(DATASET)" -a -n "$(OUT)" || { echo "usage: make train DATASET=path/to/dataset.toml OUT=folder" >&2; exit 2; }
	@exec $(BIN)/python -m functions.train.desk train "$(DATASET)" "$(OUT)" $(if $(JOBS),--jobs "$(JOBS)") \
	  $(if $(BUDGET),--budget "$(BUDGET)")

.PHONY: check-data
check-data: $(VENV)/.local-installed ## read a table and say everything that is wrong with it: DATASET=path/to/dataset.toml
	@test -n "$(DATASET)" || { echo "usage: make check-data DATASET=path/to/dataset.toml" >&2; exit 2; }
	@exec $(BIN)/python -m functions.train.desk check "$(DATASET)"

# ---- quality --------------------------------------------------------------------------------------------------------

# Two processes share the suite by files, since the tests of a file share what they start; the short files come last.
# The tests start processes themselves, so that more workers are no faster. One process: make test ARGS=-n0
WORKERS = -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: test
test: lint $(VENV)/.terraform-installed ## everything: lint, types, unit, contract, function, journey, browser and infra tests
	@$(BIN)/pytest $(WORKERS) $(ARGS)

.PHONY: lint
lint: $(VENV)/.tests-installed ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run 'make format'" >&2; exit 1; }
	@$(BIN)/mypy shared functions infra tests

.PHONY: format
format: $(VENV)/.tests-installed ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

.PHONY: lock
lock: $(VENV)/.uv-installed ## compile every requirements.txt from pyproject.toml (UPGRADE=1: to the newest versions)
	@$(LOCK) $(if $(UPGRADE),--upgrade) --extra dev -o tests/requirements.txt
	@$(LOCK) $(if $(UPGRADE),--upgrade) --extra terraform -o tests/infra/requirements.txt
	@for fn in train validate predict; do \
	  $(LOCK) --extra $$fn -c tests/requirements.txt -o functions/$$fn/requirements.txt; done
	@$(LOCK) --extra local -c tests/requirements.txt -o infra/local/requirements.txt

# ---- a live service --------------------------------------------------------------------------------------------------

.PHONY: smoke
smoke: ## check a deployed service: URL=https://… [TOKEN=identity token of a private one]
	@TOKEN="$(TOKEN)" $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m tests.smoke "$(URL)"

.PHONY: bench
bench: $(VENV)/.tests-installed ## measure serving against FastAPI + pandas + scikit-learn and a hello function (needs wrk)
	@$(BIN)/python -m tests.bench.serving
	@echo; echo "60 s at 64 connections, 5 % bad requests, another model every 5 s:"; $(BIN)/python -m tests.bench.soak 60

.PHONY: bench-train
bench-train: $(VENV)/.tests-installed ## measure training: the plain search and ours, a whole run, tables up to 100,000 rows (ARGS=--search)
	@$(BIN)/python -m tests.bench.training $(ARGS)

# ---- delivery -------------------------------------------------------------------------------------------------------

.PHONY: bundle
bundle: $(VENV)/.local-installed ## build/FN.zip, what a function is deployed from: FN=train|validate|predict (default: all)
	@$(BIN)/python -m infra.delivery.bundles $(or $(FN),train validate predict)

.PHONY: image-test
image-test: $(VENV)/.tests-installed ## build the predict image, run it read-only without root, make smoke against it
	@$(BIN)/pytest -s tests/infra/test_image.py

PYTHON_HERE = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
WHERE       = --project="$(PROJECT)" --region="$(REGION)" $(if $(NAME),--name="$(NAME)")
DEPLOYMENT  = test -n "$(PROJECT)" -a -n "$(REGION)" || { \
              echo "say where: make $@ PROJECT=my-project REGION=europe-west1 [NAME=tabular]" >&2; exit 2; }

.PHONY: doctor deploy plan release destroy
doctor: ## what this computer lacks, and with PROJECT=… REGION=… what that project lacks; how to mend it
	@exec $(PYTHON_HERE) -m infra.delivery.doctor $(if $(PROJECT),--project="$(PROJECT)") $(if $(REGION),--region="$(REGION)")

deploy: ## deploy to Google Cloud, or go on: PROJECT=… REGION=… [DATASET=path/to/dataset.toml]
	@$(DEPLOYMENT)
	@exec $(PYTHON_HERE) -m infra.delivery.deploy $(WHERE) $(if $(DATASET),--dataset "$(DATASET)")

plan: ## show what deploy would change in the infrastructure: PROJECT=… REGION=…
	@$(DEPLOYMENT)
	@exec $(PYTHON_HERE) -m infra.delivery.plan $(WHERE)

release: ## let production serve the image that staging tested for this commit: PROJECT=… REGION=… [PERCENT=10] [BACK=1]
	@$(DEPLOYMENT)
	@exec $(PYTHON_HERE) -m infra.delivery.release $(WHERE) --commit="$$(git rev-parse HEAD)" \
	  --repository="$(REGION)-docker.pkg.dev/$(PROJECT)/$(or $(NAME),tabular)" \
	  $(if $(PERCENT),--percent="$(PERCENT)") $(if $(filter 1 true yes,$(BACK)),--back)

destroy: ## take a deployment down: PROJECT=… REGION=… [YES=1: do not ask] [DATA=1: data and models too]
	@$(DEPLOYMENT)
	@exec $(PYTHON_HERE) -m infra.delivery.destroy $(WHERE) $(if $(filter 1 true yes,$(YES)),--yes) \
	  $(if $(filter 1 true yes,$(DATA)),--data)

# ---- installing -----------------------------------------------------------------------------------------------------
# Locked files are installed on top of each other, never removed: run and test share one environment.

$(VENV)/.uv-installed: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null | grep . || echo not one). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "making $(VENV) failed: on Debian and Ubuntu install python3-venv, then try again" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV) || { \
	  echo "installing uv $(UV) failed: check the network and the package index (pip config list), then try again" >&2; exit 1; }
	@touch $@

# uv is quick but knows nothing of a pip.conf; where it fails, pip installs the same hashed files. Compiling costs seconds
# once; uncompiled, every process that imports scikit-learn may spend 2.5 s more (always, where bytecode is not written).
# $(1): the locked file, $(2): the environment
define install
	@echo "installing $(1) into $(2) ..."
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(2)/bin/python --require-hashes -r $(1) || \
	  $(2)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) || { \
	  echo "installing $(1) failed: check the network and the package index, then run the same command again" >&2; exit 1; }
	@touch $@
endef

$(VENV)/.local-installed: infra/local/requirements.txt $(VENV)/.uv-installed
	$(call install,$<,$(VENV))

$(VENV)/.tests-installed: tests/requirements.txt $(VENV)/.uv-installed
	$(call install,$<,$(VENV))
	@touch $(VENV)/.local-installed

# The offline provider's protobuf and checkov's pins do not fit ours: an environment beside the other.
$(VENV)/.terraform-installed: tests/infra/requirements.txt $(VENV)/.uv-installed
	@test -x $(VENV)/terraform/bin/python || $(BIN)/python -m venv $(VENV)/terraform
	$(call install,$<,$(VENV)/terraform)
