# livf: everything a newcomer needs. `make demo` shows it, `make test` checks it; both set up what they need.
#
#   make demo [ONCE=1] [IMAGE=path]    a server on phantoms (or your own MRI), and a client's whole cycle
#   make test                          all tests
#   make lint                          style, types, import rules
#   make bench                         where the time of one case goes
#   make format                        mend what ruff can mend
#   make setup [TORCH=cpu|cuda]        only the environment (.venv); without TORCH the host decides
#   make clean                         remove .venv and caches

# The Python that .venv was made with, else the first that is 3.11 or 3.12. Where none is, the set-up says what to do.
RIGHT := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(or $(shell for p in $$(sed -n 's/^executable = //p' .venv/pyvenv.cfg 2>/dev/null) python3 python3.12 python3.11; do \
	$$p -c '$(RIGHT)' 2>/dev/null && echo $$p && break; done),python3)
TORCH ?= auto
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test lint format bench clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@command -v "$(PYTHON)" >/dev/null || { echo "livf: no $(PYTHON) here; install Python 3.11 or 3.12" >&2; exit 1; }
	@"$(PYTHON)" scripts/set_up.py --torch "$(TORCH)" --venv $(VENV)

demo: setup
	@$(BIN)/livf demo $(if $(ONCE),--once) $(if $(IMAGE),"$(IMAGE)")

test: setup
	@$(BIN)/python -m pytest -q

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup
	@$(BIN)/python scripts/bench.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
