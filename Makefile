# Driftwatch: `make run` sets everything up and runs it, `make test` sets everything up and tests it.

VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/python -c "from app.subsystems.dt.residuals import compile_loops; compile_loops()"
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run lint check test soak lock bench clean

run: $(VENV)/run.stamp
	@exec $(BIN)/flask serve

lint: $(VENV)/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy app config.py wsgi.py

test: lint
	@sh deploy/need chromium
	@sh deploy/need firefox
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 20

# The inner loop: lint, types, and the tests that need no TensorFlow, server or browser.
check: lint
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "not slow and not soak" -n auto --maxprocesses 4 -q

# Processes killed in the midst of long work, long trainings, and many more cases of the randomised tests.
soak: $(VENV)/test.stamp
	SOAK=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "soak or drawn" -n auto --maxprocesses 4 --durations 20

bench: $(VENV)/test.stamp
	$(BIN)/python -m bench.fetch
	$(BIN)/python -m bench.score
	$(BIN)/python -m bench.operations
	$(BIN)/python -m bench.disk
	$(BIN)/python -m bench.label
	$(BIN)/python -m bench.queue
	$(BIN)/python -m bench.saliency
	$(BIN)/python -m bench.pages

# Pin the requirements again, from the short list in pyproject.toml.
lock:
	sh deploy/make-venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip install --quiet uv
	$(VENV)/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" pyproject.toml -o requirements.txt
	$(VENV)/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" pyproject.toml --group test -c requirements.txt -o tests/requirements.txt

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@sh deploy/make-venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(BIN)/python
	@echo "Installing what Driftwatch needs (once, about 400 MB) …"
	$(PIP) install --require-hashes -r requirements.txt
	@$(COMPILE)
	@touch $@

$(VENV)/test.stamp: tests/requirements.txt | $(BIN)/python
	@echo "Installing what Driftwatch and its tests need (once, about 500 MB) …"
	$(PIP) install --require-hashes -r tests/requirements.txt
	@$(COMPILE)
	@touch $@ $(VENV)/run.stamp
