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

# A proxy cannot reach this computer's own addresses. Libraries differ in the spelling that they read first.
COMMA := ,
export NO_PROXY := 127.0.0.1,localhost$(if $(no_proxy)$(NO_PROXY),$(COMMA)$(or $(no_proxy),$(NO_PROXY)))
export no_proxy := $(NO_PROXY)

# A variable that no target reads is a slip, and what it was meant for would be done without it. The words of a value that
# hold a "=" are none: names are in capitals.
KNOWN := ALL ARGS AT BACK BUCKET BUDGET DATA DATASET FILE FN FORCE JOB JOBS JSON KEEP MLFLOW_PORT NAME ONCE OUT PERCENT PROJECT PYTHON REGION RUN STAGE \
         TARGET TO TOKEN UPGRADE URL WAIT WITH WORKERS YES PRODUCTION_PROJECT GIT_SHA MLFLOW_TRACKING_URI LOCAL_STATE LOCAL_BUCKET STORAGE_EMULATOR_HOST PRODUCTION_URL \
         PREDICT_PORT PREDICT_PRODUCTION_PORT TRAIN_PORT VALIDATE_PORT BATCH_PORT WATCH_PORT STORAGE_HTTP_PORT STORAGE_HTTPS_PORT \
         SCHEDULER_PORT CERTS_PORT SCHEDULER_HOST BOTO_CONFIG TRAIN_JOBS TRAIN_BUDGET_SECONDS TRAIN_BACKEND DASK_ADDRESS OIDC_AUDIENCE OIDC_CALLERS \
         REMEMBERED_ROWS MAX_BODY_BYTES MAX_BATCH_ROWS BODY_SECONDS
GIVEN := $(foreach word,$(MAKEOVERRIDES),$(if $(findstring =,$(word)),$(firstword $(subst =, ,$(word)))))
KNOWN += FULL TRAIN_FULL MODE DAYS THEN STOP BY WHY
STRANGE := $(filter-out $(KNOWN),$(GIVEN))
ifneq ($(STRANGE),)
SLIP := $(shell $(PYTHON) -c 'import difflib, re, sys; known, given = sys.argv[1].split(), sys.argv[2].split(); \
  print(*[f"no target reads {name}=" + (lambda near: f"; did you mean {near[0]}=?" if near else "")( \
  difflib.get_close_matches(name, known, 1)) for name in given if re.fullmatch("[A-Z][A-Z_]*", name)])' '$(KNOWN)' '$(STRANGE)')
ifneq ($(SLIP),)
$(error $(SLIP))
endif
endif

# A switch that is neither on nor off is a slip too. DATA= is a file elsewhere.
SWITCHES := ALL BACK FORCE FULL JSON ONCE STOP UPGRADE YES $(if $(filter destroy,$(MAKECMDGOALS)),DATA)
$(foreach name,$(filter $(SWITCHES),$(GIVEN)),$(if $(filter-out 1 true yes 0 false no,$($(name))),\
  $(error $(name)=$($(name)) is neither on nor off; give $(name)=1)))
on = $(filter 1 true yes,$($(1)))

# Every target of the menu is a command, whatever files are called.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' Makefile)
help: ## print this menu
	@awk -F ':.*## ' '/^## /{printf "\n%s\n", substr($$0, 4)} /^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@printf '\n%s\n' 'PYTHON=python3.12 names the interpreter for .venv; ports: infra/local/README.md'

.DEFAULT:
	@echo "there is no 'make $@'; the menu:" >&2; $(MAKE) help >&2; exit 2

## Try it, on this computer

run: ## train, validate, serve: all of it [ONCE=1 DATASET=x FULL=1]
	@$(call FILE_NEEDED,DATASET)
	@$(MAKE) -s $(VENV)/.local-installed
	@$(if $(call on,FULL),export TRAIN_FULL=1;) \
	exec $(BIN)/python -m infra.local.up $(if $(call on,ONCE),--once) $(if $(DATASET),--dataset "$(DATASET)")

