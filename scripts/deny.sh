#!/usr/bin/env bash
# Checks the dependencies against deny.toml, where cargo-deny is installed.
#
# usage: scripts/deny.sh [CHECK...]      default: bans licenses sources (these need no network)
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo 'skipped: cargo-deny is not installed (cargo install cargo-deny --locked)'
    exit 0
fi
[ $# -gt 0 ] || set -- bans licenses sources
cargo deny --locked --log-level error check --hide-inclusion-graph "$@"
