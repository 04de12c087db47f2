#!/usr/bin/env bash
# Runs the unit tests of the pure core's words, records and messages under Miri, which finds
# undefined behaviour. Core has no `unsafe` of its own; what is tried is what it does with the crates
# it uses. The engines' tests are left out, and those that hash whole blocks: they take Miri hours.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo 'skipped: cargo +nightly miri is not there; install it with'
    echo '    rustup toolchain install nightly --component miri,rust-src'
    exit 0
fi
# Property tests take few cases (Miri is some hundred times slower), and their seed from outside.
export MIRIFLAGS="${MIRIFLAGS:--Zmiri-disable-isolation}"
export PROPTEST_CASES="${PROPTEST_CASES:-2}"
cargo +nightly miri test --locked -p trefoil-core --target-dir target/miri --lib --no-fail-fast \
    -- model:: record:: wire:: --skip wire::compare --skip model::block_hash