# Three processes share the suite by files, since the tests of a file share what they start; the short files come last.
# Many of the long ones wait for processes that they start: with three, two processors are busy for seven eighths of the time.
# One process: make test ARGS=-n0
WORKERS = -n 3 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.uv-installed ## everything that is checked [ARGS="-n0 -x tests/unit"]
	@$(MAKE) -j 2 lint $(VENV)/.terraform-installed $(VENV)/.beam-installed $(VENV)/.clients-installed
	@$(BIN)/pytest $(WORKERS) $(ARGS)

clean-local: ## forget the local cloud's state: bucket, runs, logs
	@if [ -f .local/up.pid ] && kill -0 "$$(cat .local/up.pid)" 2>/dev/null; then \
	  echo "the local cloud is running (process $$(cat .local/up.pid)): stop it with Ctrl-C first" >&2; exit 1; fi
	rm -rf .local

## Your table

# What is asked of a caller comes before anything is installed.
NEEDS = test -n "$($(1))" || { echo "usage: make $@ $(2)" >&2; exit 2; }
FILE_NEEDED = test -z "$($(1))" || { test -d "$($(1))" && echo "make $@: $(1)='$($(1))' is a folder" >&2 && exit 2; \
  test -e "$($(1))" || { echo "make $@: there is no file $(1)='$($(1))'" >&2; exit 2; }; }

init: ## write a dataset.toml for a table: DATA=file TARGET=column
	@$(call NEEDS,DATA,DATA=path/to/table.csv TARGET=column)
	@$(call NEEDS,TARGET,DATA=path/to/table.csv TARGET=column)
	@$(call FILE_NEEDED,DATA)
	@$(MAKE) -s $(VENV)/.local-installed
	@exec $(BIN)/python -m functions.train.desk init "$(DATA)" "$(TARGET)" $(if $(OUT),--out "$(OUT)")

check-data: ## say everything that is wrong with a table: DATASET=file
	@$(call NEEDS,DATASET,DATASET=path/to/dataset.toml)
	@$(call FILE_NEEDED,DATASET)
	@$(MAKE) -s $(VENV)/.local-installed
	@exec $(BIN)/python -m functions.train.desk check "$(DATASET)"

train: ## without a cloud: DATASET=file OUT=folder [BUDGET=s FULL=1]
	@$(call NEEDS,DATASET,DATASET=path/to/dataset.toml OUT=folder)
	@$(call NEEDS,OUT,DATASET=path/to/dataset.toml OUT=folder)
	@$(call FILE_NEEDED,DATASET)
	@$(MAKE) -s $(VENV)/.local-installed
	@exec $(BIN)/python -m functions.train.desk train "$(DATASET)" "$(OUT)" $(if $(JOBS),--jobs "$(JOBS)") \
	  $(if $(BUDGET),--budget "$(BUDGET)") $(if $(call on,FULL),--full)

## Operate, here after `source .local/env` or on Google Cloud with BUCKET=name

status: $(VENV)/.local-installed ## what serves, the last training, what to do next [JSON=1]
	@$(BIN)/python -m infra.operate.status $(if $(call on,JSON),--json)

history: $(VENV)/.local-installed ## what served, since when, why [STAGE=x AT=2026-11-01 ALL=1]
	@$(BIN)/python -m infra.operate.history $(if $(STAGE),--stage "$(STAGE)") $(if $(AT),--at "$(AT)") \
	  $(if $(call on,ALL),--all)

compare: ## two runs side by side, on the same rows: RUN=a WITH=b
	@$(call NEEDS,RUN,RUN=run_id WITH=run_id)
	@$(call NEEDS,WITH,RUN=run_id WITH=run_id)
	@$(MAKE) -s $(VENV)/.local-installed
	@$(BIN)/python -m infra.operate.compare --run "$(RUN)" --other "$(WITH)"

reproduce: ## train a run again; say what differs: RUN=run_id
	@$(call NEEDS,RUN,RUN=run_id)
	@$(MAKE) -s $(VENV)/.local-installed
	@$(BIN)/python -m infra.operate.reproduce --run "$(RUN)" $(if $(JOBS),--jobs "$(JOBS)")

snapshots: $(VENV)/.local-installed ## data that runs were made of; what none refers to
	@$(BIN)/python -m infra.operate.snapshots

