# Everything from a clean clone: `make run`, `make test`. Needs Python 3.11 or newer and a package index, nothing else.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
RUN := env -u PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run check test wheel bench chaos mutation lint lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

run: $(VENV)/.installed ## bring the platform up and materialise the example workflows
	@$(RUN) $(BIN)/lakeloop up

check: $(VENV)/.installed ## check every definition file
	@$(RUN) $(BIN)/lakeloop check

test: $(VENV)/.installed-dev ## pass the tests
	@$(RUN) $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

wheel: $(VENV)/.installed ## build the platform as a wheel, into dist/
	@rm -rf build
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

bench: $(VENV)/.installed-dev ## measure the claims of speed, each against its yardstick
	@$(RUN) $(BIN)/python -m benchmarks.run

chaos: $(VENV)/.installed-dev ## crash a run at every named point in every way, run again, compare
	@$(RUN) $(BIN)/python -m tests.chaos.all

mutation: $(VENV)/.installed-dev ## change the modules that decide, count what their tests detect
	@$(RUN) $(BIN)/python -m benchmarks.mutation

lint: $(VENV)/.installed-dev ## format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(RUN) $(BIN)/mypy

lock: ## resolve the lock files again (needs uv)
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-annotate --no-emit-index-url --group dev pyproject.toml -o requirements-dev.lock
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-annotate --no-emit-index-url -c requirements-dev.lock --extra test pyproject.toml -o requirements.lock

clean: ## remove the environment; the lake and MLflow's data in .lakeloop stay
	rm -rf $(VENV)

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "wanted Python 3.11, 3.12 or 3.13 on the path, found $$(python3 --version 2>&1); or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else f"wanted Python 3.11, 3.12 or 3.13, found {sys.version.split()[0]}")'
	@echo "making an environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

INSTALL = $(RUN) $(BIN)/python tools/install.py
ITSELF = $(RUN) $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .

$(VENV)/.installed: $(VENV)/.python requirements.lock pyproject.toml
	@$(INSTALL) requirements.lock
	@$(ITSELF)
	@touch $@

# The lock of development holds the other one.
$(VENV)/.installed-dev: $(VENV)/.python requirements.lock requirements-dev.lock pyproject.toml
	@$(INSTALL) requirements-dev.lock
	@$(ITSELF)
	@touch $(VENV)/.installed $@
