#!/usr/bin/env bash
# Runs each target of tests/fuzz under atheris: fuzz.sh [SECONDS [NAME]]. Inputs that fail are left in build/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
for target in tests/fuzz/fuzz_${2:-*}.py; do
    name=$(basename "$target" .py)
    mkdir -p "build/fuzz/$name"
    echo "== $name, $seconds s"
    PYTHONPATH=. .venv/bin/python "$target" "build/fuzz/$name" -max_total_time="$seconds" \
        -artifact_prefix="build/fuzz/$name-" -print_final_stats=1
done
