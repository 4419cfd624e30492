# Two commands are enough: `make run` and `make test`. Both set up what they need.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first Python that is new enough; choose another with `make PYTHON=/path/to/python …`.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$python"; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -q -m "not slow" -n 2 --dist loadfile

# As typed, whatever dollars and quotes they hold: they reach the program by the environment.
override Q := $(value Q)
override DOCS := $(value DOCS)
export Q DOCS

# Where the wheel of llama-cpp-python is kept, whatever becomes of this checkout.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/avalan
WHEELS ?= $(CACHE)/wheels
LLAMA := llama-cpp-python==0.3.36

# The tests of served GGUF files run with the llama-server that was built, or another.
LLAMA_SERVER := $(CACHE)/llama-server/llama-server
ifneq ($(wildcard $(LLAMA_SERVER)),)
export AVALAN_LLAMA_SERVER ?= $(LLAMA_SERVER)
endif

.PHONY: help run test check bench recordings translations gguf-wheel llama-server clean

help:
	@echo 'make run                    answer three questions from real documents, with evidence'
	@echo 'make run Q="…" DOCS=path    answer yours'
	@echo 'make test                   run the tests'
	@echo 'make check                  formatter, linter, types, licences, wheel'
	@echo 'make bench                  the slow tests and the comparisons; takes a while'
	@echo 'make recordings             record the bundled model and draw the pictures in docs/images'
	@echo 'make translations           extract the texts to translate, merge and compile them'
	@echo 'make gguf-wheel             build llama.cpp for GGUF files, keep the wheel, install it'
	@echo 'make llama-server           build its server for the tests, and keep it; needs cmake'
	@echo 'make clean                  remove what these commands made'

run: .venv/base.stamp
	@$(BIN)/python -m avalan.cli.demo

test: .venv/test.stamp
	$(PYTEST)

check: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py
	$(BIN)/python scripts/check_licences.py
	$(BIN)/python scripts/check_wheel.py
	$(BIN)/python scripts/check_extras.py

bench: .venv/test.stamp
	$(BIN)/python -m pytest -m slow || [ $$? -eq 5 ]  # 5: there are none
	for run in start_up.py decode.py engines.py served.py "retrieval.py quality" "retrieval.py speed" \
	    "reader.py reader rules"; do \
		echo "== bench/$$run"; $(BIN)/python bench/$$run; done
	@echo 'Not run: embedder.py needs a teacher, postgres.py a database, obedient.py and mask.py an hour.'

recordings: .venv/base.stamp
	$(BIN)/python scripts/recordings.py

translations: .venv/test.stamp
	$(BIN)/python scripts/translations.py

# The build takes 3 to 18 minutes, once for each machine; what the server in its package needs for
# the tests comes along.
gguf-wheel: .venv/base.stamp
	@mkdir -p "$(WHEELS)"
	@ls "$(WHEELS)"/llama_cpp_python-0.3.36-*.whl > /dev/null 2>&1 || { \
		echo "Building llama.cpp (once; 3 to 18 minutes)"; \
		CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" $(PIP) wheel --quiet --no-deps \
			--wheel-dir "$(WHEELS)" "$(LLAMA)"; }
	@$(PIP) install --quiet --quiet --find-links "$(WHEELS)" "llama-cpp-python[server]==0.3.36"

# From the same sources; as long again.
llama-server: .venv/base.stamp
	@[ -x "$(LLAMA_SERVER)" ] || { mkdir -p build/llama "$(dir $(LLAMA_SERVER))"; \
		$(PIP) download --quiet --no-deps --no-binary :all: --dest build/llama "$(LLAMA)"; \
		tar --extract --gzip --file build/llama/llama_cpp_python-*.tar.gz --directory build/llama; \
		cmake -S build/llama/llama_cpp_python-*/vendor/llama.cpp -B build/llama/out \
			-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DLLAMA_CURL=OFF \
			-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=ON > /dev/null; \
		cmake --build build/llama/out --target llama-server --parallel 2 > /dev/null; \
		cp build/llama/out/bin/llama-server "$(LLAMA_SERVER)"; }

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than pyproject.toml when the environment holds what it asks for, and newer than
# the translations when they are compiled: the build does both.
.venv/base.stamp: pyproject.toml $(wildcard locale/*/LC_MESSAGES/*.po)
	@[ -n "$(PYTHON)" ] || { echo "avalan needs Python 3.11 or newer; none was found." >&2; exit 1; }
	@echo "Setting up .venv (once; about a minute)"
	@[ -x $(BIN)/python ] || "$(PYTHON)" -m venv .venv
	@$(PIP) install --quiet --quiet --editable .
	@touch $@

# torch comes first and exactly: an index may offer a CPU build of this one version, and CUDA
# builds, with gigabytes of libraries, of all others.
.venv/test.stamp: .venv/base.stamp
	@echo "Adding what the tests need (once; a few minutes)"
	@$(PIP) install --quiet --quiet "$$($(BIN)/python scripts/pinned.py torch)"
	@$(PIP) install --quiet --quiet --editable '.[test]'
	@touch $@
