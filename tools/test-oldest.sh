#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests of what nova-scheduler loads against the oldest Nova that is
# supported, in a virtual environment of its own, build/oldest. It is made from
# requirements/oldest.txt, and made again when that changes.
set -euo pipefail

cd "$(dirname "$0")/.."
VENV=$PWD/build/oldest
STAMP=$VENV/made-from
LOCK=requirements/oldest.txt

if ! cmp --silent "$LOCK" "$STAMP"; then
    unset PYTHONDONTWRITEBYTECODE
    export UV_CACHE_DIR=$PWD/build/uv-cache
    export TMPDIR=$PWD/build/tmp
    mkdir -p "$UV_CACHE_DIR" "$TMPDIR"
    rm -rf "$VENV"
    echo "making the virtual environment $VENV"
    .venv/bin/python -m venv --without-pip "$VENV"
    .venv/bin/uv pip install --quiet --python "$VENV/bin/python" \
        --compile-bytecode --requirement "$LOCK"
    rm -rf "$UV_CACHE_DIR" "$TMPDIR"
    cp "$LOCK" "$STAMP"
fi

"$VENV/bin/python" -c 'import importlib.metadata as m; print("nova", m.version("nova"))'
# Nova chooses as the planner's policies do: that is the planner's test, not ours.
exec "$VENV/bin/python" -m pytest tests/unit/scheduler tests/unit/scoreboard \
    --ignore tests/unit/scheduler/test_capacity_imitates_nova.py "$@"
