# Everything a person types. Each target makes .venv and installs the hashed lock it needs, when it is older than the lock.
DEVICES ?= 25
# The first interpreter that is new enough; `make PYTHON=/path/to/python3.12 demo` overrules it.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$python; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: help demo run test quick check lock clean

help:
	@echo "make demo [DEVICES=25]  the portal with a simulated fleet, on 127.0.0.1, one terminal"
	@echo "make run                the portal for real devices, over HTTPS"
	@echo "make test               everything this machine can test; says what it skipped and how to get it"
	@echo "make quick              the unit tests, on SQLite"
	@echo "make check              ruff, mypy, import contracts"
	@echo "make lock               makes the hashed locks anew from pyproject.toml (needs uv)"
	@echo "make clean              removes .venv and caches; data folders stay"

demo: .venv/.installed
	@exec $(BIN)/python manage.py demo --devices $(DEVICES)

run: .venv/.installed
	@PORTAL_TLS=1 exec $(BIN)/python manage.py up

test: .venv/.installed-dev
	@exec $(BIN)/python -m tests.everything

quick: .venv/.installed-dev
	@exec $(BIN)/python -m pytest -q -n 2 -m "not foreign and not end_to_end and not browser and not long"

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

# For every platform and Python at once, with hashes, without the address of any package index.
lock: export UV_CUSTOM_COMPILE_COMMAND := make lock
lock: LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url
lock:
	$(LOCK) pyproject.toml --output-file requirements.txt
	$(LOCK) --extra dev pyproject.toml --output-file requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing (Debian: apt-get install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.installed: requirements.txt | .venv/bin/python
	$(PIP) -r requirements.txt
	@touch $@

# The development lock holds the other one's packages too, at the same versions.
.venv/.installed-dev: requirements-dev.txt | .venv/bin/python
	$(PIP) -r requirements-dev.txt
	@touch $@
