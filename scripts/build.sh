#!/usr/bin/env bash
# Builds sdist and wheel into dist/ with the locked build tools.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf dist build/wheel
.venv/bin/python -c 'from setuptools import build_meta; print(build_meta.build_sdist("dist"))'
.venv/bin/python -m pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
ls -l dist