promote: $(VENV)/.local-installed ## production serves what staging serves; wait for the verdict
	@$(BIN)/python -m infra.operate.promote $(if $(WAIT),--wait "$(WAIT)")

rollback: $(VENV)/.local-installed ## production serves what it served before [TO=run_id]
	@$(BIN)/python -m infra.operate.rollback $(if $(TO),--to "$(TO)") $(if $(WAIT),--wait "$(WAIT)")

challenge: $(VENV)/.local-installed ## try it beside production's [MODE=canary PERCENT=10 STOP=1]
	@$(BIN)/python -m infra.operate.challenge $(if $(MODE),--mode "$(MODE)") $(if $(PERCENT),--percent "$(PERCENT)") \
	  $(if $(DAYS),--days "$(DAYS)") $(if $(THEN),--then "$(THEN)") $(if $(call on,STOP),--stop) \
	  $(if $(WAIT),--wait "$(WAIT)")

label: ## drop a file of labels; how the runs fare: FILE=march.csv
	@$(call NEEDS,FILE,FILE=path/to/labels.csv)
	@$(call FILE_NEEDED,FILE)
	@$(MAKE) -s $(VENV)/.local-installed
	@$(BIN)/python -m infra.operate.label "$(FILE)" $(if $(WAIT),--wait "$(WAIT)")

retrain: $(VENV)/.local-installed ## train now; wait for the verdict [JOB=name FORCE=1 WAIT=0]
	@$(BIN)/python -m infra.operate.retrain $(if $(JOB),--job "$(JOB)") $(if $(WAIT),--wait "$(WAIT)") \
	  $(if $(call on,FORCE),--force)

batch: ## answer a file: FILE=x.csv [KEEP=id STAGE=staging OUT=y.csv]
	@$(call NEEDS,FILE,FILE=path/to/rows.csv [KEEP=id STAGE=staging OUT=file])
	@$(call FILE_NEEDED,FILE)
	@$(MAKE) -s $(VENV)/.local-installed
	@$(BIN)/python -m infra.operate.batch "$(FILE)" $(if $(KEEP),--keep "$(KEEP)") $(if $(STAGE),--stage "$(STAGE)") \
	  $(if $(OUT),--out "$(OUT)") $(if $(WAIT),--wait "$(WAIT)")

evidently: $(VENV)/.local-installed $(VENV)/.evidently-installed ## labelled rows in Evidently's report [DAYS=7 OUT=x.html]
	@$(BIN)/python -m infra.evidently.week --python $(VENV)/evidently/bin/python $(if $(DAYS),--days "$(DAYS)") \
	  $(if $(OUT),--out "$(OUT)")

sql: ## query what is in the bucket: FILE=infra/sql/served.sql
	@$(call FILE_NEEDED,FILE)
	@$(MAKE) -s $(VENV)/.local-installed
	@$(BIN)/python -m infra.operate.sql $(if $(FILE),"$(FILE)")

mlflow: $(VENV)/.local-installed ## open every run in MLflow's own page [BUCKET=name]
	@exec $(BIN)/python -m infra.operate.experiments $(if $(MLFLOW_PORT),--port "$(MLFLOW_PORT)")

