# `make train` and `make test` do all the set-up on a fresh machine.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: train test report benchmark lint clean

train: $(READY)
	$(BIN)/python train.py --backend numpy $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest parity_tests/ $(ARGS)

report: $(READY)
	$(BIN)/python reports/make_report.py $(ARGS)

benchmark: $(READY)
	$(BIN)/python reports/benchmark.py $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $(READY)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
