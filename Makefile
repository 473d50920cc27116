# Each target does all its own set-up in .venv: Python 3.11+ with venv, make and g++ are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-slow test-all test-processors test-rounding lint docs bench bench-compare dist gpu-prepare gpu-check clean

demo: $(VENV)/.installed-cli
	$(BIN)/gpu-logreg demo

# As many processes as processors; tests/conftest.py says which tests stay together.
PYTEST := $(BIN)/pytest -q --numprocesses logical --maxprocesses 8 --dist loadscope --no-loadscope-reorder

test: $(VENV)/.installed-test
	$(PYTEST) -m "not slow" $(ARGS)

# The widest sweeps and the largest data: what `make test` leaves out.
test-slow: $(VENV)/.installed-test
	$(PYTEST) -m slow $(ARGS)

test-all: test test-slow

# Under other processors that this one can imitate, and on a loaded one: CONTRIBUTING.md.
test-processors: $(VENV)/.installed-test
	$(BIN)/python tests/on_processors.py $(ARGS)

# With sums that are rounded as another processor might: tests/rounding_noise.py.
SEED ?= 0
test-rounding: $(VENV)/.installed-test
	$(PYTEST) -m "not slow and not bits" --rounding-noise $(SEED) $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pages of docs/ and a reference made from docstrings, in docs/_build/html; no network is needed.
docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# Passes beside a plain read, then fits beside other libraries: two cores, under 15 minutes; FULL=1: everything, hours.
bench: $(VENV)/.installed-bench
	$(BIN)/pytest -q -s bench/bench_pass.py
	$(BIN)/python bench/run.py $(if $(FULL),--full) $(ARGS)

# This checkout beside another revision of it, in turns: make bench-compare BASE=v0.1.0
BASE ?= HEAD
bench-compare: $(VENV)/.installed-bench
	$(BIN)/python bench/compare.py $(BASE) $(ARGS)

# The source distribution, and the wheel made from it, in dist/; each is installed into an empty environment, and fits there.
dist: $(VENV)/.installed-bench
	rm -rf dist build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build --outdir dist .
	for file in dist/*; do $(BIN)/python bench/install_sizes.py --of $$file none || exit 1; done

# What gpu-check will ask for, compiled without a GPU and gathered in .gpu: docs/gpu.md.
ARCH ?= sm_90
gpu-prepare: $(VENV)/.installed-test
	$(BIN)/python bench/gpu/prepare.py --arch $(ARCH) $(ARGS)

# A machine with a GPU often brings its own Python with CuPy; that one is used from the checkout, without installing.
gpu-check:
	@if $(PYTHON) -c 'import cupy, numba, pytest, sklearn' 2>/dev/null; then PYTHONPATH=. $(PYTHON) bench/gpu/check.py $(ARGS); \
	else $(MAKE) -s --no-print-directory $(VENV)/.installed-test && $(BIN)/python bench/gpu/check.py $(ARGS); fi

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gpu-logreg needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# Bytecode is compiled by all processors at once, which pip would not do.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[$*]'
	$(BIN)/python -m compileall -q -j 0 -x '/tests/' $(VENV)/lib
	touch $@

clean:
	rm -rf $(VENV) build dist .gpu docs/_build docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