smoke: ## check a live service: URL=https://x [TOKEN=identity token]
	@$(call NEEDS,URL,URL=https://... [TOKEN=identity token of a private one])
	@TOKEN="$(TOKEN)" $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m tests.smoke "$(URL)"

## Deploy to Google Cloud: PROJECT=my-project REGION=europe-west1 [NAME=tabular]

PYTHON_HERE = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
WHERE       = --project="$(PROJECT)" --region="$(REGION)" $(if $(NAME),--name="$(NAME)")
PRODUCTION  = $(if $(PRODUCTION_PROJECT),--production-project="$(PRODUCTION_PROJECT)")
DEPLOYMENT  = test -n "$(PROJECT)" -a -n "$(REGION)" || { \
              echo "say where: make $@ PROJECT=my-project REGION=europe-west1 [NAME=tabular]" >&2; exit 2; }

doctor: ## what this computer lacks, and the project; how to mend it
	@exec $(PYTHON_HERE) -m infra.delivery.doctor $(if $(PROJECT),--project="$(PROJECT)") $(if $(REGION),--region="$(REGION)") $(PRODUCTION)

plan: ## show what deploy would change in the infrastructure
	@$(DEPLOYMENT)
	@exec $(PYTHON_HERE) -m infra.delivery.plan $(WHERE) $(PRODUCTION)

deploy: ## a tested staging [DATASET=file] [PRODUCTION_PROJECT=other]
	@$(DEPLOYMENT)
	@$(call FILE_NEEDED,DATASET)
	@exec $(PYTHON_HERE) -m infra.delivery.deploy $(WHERE) $(PRODUCTION) $(if $(DATASET),--dataset "$(DATASET)")

release: ## production serves the tested image [PERCENT=10] [BACK=1]
	@$(DEPLOYMENT)
	@exec $(PYTHON_HERE) -m infra.delivery.release $(WHERE) $(PRODUCTION) --commit="$$(git rev-parse HEAD)" \
	  --repository="$(REGION)-docker.pkg.dev/$(PROJECT)/$(or $(NAME),tabular)" \
	  $(if $(PERCENT),--percent="$(PERCENT)") $(if $(call on,BACK),--back)

destroy: ## take it down [YES=1: unasked, DATA=1: with data and models]
	@$(DEPLOYMENT)
	@exec $(PYTHON_HERE) -m infra.delivery.destroy $(WHERE) $(PRODUCTION) $(if $(call on,YES),--yes) \
	  $(if $(call on,DATA),--data)

## Develop

lint: $(VENV)/.tests-installed ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run 'make format'" >&2; exit 1; }
	@$(BIN)/mypy shared functions infra tests

format: $(VENV)/.tests-installed ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

lock: $(VENV)/.uv-installed ## compile requirements.txt from pyproject.toml [UPGRADE=1]
	@$(LOCK) $(if $(call on,UPGRADE),--upgrade) --extra dev -o tests/requirements.txt
	@$(LOCK) $(if $(call on,UPGRADE),--upgrade) --extra terraform -o tests/infra/requirements.txt
	@$(LOCK) $(if $(call on,UPGRADE),--upgrade) --extra beam -o functions/batch/flex/requirements.txt
	@$(LOCK) $(if $(call on,UPGRADE),--upgrade) --extra clients -o tests/clients/requirements.txt
	@$(LOCK) $(if $(call on,UPGRADE),--upgrade) --extra evidently -o infra/evidently/requirements.txt
	@$(LOCK) $(if $(call on,UPGRADE),--upgrade) --extra quality -c tests/requirements.txt -o tests/bench/requirements.txt
	@$(LOCK) $(if $(call on,UPGRADE),--upgrade) --extra audit -o infra/audit/requirements.txt
	@$(LOCK) $(if $(call on,UPGRADE),--upgrade) --extra sbom -c infra/audit/requirements.txt -o infra/audit/sbom.txt
	@for fn in train validate predict watch batch; do \
	  $(LOCK) --extra $$fn -c tests/requirements.txt -o functions/$$fn/requirements.txt; done
	@$(LOCK) --extra local -c tests/requirements.txt -o infra/local/requirements.txt

audit: $(VENV)/.tests-installed $(VENV)/.audit-installed ## known holes of what is locked, and their fixes
	@$(BIN)/python -m infra.audit.advisories

sbom: ## list what a function installs, as CycloneDX: FN=train
	@$(call NEEDS,FN,FN=predict)
	@$(MAKE) -s $(VENV)/.audit-installed
	@mkdir -p build && $(VENV)/audit/bin/cyclonedx-py requirements functions/$(FN)/requirements.txt --output-reproducible \
	  --short-PURLs -o build/$(FN).cdx.json 2>/dev/null && echo build/$(FN).cdx.json

bench: $(VENV)/.tests-installed ## measure serving against the usual way (needs wrk)
	@$(BIN)/python -m tests.bench.serving
	@echo; echo "60 s at 64 connections, 5 % bad requests, another model every 5 s:"; $(BIN)/python -m tests.bench.soak 60

torture: $(VENV)/.tests-installed ## send each function what may break it [ARGS="--seconds 9"]
	@$(BIN)/python -m tests.bench.torture $(ARGS)

bench-train: $(VENV)/.tests-installed ## measure training [ARGS=--search, --whole, --growth, --dask]
	@$(BIN)/python -m tests.bench.training $(ARGS)

bench-quality: $(VENV)/.quality-installed ## ten real tables, ours beside others [ARGS="--tables food"]
	@$(VENV)/quality/bin/python -m tests.bench.quality $(ARGS)

bench-shared: $(VENV)/.tests-installed ## measure what single rows save that share a run
	@$(BIN)/python -m tests.bench.shared_runs $(ARGS)

bench-explain: $(VENV)/.tests-installed ## measure explanations [ARGS=--slices: simulate the gate's]
	@$(BIN)/python -m tests.bench.explaining $(ARGS)

bench-batch: $(VENV)/.tests-installed ## measure batches: rows a second, memory [ARGS="--rows 9999"]
	@$(BIN)/python -m tests.bench.batch $(ARGS)

bench-watch: $(VENV)/.tests-installed ## simulate years of watching: its false alarms
	@$(BIN)/python -m tests.bench.watch
	@echo; echo "What counting live rows, and a shadow, cost (needs wrk):"; $(BIN)/python -m tests.bench.counters
	@echo; echo "At the promised sizes (needs wrk):"; $(BIN)/python -m tests.bench.sizes

bench-verdict: $(VENV)/.tests-installed ## simulate the judge of challengers: how often, how soon
	@$(BIN)/python -m tests.bench.challenge

bundle: $(VENV)/.local-installed ## build what functions are deployed from [FN=train]
	@$(BIN)/python -m infra.delivery.bundles $(or $(FN),train validate predict batch watch)

image-test: $(VENV)/.tests-installed ## build the predict image, run it without root, smoke it
	@$(BIN)/pytest -s tests/infra/test_image.py

rehearse: $(VENV)/.tests-installed $(VENV)/.terraform-installed ## the delivery's whole life, against a stand-in for Google
	@$(BIN)/python -m tests.infra.rehearsal

# ---- installing ----
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
# Where few processes start it costs more than it saves: 35 s of a processor for Beam, whose import takes 5 s without.
# $(1): the locked file, $(2): the environment, $(3): --compile-bytecode or nothing
define install
	@echo "installing $(1) into $(2) ..."
	@$(BIN)/uv pip install --quiet $(3) --python $(2)/bin/python --require-hashes -r $(1) || \
	  $(2)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) || { \
	  echo "installing $(1) failed: check the network and the package index, then run the same command again" >&2; exit 1; }
	@touch $@
