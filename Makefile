# What there is to do with this repository. Everything installs into $(VENV), from the lock files alone.
VENV ?= .venv
PYTHON ?= $(shell scripts/find_python.sh)
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --quiet

.PHONY: help run test check lint bench bench-peers lock clean
.DELETE_ON_ERROR:

help:
	@echo "make run     the demonstration: a model, its stream, a fault, and what Model Monitor makes of it"
	@echo "make test    every test, with a real Kafka, Prometheus and browser"
	@echo "make check   format, lint, types, layers, doctests and the fast tests"
	@echo "make bench   the benchmarks in a short form, as JSON"
	@echo "make bench-peers   one window beside other libraries, which it installs (5 GB)"
	@echo "make lock    pin the dependencies anew"
	@echo "make clean   remove what was built, the virtual environment included"

run: $(VENV)/.runtime
	@$(PY) -m monitor demo

test: $(VENV)/.dev
	scripts/install_test_tools.sh
	$(PY) -m pytest -m "not kafka" --durations=10
	$(PY) -m pytest -m kafka -n 0 --durations=10

check: lint
	$(PY) -m pytest

lint: $(VENV)/.dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(VENV)/.dev
	@$(PY) benchmarks/evaluate.py --json
	@$(PY) benchmarks/scale.py --millions 0.5,1,2 --repeat 1 --json
	@$(PY) benchmarks/ingest.py --json

bench-peers: $(VENV)/.dev
	@$(PY) benchmarks/peers.py --json

lock: | $(PY)
	$(PIP) uv
	$(VENV)/bin/$(LOCK) --upgrade --extra build -o requirements.lock
	$(VENV)/bin/$(LOCK) --upgrade --extra build --extra dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@test -n "$(PYTHON)" || { \
	  echo "no Python 3.11 or newer with venv was found; install one (Debian: apt install python3 python3-venv)" >&2; \
	  echo "or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(PY)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
