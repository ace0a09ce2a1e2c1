# `make help` lists the targets.  PYTHON=... chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin
# DVC runs the stages with the `python` that it finds first, so the environment's comes first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test slow lint audit clean help repository
repro: repository $(BIN)/.installed .dvc/site  ## install what is missing, run the pipeline, and say where its page lies (the default)
	dvc repro
	@echo "The page of the run is $(CURDIR)/data/plots/report.html"

test: $(BIN)/.installed  ## install what is missing, and run the tests
	python -m pytest

slow: $(BIN)/.installed  ## run the tests that take minutes
	python -m pytest -m slow --dist loadfile

lint: $(BIN)/.installed  ## check style and types
	ruff check .
	ruff format --check .
	mypy

audit:  ## ask the package index for known vulnerabilities of what is pinned (docs/operations.md)
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet pip-audit
	@.venv/audit/bin/pip-audit --strict --progress-spinner off --requirement requirements.lock --no-deps --disable-pip || \
	{ echo "audit: what is vulnerable, or could not be asked about, stands above; docs/operations.md has what was known"; exit 1; }

clean:  ## remove the environment and what tools left; data, models and experiments stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dvc_plots compare.html

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1: /p' Makefile

# DVC needs git, or to be told that there is none; better said now than after the installation.
repository:
	@git rev-parse --git-dir > /dev/null 2>&1 || grep -qs "no_scm = true" .dvc/config.local || \
	{ echo "error: this folder is no git repository; 'git init' makes it one, or put the lines" \
	"'[core]' and 'no_scm = true' into .dvc/config.local" >&2; exit 2; }

# DVC unpickles what lies in this folder, which it would make in a place where all users may write,
# and writable for all. The setting is local, because a path in .dvc/config counts from where dvc runs.
# `dvc config` cannot write a path with other letters than those of ASCII; read it can.
.dvc/site: | $(BIN)/.installed
	@python -c 'import os, configobj; file = configobj.ConfigObj(".dvc/config.local", encoding="utf-8"); \
	file.setdefault("core", {})["site_cache_dir"] = os.path.abspath(".dvc/site"); file.write()'
	mkdir -m 700 .dvc/site

# An environment of another Python, or one whose installation was cut off, is made anew.
$(BIN)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "error: Python 3.11 or newer is needed, and $(PYTHON) is older; name another one by" \
	"'make PYTHON=python3.12'" >&2; exit 2; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	@echo "installing the pinned packages into .venv (one or two minutes)"
	python -m pip install --quiet --requirement requirements.lock
	touch $@
