#!/usr/bin/env bash
# Checks the dependencies against deny.toml, where cargo-deny is installed.
#
# usage: scripts/deny.sh [CHECK...]      default: bans licenses sources (these need no network)
set -euo pipefail
cd "$(dirname "$0")/.."

# What needs no tool of its own: one cryptography provider, one TLS stack.
second='^(aws-lc-.*|openssl|openssl-sys|native-tls|boring|boring-sys|mbedtls.*|s2n-.*)$'
reached=$(cargo tree --locked --workspace --all-features --target all -e normal,build --prefix none |
    awk '{ print $1 }' | sort -u)
grep -qx ring <<<"$reached" || { echo 'deny: ring is not in the tree: nothing was looked at' >&2; exit 1; }
if grep -E "$second" <<<"$reached" >&2; then
    echo 'deny: a second cryptography provider or TLS stack is in the tree; `cargo tree -i` says why' >&2
    exit 1
fi

if ! cargo deny --version >/dev/null 2>&1; then
    echo 'skipped: cargo-deny is not installed (cargo install cargo-deny --locked)'
    exit 0
fi
[ $# -gt 0 ] || set -- bans licenses sources
cargo deny --locked --log-level error check --hide-inclusion-graph "$@"
