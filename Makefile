# Every target works from a fresh clone. Needs: Python >= 3.11 with venv and headers, a C compiler, make.
SHELL := /bin/bash
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
NODE := tests/e2e/node/node_modules/.package-lock.json
COMPILED := pyproject.toml setup.py $(wildcard fastgw/_speedups/*.pyx fastgw/_speedups/*.pxd fastgw/_speedups/*.h)
export PYTHON

.PHONY: help install dev run test lint format bench build fuzz asan lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.run .venv/.built ## create .venv with the locked runtime dependencies and compile fastgw in place
dev: .venv/.dev .venv/.built ## the same with the tools for tests, lint and benchmarks

run: install ## start the gateway (and a mock provider) on 127.0.0.1:3000; ARGS="--port 3001" changes that
	@exec $(BIN)/fastgw quickstart $(ARGS)

test: dev $(NODE) ## run every test in two processes, those marked any_workers with 3 workers too; ARGS="tests/unit -k sse" selects
	@failed=0; $(if $(strip $(ARGS)),,FASTGW_TEST_WORKERS=3 $(BIN)/pytest -n 2 tests/e2e -m any_workers || failed=1;) \
	$(BIN)/pytest $(or $(strip $(ARGS)),-n 2) && exit $$failed

lint: dev ## ruff, mypy --strict, stubtest, cython-lint, import layers, configuration reference
	scripts/lint.sh

format: dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: dev ## micro benchmarks, then nginx and fastgw under the same load; ARGS=--quick for a short run
	$(BIN)/pytest bench/micro -c bench/micro/pytest.ini --benchmark-only
	$(BIN)/python -m bench.macro --out bench/out/latest.json $(ARGS)
	$(BIN)/python -m bench.report bench/out/latest.json >bench/RESULTS.md

build: dev ## wheel and sdist into dist/
	scripts/build.sh

fuzz: dev .venv/.fuzz ## every target of tests/fuzz for 60 s under atheris; ARGS="600 sse" for longer and one alone
	scripts/fuzz.sh $(ARGS)

asan: dev ## unit tests of the compiled modules under AddressSanitizer and UBSan
	scripts/asan.sh $(ARGS)

lock: ## resolve pyproject.toml into requirements/*.lock again (needs uv); ARGS=--upgrade moves every pin
	scripts/lock.sh $(ARGS)

clean: ## remove everything that the other targets made
	rm -rf .venv build dist bench/out tests/e2e/node/node_modules *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	rm -f fastgw/_speedups/*.so fastgw/_speedups/*.c fastgw/_speedups/*.html
	find fastgw tests bench scripts -name __pycache__ -prune -exec rm -rf {} +

.venv/.run: scripts/setup.sh requirements/build.lock requirements/run.lock
	@scripts/setup.sh run

.venv/.dev: scripts/setup.sh requirements/dev.lock | .venv/.run
	@scripts/setup.sh dev

.venv/.fuzz: scripts/setup.sh requirements/fuzz.lock | .venv/.run
	@scripts/setup.sh fuzz

.venv/.built: $(COMPILED) | .venv/.run
	@scripts/setup.sh build

$(NODE): tests/e2e/node/package-lock.json
	@scripts/setup.sh node
