# make: set up and run the pipeline.  make test: set up and test.  PYTHON=... chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin
# DVC runs the stages with the `python` that it finds first, so the environment's comes first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test lint slow
repro: $(BIN)/.installed
	dvc repro

test: $(BIN)/.installed
	python -m pytest

slow: $(BIN)/.installed
	python -m pytest -m slow --dist loadfile

lint: $(BIN)/.installed
	ruff check .
	ruff format --check .
	mypy

$(BIN)/.installed: requirements.lock
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --requirement requirements.lock
	touch $@
