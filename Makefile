# The two commands of README.rst. Both need python3, git and make, and set up all else themselves.
#
#   make demo                        run functions in a bare interpreter on this machine
#   make demo HOSTS="user@a b"       the same on hosts that ssh reaches
#   make test                        everything that is checked: style, types, tests, docs
#
# And one that only takes time: make bench measures, see docs/explanation/speed.rst.
#
# Variables: PYTHON (the interpreter for .venv), PYTEST_ARGS and BENCH_ARGS (more arguments for
# pytest, and for the benchmarks). With ACROSS_STRESS=n the stress tests do n times as much.

PYTHON ?= python3
HOSTS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Apt is ours to use only as root; without it, what it would have installed is reported as missing.
APT := $(shell [ "$$(id -u)" = 0 ] && command -v apt-get)

.PHONY: demo test bench clean
.DEFAULT_GOAL := demo

demo: $(VENV)/installed
	@$(BIN)/python docs/examples/demo.py $(HOSTS)

test: $(VENV)/installed-for-tests
	@.ci/prepare $(BIN)/python
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	$(BIN)/pytest -n auto $(PYTEST_ARGS)

bench: $(VENV)/installed-for-tests
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

# Debian ships python3 without what makes virtual environments.
$(VENV)/bin/python:
	@echo 'Making a virtual environment in $(VENV) ...'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { [ -n '$(APT)' ] && { $(APT) -qq update && $(APT) -qq install -y python3-venv; } >/dev/null; } \
		|| { echo 'python3 cannot make virtual environments (Debian: apt-get install python3-venv)'; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade pip

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	@echo 'Installing across into $(VENV) ...'
	@$(PIP) install --editable .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/bin/python pyproject.toml
	@echo 'Installing across and what its tests need into $(VENV) ...'
	@$(PIP) install --editable '.[test,docs]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) docs/_build .mypy_cache .pytest_cache .ruff_cache .coverage htmlcov build dist
