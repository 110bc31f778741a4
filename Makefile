# Two commands do all the set-up on a fresh machine with Python 3.11 or newer and make:
#   make demo   score the encoder that comes with SynBench, print the table, draw the plot
#   make test   lint, types, and all tests
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint quick clean

demo: $(INSTALLED)
	$(VENV)/bin/synbench score --plot synbench-demo.png

test: lint
	$(RUN) pytest -n 2 --dist worksteal

quick: $(INSTALLED)
	$(RUN) pytest -n 2 --dist worksteal -m "not slow"

lint: $(INSTALLED)
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

$(INSTALLED): pyproject.toml requirements.txt requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "SynBench needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
