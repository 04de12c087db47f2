#!/usr/bin/env bash
# Tells the failover story over transports and backends that differ by a word, and fails if a
# sentence of it is false.
#
# usage: scripts/demo.sh [--all]
#
# Without --all: each transport and each backend at least once, by a daemon built as the tests are;
# with it all of them, by what is delivered. The reports are left in target/.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=dev
pairs=(memory,memory tcp,file tcp+tls,mmap quic,file)
if [ "${1:-}" = --all ]; then
    profile=release
    pairs=()
    for transport in memory tcp tcp+tls quic; do
        for backend in memory file mmap; do pairs+=("$transport,$backend"); done
    done
fi

mkdir -p target
TREFOIL=$(scripts/daemon.sh $profile)
for pair in "${pairs[@]}"; do
    transport=${pair%,*} backend=${pair#*,}
    "$TREFOIL" demo --script failover \
        --transport "$transport" --backend "$backend" \
        --report "target/report-$transport-$backend.json"
done
echo "${#pairs[@]} passed, 0 failed"
