#!/usr/bin/env bash
# Proves that the decisions stay pure: trefoil-core reaches no crate that does I/O, reads a clock,
# draws random numbers, starts threads or runs futures, on any platform, however far down.
#
# Crates that only run while compiling (proc macros and what they use) are in the listing too; none
# of those on the list below has a business there either.
set -euo pipefail
cd "$(dirname "$0")/.."

impure='^(tokio|tokio-.*|actix|actix-.*|actix_.*|async-std|async-io|async-executor|smol|futures-executor'
impure+='|mio|polling|io-uring|socket2|hyper|axum|reqwest|quinn.*|rustls.*|openssl.*'
impure+='|libc|rustix|nix|linux-raw-sys|errno|memmap2|tempfile|windows-sys|windows-targets'
impure+='|rand|rand_.*|getrandom|fastrand|uuid'
impure+='|chrono|time|jiff|quanta|instant|web-time'
impure+='|rayon|crossbeam-.*|dashmap|parking_lot.*|log|tracing.*|metrics.*|trefoil-.*)$'

# `bytes`, `crc-fast` and the like may need the standard library; that is what clippy.toml beside the
# crate and the tidy test look after.
# `cpufeatures` (of `blake3`) asks the processor what it can do, on some platforms through libc; that
# is the one way to libc which is left out here.
reached=$(cargo tree --locked -p trefoil-core -e normal --prefix none --target all \
    --prune cpufeatures \
    | awk '$1 != "trefoil-core" { print $1 }' | sort -u)
[ -n "$reached" ] || { echo 'purity: cargo tree listed nothing, so nothing was checked' >&2; exit 1; }

found=$(grep -E "$impure" <<<"$reached" || true)
if [ -n "$found" ]; then
    for crate in $found; do
        printf 'purity: trefoil-core reaches %s; who brings it: ' "$crate" >&2
        printf 'cargo tree -p trefoil-core -e normal --target all -i %s\n' "$crate" >&2
    done
    exit 1
fi
printf 'purity: trefoil-core reaches %d crates, none does I/O\n' "$(wc -l <<<"$reached")"
