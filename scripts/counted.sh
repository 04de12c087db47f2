#!/usr/bin/env bash
# Instructions of the functions that every write passes, counted by callgrind: a guard that a noisy
# machine cannot fool. Fails where a function takes more than its limit in benches/counted.txt.
#
# usage: scripts/counted.sh [record]
#
# `record` writes what was counted, and 5 % more, as the new limits (the same source in another
# directory is laid out in up to 2 % more): for a change that is meant, and for another version of
# the compiler, whose counts say nothing about these limits. Needs valgrind and installs it where it
# can (Debian: valgrind).
set -euo pipefail
cd "$(dirname "$0")/.."

LIMITS=benches/counted.txt
CALLS=50

compiler=$(rustc --version | cut -d ' ' -f 1,2)
if [ "${1:-}" != record ] && ! grep -qx "# $compiler" "$LIMITS"; then
    echo "skipped: the limits are of another compiler than $compiler (scripts/counted.sh record)"
    exit 0
fi
command -v valgrind >/dev/null || scripts/install.sh valgrind || true
if ! command -v valgrind >/dev/null; then
    echo 'skipped: valgrind is not installed (Debian: valgrind)'
    exit 0
fi
program=${HOT:-$(cargo bench --locked -p trefoil-benches --bench hot --no-run --message-format=json \
    2>/dev/null | python3 -c '
import json, sys
for line in sys.stdin:
    found = json.loads(line)
    if found.get("executable") and found["target"]["name"] == "hot":
        print(found["executable"])')}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
names=$(grep -oE 'case\("[a-z_]+"' benches/src/hot.rs | cut -d '"' -f 2)
failed=0
echo "# $compiler" >"$work/limits"
for name in $names; do
    valgrind --tool=callgrind --callgrind-out-file="$work/out" --collect-atstart=no \
        --toggle-collect='*counted_region*' "$program" "$name" "$CALLS" >/dev/null 2>"$work/said"
    total=$(sed -n 's/^summary: //p' "$work/out")
    count=$((${total:-0} / CALLS))
    if [ "$count" -eq 0 ]; then
        echo "$name: nothing was counted: $(tail -3 "$work/said")"
        exit 1
    fi
    echo "$name $((count + count * 5 / 100))" >>"$work/limits"
    limit=$(sed -n "s/^$name //p" "$LIMITS" 2>/dev/null || true)
    if [ "${1:-}" = record ]; then
        echo "$name: $count instructions a call"
    elif [ -z "$limit" ] || [ "$count" -gt "$limit" ]; then
        echo "$name: $count instructions a call, the limit is ${limit:-not recorded}"
        failed=1
    else
        echo "$name: $count instructions a call, within $limit"
    fi
done
if [ "${1:-}" = record ]; then
    cp "$work/limits" "$LIMITS"
fi
exit $failed
