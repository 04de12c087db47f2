#!/usr/bin/env bash
# Tells the failover story over transports and backends that differ by a word, and fails if a
# sentence of it is false.
#
# usage: scripts/demo.sh [--all]
#
# Without --all: each transport and each backend at least once. The reports are left in target/.
set -euo pipefail
cd "$(dirname "$0")/.."

pairs=(memory,memory tcp,file tcp+tls,mmap quic,file)
if [ "${1:-}" = --all ]; then
    pairs=()
    for transport in memory tcp tcp+tls quic; do
        for backend in memory file mmap; do pairs+=("$transport,$backend"); done
    done
fi

mkdir -p target
cargo build --locked --release --quiet
for pair in "${pairs[@]}"; do
    transport=${pair%,*} backend=${pair#*,}
    cargo run --locked --release --quiet -- demo --script failover \
        --transport "$transport" --backend "$backend" \
        --report "target/report-$transport-$backend.json"
done
echo "${#pairs[@]} passed, 0 failed"
