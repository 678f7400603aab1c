# livf: everything a newcomer needs. `make demo` shows it, `make test` checks it; both set up what they need.
#
#   make demo [ONCE=1] [IMAGE=path]    a server on phantoms (or your own MRI), and a client's whole cycle
#   make test                          all tests
#   make lint                          style, types, import rules
#   make bench                         where the time of one case goes
#   make setup [TORCH=cpu]             only the environment (.venv)
#   make clean                         remove .venv and caches

PYTHON ?= python3
TORCH ?= default
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test lint format bench clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@$(PYTHON) scripts/set_up.py --torch $(TORCH) --venv $(VENV)

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
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
