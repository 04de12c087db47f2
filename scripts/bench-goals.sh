#!/usr/bin/env bash
# The goals that are no comparison with peers (third site, lag, resync, deltas, latency, packing,
# takeover, restart, scale, memory): one line of figures each.
#
# usage: [FULL=1] [GOALS="lag takeover"] scripts/bench-goals.sh
#
# Needs fio with its nbd engine, a C compiler and python3 with libnbd (Debian: python3-libnbd).
set -euo pipefail
cd "$(dirname "$0")/.."

TREFOIL=$(scripts/daemon.sh release)
export TREFOIL PYTHONDONTWRITEBYTECODE=1
# Debian's python3 is the one that Debian's python3-libnbd belongs to.
read -ra goals <<<"${GOALS:-}"
exec /usr/bin/python3 benches/goals/main.py "${goals[@]}"
