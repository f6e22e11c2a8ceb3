#!/usr/bin/env bash
# One step of the installation into .venv: run | dev | fuzz | build | node. The Makefile decides which steps are due.
# Every package is pinned by version and hash; only the package index is asked.
set -euo pipefail
cd "$(dirname "$0")/.."
step=${1:?usage: setup.sh run|dev|fuzz|build|node}
python=${PYTHON:-python3}

fail() {
    echo "error: $*" >&2
    exit 1
}

create_venv() {
    command -v "$python" >/dev/null || fail "$python not found; install Python 3.11 or newer, or set PYTHON=/path/to/python"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is $("$python" -V 2>&1); fastgw needs Python 3.11 or newer (set PYTHON=/path/to/python)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv module (Debian: apt-get install python3-venv)"
    local compiler=${CC:-cc}
    command -v "${compiler%% *}" >/dev/null || fail "no C compiler ($compiler) found (Debian: apt-get install gcc libc6-dev)"
    "$python" -c 'import os, sysconfig; os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null ||
        fail "the C headers of $("$python" -V) are missing (Debian: apt-get install python3-dev)"
    rm -rf .venv
    "$python" -m venv .venv
}

install() { # lock files
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes "${@/#/--requirement=}"
}

# A .venv that moved with the tree, or whose Python was upgraded away, cannot be used.
usable() {
    [ "$(.venv/bin/python -c 'import sys; print(sys.prefix)' 2>/dev/null)" = "$(pwd -P)/.venv" ]
}

require_usable() {
    usable || fail ".venv does not belong to this folder or its Python is gone; run 'make clean' first"
}

case $step in
run)
    usable || create_venv
    echo "installing the locked runtime dependencies into .venv"
    install requirements/build.lock requirements/run.lock
    ;;
dev)
    require_usable
    echo "installing the locked test and lint tools into .venv"
    install requirements/dev.lock
    ;;
fuzz)
    require_usable
    echo "installing the locked fuzzer into .venv"
    install requirements/fuzz.lock
    ;;
build)
    require_usable
    echo "compiling fastgw in place"
    # compat mode puts the checkout on the path by a plain .pth line: no import hook at start-up, and mypy can follow it.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-index --no-deps \
        --no-build-isolation --config-settings editable_mode=compat --editable .
    ;;
node)
    # Optional: the tests with SDKs for Node skip, and say so, without it.
    if ! command -v npm >/dev/null; then
        echo "npm not found: the tests with SDKs for Node will be skipped"
    else
        echo "installing the locked SDKs for Node into tests/e2e/node"
        npm ci --prefix tests/e2e/node --no-audit --no-fund --silent ||
            echo "npm ci failed: the tests with SDKs for Node will be skipped" >&2
    fi
    exit
    ;;
*) fail "unknown step: $step" ;;
esac
stamp=$step
[ "$step" = build ] && stamp=built
touch ".venv/.$stamp"
