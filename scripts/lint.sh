#!/usr/bin/env bash
# Runs every static check, reports all that fail, and fails when one does.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-$PWD/.venv/bin}
PATH=$bin:$PATH # cython-lint calls pycodestyle by name
failed=()

check() { # name, command...
    local name=$1
    shift
    echo "== $name"
    "$@" || failed+=("$name")
}

modules=()
for source in fastgw/_speedups/*.pyx; do
    [ -e "$source" ] && modules+=("fastgw._speedups.$(basename "$source" .pyx)")
done

check "ruff check" "$bin/ruff" check --quiet .
check "ruff format" "$bin/ruff" format --check --quiet .
check "mypy" "$bin/mypy" --no-error-summary
if [ ${#modules[@]} -gt 0 ]; then
    check "stubtest" "$bin/stubtest" --mypy-config-file pyproject.toml --concise "${modules[@]}"
    check "cython-lint" "$bin/cython-lint" fastgw/_speedups
fi
check "layers" "$bin/python" scripts/layers.py
check "configuration reference" "$bin/python" scripts/reference.py --check

if [ ${#failed[@]} -gt 0 ]; then
    printf 'lint failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "lint passed"
