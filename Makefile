# Two commands do all the set-up on a fresh machine with Python 3.11 or newer and make:
#   make demo   score the encoder that comes with SynBench beside its untrained twin, draw the plot
#   make test   lint, types, and all tests
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed

LOWEST := .venv-lowest
# timm needs torchvision, which beside a torch that it was not built for breaks transformers' image processors: both
# lie apart, and only the tests of timm see them.
TIMM := $(VENV)/timm
WITH_TIMM := PYTHONPATH="$(CURDIR)/$(TIMM)"

.PHONY: demo test lint quick families families-table lowest clean

demo: $(INSTALLED)
	$(VENV)/bin/synbench score --baseline untrained --plot synbench-demo.png

# Two sessions, one gate on the coverage of both.
test: lint $(TIMM)
	$(RUN) pytest -n 2 --dist worksteal --cov --cov-report= --cov-fail-under=0
	$(WITH_TIMM) $(RUN) pytest -n 2 --dist worksteal tests/timm_models --cov --cov-append

quick: $(INSTALLED)
	$(RUN) pytest -n 2 --dist worksteal -m "not slow and not families"

# Every family of timm at its own size, random weights: a quarter of an hour, and 4 GB of memory.
families: $(TIMM)
	$(WITH_TIMM) $(RUN) pytest -m families tests/timm_models

# What families checks: the table of families, measured anew.
families-table: $(TIMM)
	$(WITH_TIMM) $(RUN) tests.timm_models.families

lint: $(INSTALLED)
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

# The oldest releases that the requirements allow, in an environment of their own; several GB with an old torch.
lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -r requirements.txt \
		-r requirements-probe.txt -r requirements-service.txt -r requirements-app.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python beartype hypothesis jsonschema pytest pytest-xdist
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --editable .
	$(LOWEST)/bin/python -m pytest -n 2 --dist worksteal -W default

$(INSTALLED): pyproject.toml requirements.txt requirements-dev.txt requirements-probe.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "SynBench needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(TIMM): $(INSTALLED) constraints.txt
	rm -rf $@
	$(RUN) pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt --target $@ timm torchvision
	@touch $@

clean:
	rm -rf $(VENV) $(LOWEST) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
