# make demo   the main job, on a broker that needs no server (Python >= 3.10 is all it takes)
# make test   everything: linters, types, all tests, on real servers too (installs them)

PYTHON  ?= python3
VENV    ?= .venv
BIN     := $(VENV)/bin
# Servers that the tests start; SERVERS=none leaves them out, and the end of the run says so.
SERVERS ?= all
# What is installed for "all": what tests ask for today.
NEEDED  := redis \
           redis-secure \
           redis-sentinel \
           redis-cluster \
           rabbitmq \
           rabbitmq-cluster \
           mongodb \
           zookeeper \
           zookeeper-ensemble \
           sqs \
           sqs-ministack \
           postgres \
           mariadb \
           pyro5 \
           kafka \
           kafka-mock \
           pubsub \
           nats \
           etcd \
           consul \
           slmq \
           azurite \
           servicebus
# Two at a time, a file each: every worker starts servers of its own. A test that fails while
# the other worker restarts a broker has a second try; the summary (R) names it.
PYTEST  ?= $(BIN)/python -m pytest -q -rR -n 3 --dist loadfile --reruns 1
PIP     := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test lint typing bench compat interop docs transports-table clean servers

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo "make lint | typing | docs | bench | compat | interop | transports-table | clean"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "kombu needs Python 3.10 or newer; set PYTHON=")'
	@$(PYTHON) -m venv $(VENV)

# What is installed is noted in files, so that a second run starts at once.
$(VENV)/.package: $(BIN)/python pyproject.toml requirements/default.txt
	@echo "Installing kombu into $(VENV) ..."
	@$(PIP) install -e .
	@touch $@

$(VENV)/.development: $(VENV)/.package $(wildcard requirements/*.txt)
	@echo "Installing what tests need into $(VENV) ..."
	@$(PIP) install -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.package
	@$(BIN)/python examples/demo.py

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typing: $(VENV)/.development
	$(BIN)/mypy kombu

servers: $(VENV)/.development
ifneq ($(SERVERS),none)
	$(BIN)/python -m t.services install $(if $(filter all,$(SERVERS)),$(NEEDED),$(subst $(comma), ,$(SERVERS)))
endif

test: lint typing servers
	$(PYTEST) --servers=$(SERVERS) t/unit t/conformance t/integration t/interop t/faults

docs: $(VENV)/.development
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# Published 5.7 and this one, broker by broker: one table, in less than 15 minutes on 2 cores.
# OUT=docs/images makes the documentation's chart and table anew.
OUT ?= build/bench
$(VENV)/.bench: $(VENV)/.development requirements/bench.txt
	@$(PIP) install -r requirements/bench.txt
	@touch $@

bench: servers $(VENV)/.bench
	$(BIN)/python -m t.benchmarks --servers=$(SERVERS) --out $(OUT)

# Published 5.7 and this one on each transport's server, both ways; the table is for the docs.
INTEROP := t/interop t/integration/redis/test_interop.py t/integration/sqlalchemy/test_interop.py
interop: servers
	$(PYTEST) --servers=$(SERVERS) --interop-json docs/interop-table.json $(INTEROP)
	$(BIN)/python -m t.tools.interop_table

# The documentation's table of transports, from the conformance suite on all of them; or from
# results that are there: RESULTS="R1.json R2.json", of `pytest --conformance-json`.
transports-table: servers
ifndef RESULTS
	rm -f build/conformance.json && mkdir -p build
	$(PYTEST) --servers=$(SERVERS) --conformance-json build/conformance.json t/conformance
endif
	$(BIN)/python -m t.tools.transport_table $(or $(RESULTS),build/conformance.json)

compat: $(VENV)/.development
	$(BIN)/python -m t.compat

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .tox
	find kombu t examples -name __pycache__ -prune -exec rm -rf {} +

comma := ,
