#!/usr/bin/env bash
# The tests of the workspace, the simulation aside (`make sim` runs it): by cargo-nextest where it
# is installed, by cargo test where it is not.
set -euo pipefail
cd "$(dirname "$0")/.."

if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --no-fail-fast --status-level fail \
        --final-status-level fail
    # nextest does not run the examples in the documentation.
    cargo test --locked --workspace --doc
else
    echo 'cargo-nextest is not installed: running the tests with cargo test, which does the same'
    cargo test --locked --workspace --no-fail-fast
fi