endef

$(VENV)/.local-installed: infra/local/requirements.txt $(VENV)/.uv-installed
	$(call install,$<,$(VENV),--compile-bytecode)

$(VENV)/.tests-installed: tests/requirements.txt $(VENV)/.uv-installed
	$(call install,$<,$(VENV),--compile-bytecode)
	@touch $(VENV)/.local-installed

# What does not fit ours has an environment beside it, as NAME in $(VENV)/: Beam's protobuf; Evidently, which is not ready
# for our pandas; what lists and judges packages, and is none of them; the offline provider's protobuf and checkov's pins;
# clients that others wrote, whose pins hold back packages that we deploy; the libraries that ours is compared with.
$(VENV)/.beam-installed: functions/batch/flex/requirements.txt
$(VENV)/.evidently-installed: infra/evidently/requirements.txt
$(VENV)/.audit-installed: infra/audit/requirements.txt
$(VENV)/.terraform-installed: tests/infra/requirements.txt
$(VENV)/.clients-installed: tests/clients/requirements.txt
$(VENV)/.quality-installed: tests/bench/requirements.txt

BESIDE := beam evidently audit terraform clients quality
COMPILED := terraform quality

$(BESIDE:%=$(VENV)/.%-installed): $(VENV)/.%-installed: $(VENV)/.uv-installed
	@test -x $(VENV)/$*/bin/python || $(BIN)/python -m venv $(VENV)/$*
	$(call install,$(filter %.txt,$^),$(VENV)/$*,$(if $(filter $*,$(COMPILED)),--compile-bytecode))
