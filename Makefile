# make demo        set everything up, bill a handful of requests, print the receipts, keep serving
# make demo ONCE=1 the same, and end after the receipts
# make test        set up what the tests need and run them all
# make check       lint, types, layers and the pure tests: what to run before every commit
# make bench       measure against nginx on this machine
# make lock        renew the locked requirements (needs uv)
# make clean       remove what was built here; data directories are left alone

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
SET_UP := $(VENV)/.is-set-up
TESTING := $(VENV)/.testing-is-set-up
OLDER := openai-1 anthropic-0 google-genai-1
NODE_CLIENTS := tests/clients/node
LOCK := uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-header --no-emit-index-url

.PHONY: help demo test check bench lock clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile

demo: $(SET_UP)
	@$(BIN)/farebox demo $(if $(ONCE),--once)

test: $(TESTING)
	@$(BIN)/python -m pytest $(TESTS)

check: $(TESTING)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/python -m pytest tests/test_layers.py tests/pure

bench: $(TESTING)
	@$(BIN)/python -m benchmarks

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Farebox needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not there)."; \
	  echo "Install it (Debian: apt-get install python3), or name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 4; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python's venv module is missing. Install it (Debian: apt-get install python3-venv), then run make again."; exit 4; }
	@echo "Setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 4; }

$(SET_UP): $(BIN)/python requirements/build.txt requirements/demo.txt pyproject.toml
	@echo "Installing the locked requirements …"
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/demo.txt
	@$(PIP) install --no-build-isolation --no-deps --no-index --editable .
	@touch $@

$(TESTING): $(SET_UP) requirements/test.txt $(OLDER:%=requirements/older/%.txt) $(NODE_CLIENTS)/package-lock.json
	@echo "Installing the locked requirements of the tests …"
	@$(PIP) install --require-hashes -r requirements/test.txt
	@rm -rf $(VENV)/older
	@for client in $(OLDER); do \
	  $(PIP) install --require-hashes --target $(VENV)/older/$$client -r requirements/older/$$client.txt || exit 1; done
	@cd $(NODE_CLIENTS) && PATH="$(abspath $(BIN)):$$PATH" npm ci --silent
	@touch $@

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv, which reads requirements/*.in."; exit 4; }
	@cd requirements && $(LOCK) build.in -o build.txt && $(LOCK) test.in -o test.txt \
	  && $(LOCK) -c test.txt runtime.in -o runtime.txt && $(LOCK) -c test.txt demo.in -o demo.txt
	@cd requirements/older && for client in $(OLDER); do $(LOCK) $$client.in -o $$client.txt || exit 1; done
	@cd $(NODE_CLIENTS) && PATH="$(abspath $(BIN)):$$PATH" npm update --package-lock-only --silent

clean:
	rm -rf $(VENV) $(NODE_CLIENTS)/node_modules build dist .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
