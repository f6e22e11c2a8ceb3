#!/usr/bin/env bash
# Builds sdist and wheel into dist/ with the locked build tools.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf dist build/wheel
.venv/bin/python -c 'from setuptools import build_meta; build_meta.build_sdist("dist")' >/dev/null
.venv/bin/python -m pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
# The wheel is made from the sdist, so this also proves that the sdist holds every source.
contents=$(.venv/bin/python -m zipfile --list dist/*.whl)
for module in fastgw/_speedups/*.pyx; do
    grep -q "^${module%.pyx}\..*\.so " <<<"$contents" || { echo "error: $module is not in the wheel" >&2; exit 1; }
done
ls -l dist
