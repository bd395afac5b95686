# Every target sets up what it needs in .venv; a second call finds it there. Only Python 3.11 to 3.13 and make are assumed.
#   make demo [BACKEND=jax]    the first look: one offline page in out/demo
#   make test                  the suite without what is slow;  make test-all  all of it
#   make bench [ROUNDS=3]      every benchmark of speed, and docs/benchmarks.md from what they found
#   make quality               how good the pictures of each recipe are: docs/quality.md
#   make sweep                 what works on some 280 architectures: tests/sweep/outcomes.csv and docs/architectures.md
#   make lint | clean

BACKEND ?= torch
WORKERS ?= 2
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 && echo $$p && break; done)

VENV := .venv
BIN := $(VENV)/bin
# One thread a worker: two workers with a pool of threads each would fight over the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: help demo test test-slow test-all lint bench quality sweep clean
.DEFAULT_GOAL := help

help:
	@sed -n '2,7s/^#  *//p' Makefile

demo: $(VENV)/.demo-$(BACKEND)
	$(BIN)/phosphene demo --backend $(BACKEND)

test: $(VENV)/.all
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.all
	$(PYTEST) -m slow

test-all: $(VENV)/.all
	$(PYTEST)

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.all
	@failed=0; for script in $$(grep -l '"--rounds"' benchmarks/*.py); do \
		echo "== $$script"; \
		$(BIN)/python "$$script" $(if $(ROUNDS),--rounds $(ROUNDS)) || failed=1; \
	done; \
	$(BIN)/python benchmarks/report.py && exit $$failed

quality: $(VENV)/.all
	$(BIN)/python benchmarks/quality.py

sweep: $(VENV)/.all
	@failed=0; $(BIN)/python tests/sweep/run.py --workers $(WORKERS) || failed=1; \
	$(BIN)/python docs/architectures.py --sweep && exit $$failed

clean:
	rm -rf $(VENV) out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "phosphene needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV) for the demo on $*; this takes a minute or two, once"
	@$(call install,demo,$*)
	@touch $@

# Whoever can run the tests can run the demo on either backend.
$(VENV)/.all: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV) for everything; this takes two minutes or three, once"
	@$(call install,all)
	@touch $(VENV)/.demo-torch $(VENV)/.demo-jax $@

comma := ,
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(1)$(if $(2),$(comma)$(2))]"
