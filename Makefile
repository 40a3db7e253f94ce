# Everything that a person or CI types. `make demo` and `make test` work on a fresh machine: they install what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TIMES ?= 1
INSTALLED := $(VENV)/.installed
PEERS := .venv-bench/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test faults lint bench soak fire up down clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

install: $(INSTALLED) ## Make the virtual environment

demo: $(INSTALLED) ## Show the whole way, from files to answers, on servers that it starts
	$(BIN)/python -m demo $(ARGS)

test: $(INSTALLED) ## Run all tests, on servers that they start
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

faults: $(INSTALLED) ## The tests that kill and freeze, TIMES=10 times in a row; the logs of a run that fails stay in build/faults
	@mkdir -p build
	@for run in $$(seq $(TIMES)); do \
		echo "run $$run of $(TIMES)"; \
		$(BIN)/python -m pytest -m faults --seed $$run --basetemp build/faults $(ARGS) || exit 1; \
	done

lint: $(INSTALLED) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) $(PEERS) ## Measure the hot loops against their peers
	$(BIN)/python -m benchmarks $(ARGS)

bench-%: $(INSTALLED) ## One of them: bench-ship, bench-stream, bench-sink, bench-e2e, bench-queries, …
	$(BIN)/python -m benchmarks $* $(ARGS)

bench-stream bench-sink: $(PEERS)

$(PEERS): pyproject.toml
	$(PYTHON) -m venv $(dir $@)
	$(dir $@)bin/python -m pip install --quiet --disable-pip-version-check --editable '.[streams,sinks,bench]'
	@touch $@

soak: $(INSTALLED) ## Traffic for 15 minutes while everything is killed, frozen and restarted at random
	$(BIN)/python -m tests.soak $(ARGS)

fire: $(INSTALLED) ## A week of traces while 20 processes are killed at random: ARGS=--seed=7
	$(BIN)/python -m pytest tests/system/test_fire.py --kills 20 -s $(ARGS)

up: $(INSTALLED) ## Start Kafka and Elasticsearch for this machine
	$(BIN)/tailrace up

down: $(INSTALLED) ## Stop them
	$(BIN)/tailrace down

clean: ## Remove the virtual environments and caches of tools
	rm -rf $(VENV) .venv-bench build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
