#!/usr/bin/env bash
# Resolves pyproject.toml into requirements/*.lock: exact versions and hashes, valid for every supported Python.
# run.lock is the product alone, build.lock what compiles it, dev.lock what tests, lints and benches it (a superset of both),
# fuzz.lock the product with the fuzzer, which not every Python has a wheel of.
# Without arguments pins stay unless pyproject.toml forbids them; --upgrade moves them all.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
if ! command -v "$uv" >/dev/null; then
    echo "error: $uv not found; install uv or set UV" >&2
    exit 1
fi

compile() { # output, then inputs and options
    local output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
        --no-emit-package fastgw --output-file "requirements/$output.lock" "$@"
}

python=${PYTHON:-.venv/bin/python}
build_requires=$(mktemp --suffix=.in)
trap 'rm -f "$build_requires"' EXIT
"$python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' >"$build_requires"

compile dev pyproject.toml "$build_requires" --extra test --extra lint "$@"
compile fuzz pyproject.toml --extra fuzz --constraint requirements/dev.lock
compile run pyproject.toml --constraint requirements/dev.lock
compile build "$build_requires" --constraint requirements/dev.lock
