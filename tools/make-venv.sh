#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes .venv from requirements/lock.txt with the project installed in it
# (editable). Does nothing when the environment was already made from this lock
# file, this setup.cfg and these sources of the C extension.
set -euo pipefail

cd "$(dirname "$0")/.."
VENV=$PWD/.venv
STAMP=$VENV/made-from

fail() {
    echo "make-venv: $*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in python3.11 /usr/bin/python3.11 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' \
            2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 with its venv module (Debian: python3.11 python3-venv)"
}

inputs() {
    local file
    for file in requirements/lock.txt setup.cfg setup.py \
        agent/membuddies_agent/*.[ch] guest_kmod/xxh3_4096.h; do
        if [ -e "$file" ]; then
            sha256sum "$file"
        fi
    done
}

wanted=$(inputs)
if [ -e "$STAMP" ] && [ "$(cat "$STAMP")" = "$wanted" ]; then
    exit 0
fi

# Bytecode is written once here, so that no service compiles again at its start.
unset PYTHONDONTWRITEBYTECODE
export UV_CACHE_DIR=$PWD/build/uv-cache
export TMPDIR=$PWD/build/tmp
mkdir -p "$UV_CACHE_DIR" "$TMPDIR"

echo "making the virtual environment $VENV"
if [ ! -x "$VENV/bin/python" ]; then
    python=$(find_python)
    "$python" -m venv "$VENV"
fi
rm -f "$STAMP"
if ! "$VENV/bin/python" -m uv --version >/dev/null 2>&1; then
    "$VENV/bin/python" -m pip install --quiet uv
fi
"$VENV/bin/python" -m uv pip install --quiet --python "$VENV/bin/python" \
    --compile-bytecode --requirement requirements/lock.txt
if [ -e setup.py ]; then
    "$VENV/bin/python" -m uv pip install --quiet --python "$VENV/bin/python" \
        --no-deps --editable .
fi
# What was unpacked is linked into the environment; the rest is of no more use.
rm -rf "$UV_CACHE_DIR" "$TMPDIR"
echo "$wanted" > "$STAMP"
