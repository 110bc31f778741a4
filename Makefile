# Two commands do all the set-up on a fresh machine with Python 3.11 or newer and make:
#   make demo   score the encoder that comes with SynBench beside its untrained twin, draw the plot
#   make test   lint, types, and all tests
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed

LOWEST := .venv-lowest

.PHONY: demo test lint quick lowest clean

demo: $(INSTALLED)
	$(VENV)/bin/synbench score --baseline untrained --plot synbench-demo.png

test: lint
	$(RUN) pytest -n 2 --dist worksteal --cov

quick: $(INSTALLED)
	$(RUN) pytest -n 2 --dist worksteal -m "not slow"

lint: $(INSTALLED)
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

# The oldest releases that requirements.txt allows, in an environment of their own; several GB with an old torch.
lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -r requirements.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python beartype hypothesis jsonschema pytest pytest-xdist scikit-learn
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --editable .
	$(LOWEST)/bin/python -m pytest -n 2 --dist worksteal -W default

$(INSTALLED): pyproject.toml requirements.txt requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "SynBench needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) $(LOWEST) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
