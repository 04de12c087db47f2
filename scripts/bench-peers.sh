#!/usr/bin/env bash
# The same fio jobs on two sites of this project and on its peers, in one run: one table of ratios.
#
# usage: [ROUNDS=3] [SECONDS_EACH=3] [JOBS="q16 q64"] [PEERS="quorum limit"] scripts/bench-peers.sh
#
# Needs fio with its nbd engine, qemu-nbd, qemu-storage-daemon, nbdkit, a C compiler and python3. What
# is missing is installed from Debian's packages, if this is Debian and the user may. The table, every
# sample as CSV and a plot go to target/bench-peers (or $OUT). See benches/peers/main.py for the rest.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() {
    command -v fio >/dev/null || echo fio
    command -v qemu-nbd >/dev/null || echo qemu-utils
    # qemu-storage-daemon has a package of its own, or comes with another one of qemu's.
    command -v qemu-storage-daemon >/dev/null || echo "${STORAGE_DAEMON:-qemu-system-common}"
    command -v nbdkit >/dev/null || echo nbdkit
    command -v setpriv >/dev/null || echo util-linux
    command -v cc >/dev/null || echo gcc
    command -v python3 >/dev/null || echo python3
}

mapfile -t packages < <(missing)
if [ "${#packages[@]}" -gt 0 ]; then
    scripts/install.sh "${packages[@]}" || true
    if [ -n "$(missing)" ]; then
        echo "the peers need: $(missing | tr '\n' ' ')" >&2
        exit 1
    fi
fi

TREFOIL=$(scripts/daemon.sh release)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LIMIT=$work/limit
cc -O2 -o "$LIMIT" benches/peers/limit.c
export TREFOIL LIMIT PYTHONDONTWRITEBYTECODE=1
SECONDS_EACH=${SECONDS_EACH:-3} python3 benches/peers/main.py
