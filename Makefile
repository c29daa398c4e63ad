# `make demo` and `make test` create .venv when it is missing; everything else uses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Python 3.10 of `make test-floor`, whose environment lies in .venv-floor.
PYTHON_FLOOR ?= python3.10
FLOOR := .venv-floor
SMOKE := tests/lens/test_factor_lens.py tests/test_private_api.py tests/_private_api tests/callbacks/test_factorlens_callback.py \
  tests/callbacks/test_label_free_stopping.py tests/callbacks/test_restore_best.py tests/callbacks/test_lightning_cli.py \
  tests/callbacks/test_stateful_models.py tests/callbacks/test_unchanged_training.py tests/capture tests/cli tests/isolation \
  tests/loggers tests/measurements tests/spectra tests/stopping

.PHONY: demo test test-slow test-floor bench docs screenshots tags readme notebooks gallery lint clean

demo: $(VENV)/.demo
	$(BIN)/python examples/digits.py

test: $(VENV)/.test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

test-floor: $(FLOOR)/.test
	OMP_NUM_THREADS=1 $(FLOOR)/bin/python -m pytest -n 2 --dist loadfile $(SMOKE)

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.solver --quick
	$(BIN)/python -m benchmarks.solver.memory
	$(BIN)/python -m benchmarks.solver.feature_budget

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

screenshots: $(VENV)/.test
	rm -rf runs/compare
	$(BIN)/python examples/digits.py --compare --log-dir runs/compare
	$(BIN)/python docs/screenshots.py runs/compare/digits docs/screenshots

tags: $(VENV)/.test
	$(BIN)/python docs/make_tags.py

readme: $(VENV)/.test
	$(BIN)/python -m benchmarks.stopping.campaign.score --part all
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

$(FLOOR)/.test: pyproject.toml .ci/floor.txt
	test -x $(FLOOR)/bin/python || $(PYTHON_FLOOR) -m venv $(FLOOR)
	$(FLOOR)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[examples,cli,frames]" pytest pytest-xdist hypothesis -c .ci/floor.txt
	touch $@

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) $(FLOOR) runs lightning_logs build *.egg-info
