# All set-up happens here; nothing is installed by hand. ARGS is passed on.
PYTHON ?= python3
BIN := .venv/bin
export RAY_USAGE_STATS_ENABLED := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install demo up check lint test bench lock

install: .venv/installed

.venv/installed: requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/homeostat demo $(ARGS)

up: install
	$(BIN)/homeostat up $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

test: install
	$(BIN)/pytest $(ARGS)

bench: install # NAME=…, SEED=…, QUICK=1
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

# Resolves anew; needs the network. The lock names no host.
lock:
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	cd requirements && ../.venv-lock/bin/uv pip compile dev.in --generate-hashes --no-emit-index-url --universal \
		--python-version 3.11 --custom-compile-command "make lock" --output-file dev.lock --quiet
	rm -rf .venv-lock
