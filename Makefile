# `make demo` and `make test` create .venv when it is missing; everything else uses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow bench screenshots tags readme notebooks gallery lint clean

demo: $(VENV)/.demo
	$(BIN)/python examples/digits.py

test: $(VENV)/.test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.solver --quick
	$(BIN)/python -m benchmarks.solver.memory
	$(BIN)/python -m benchmarks.solver.feature_budget

screenshots: $(VENV)/.test
	rm -rf runs/compare
	$(BIN)/python examples/digits.py --compare --log-dir runs/compare
	$(BIN)/python docs/screenshots.py runs/compare/digits docs/screenshots

tags: $(VENV)/.test
	$(BIN)/python docs/make_tags.py

readme: $(VENV)/.test
	$(BIN)/python -m benchmarks.stopping.score --part all
	$(BIN)/python docs/make_demo.py

notebooks: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_notebooks.py

gallery: $(VENV)/.test
	$(BIN)/python -m docs.make_gallery

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[examples]"
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	touch $@

clean:
	rm -rf $(VENV) runs lightning_logs build *.egg-info
