# make demo   a world whose truth is known, run through Sluice: what was caught, what was missed
# make test   everything that CI runs: lint, types, docs, all tests with their coverage
# make native the C kernels once more, after a change of src/sluice/native/*.c
#
# All need Python 3.11 or newer and make. PYTHON=/path/to/python3 chooses another Python.

VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo test test-code lint types docs native clean

help:
	@sed -n '1,5s/^# \{0,1\}//p' Makefile

demo: $(VENV)/core.installed
	$(BIN)/sluice demo demo
	@echo; echo "The commands live in $(BIN): source $(BIN)/activate puts them on the path."

test: lint types docs test-code

test-code: $(VENV)/all.installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --cov --cov-report=term

lint: $(VENV)/all.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/all.installed
	$(BIN)/pyright

docs: $(VENV)/all.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

native: $(VENV)/core.installed
	$(PIP) install --quiet ziglang
	$(BIN)/python src/sluice/native/build.py

clean:
	rm -rf $(VENV) site demo .coverage .coverage.*

$(BIN)/python:
	@$(if $(PYTHON),$(PYTHON),false) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "Sluice needs Python 3.11 or newer with its venv module, and found none: install one" \
			"(Debian, Ubuntu: apt install python3 python3-venv), or say where it is: make PYTHON=/path/to/python3"; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

# Editable, so that a changed source needs no second install; pip older than 25.1 knows no dependency groups.
$(VENV)/core.installed: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/all.installed: pyproject.toml $(VENV)/core.installed
	$(PIP) install --quiet --group test --group lint --group docs
	@touch $@
