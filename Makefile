# make learn | lab | site | live | slides | bundle | class | release | test | test-long | notebooks | translate | kit | bench | bench-long     each sets up what it needs; options: lang=en chapter=05_trainer texts=DIR
PYTHON ?= $(shell command -v python3.11 || command -v python3)
lang ?= en
chapter ?=
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUTF8 := 1

.PHONY: learn lab site live slides bundle class release test test-long notebooks translate kit bench bench-long
.DEFAULT_GOAL := learn

learn: .venv/ready
	@$(BIN)/python -m tools.learn --lang "$(lang)" $(if $(chapter),--chapter "$(chapter)")

lab: .venv/ready
	$(BIN)/jupyter lab "nbs/$(lang)/$(or $(chapter),00_start).ipynb"

site: .venv/ready
	@$(BIN)/python -m tools.site

# A class on JupyterHub; classroom/README.md says how.
class: .venv/ready
	@FTCOURSE_LANG="$(lang)" $(BIN)/python -m classroom

# platform=linux|windows|macos  python=3.12 (the laptops')  torch=PATH (CPU build)  installer=PATH (Python's, from python.org)
bundle: .venv/ready
	@$(BIN)/python -m tools.bundle $(foreach name,platform python torch installer,$(if $($(name)),--$(name) "$($(name))"))

release: .venv/ready
	@$(BIN)/python -m tools.release check
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory site
	@$(MAKE) --no-print-directory bundle
	@$(BIN)/python -m tools.release gather

test: .venv/ready
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-long: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m long tests

notebooks: .venv/ready
	$(BIN)/nbdev-export
	$(BIN)/python -m tools.learn --lang "$(lang)" $(if $(chapter),--chapter "$(chapter)") --store
	$(BIN)/nbdev-clean --fname nbs

translate: .venv/ready
	$(BIN)/python -m tools.translate sync
	$(BIN)/python -m tools.glossary

kit: .venv/ready
	$(BIN)/python -m kit.build --texts "$(or $(texts),$(error make kit texts=DIR: a folder of public texts, made by `python -m kit.sources`))"

bench: .venv/ready
	$(BIN)/python -m benchmarks all

bench-long: .venv/ready
	$(BIN)/python -m benchmarks long

live: .venv/ready
	$(BIN)/python -m tools.browser_models
	@echo "Look at it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/live, then http://127.0.0.1:8000/?lang=$(lang)"

slides: .venv/ready
	@$(BIN)/python -m tools.slides --lang "$(lang)" $(if $(chapter),--chapter "$(chapter)")

# The set-up is made once, and again when the versions change.
.venv/ready: pyproject.toml constraints.txt
	@echo "Setting up .venv (once; a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ftcourse needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@
