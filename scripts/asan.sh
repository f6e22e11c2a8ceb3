#!/usr/bin/env bash
# Builds a copy of fastgw with AddressSanitizer and UBSan under build/asan and runs the compiled modules' unit tests on it.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
rm -rf build/asan
FASTGW_ASAN=1 .venv/bin/python setup.py --quiet build --build-base build/asan/work --build-lib build/asan
cp -r tests pyproject.toml build/asan/
cd build/asan
# CPython keeps its interned objects until exit: leak reports would be about it, not about fastgw.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONMALLOC=malloc
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    exec "$root/.venv/bin/python" -P -m pytest --timeout=0 -p no:cacheprovider "${@:-tests/unit/_speedups}"
