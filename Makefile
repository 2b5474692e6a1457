# `make demo` and `make test` are all that a fresh machine needs: Python 3.11 or later, make and a package index.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
JOBS   ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 4 ] && n=4; echo $$n)

.PHONY: demo test lint types unit docs bench clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n $(JOBS)

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html

bench: $(VENV)/.peers
	$(BIN)/bough bench gemm --against torch,onnxruntime,openvino
	$(BIN)/bough bench conv --against torch,onnxruntime,openvino
	$(BIN)/bough bench rnn --against torch,onnxruntime,openvino
	$(BIN)/bough bench static --against torch,onnxruntime,openvino
	$(BIN)/bough bench trees --against torch,batched,dgl
	$(BIN)/bough bench dynamic --against torch,torch-compile,onnxruntime

clean:
	rm -rf $(VENV) docs/_build build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Bough needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras: installed again whenever the project's requirements change.
$(VENV)/.demo $(VENV)/.dev $(VENV)/.peers: $(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[$*]'
	touch $@
