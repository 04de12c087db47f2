#!/usr/bin/env bash
# Builds the daemon and prints its path.
#
# usage: scripts/daemon.sh release|dev
#
# dev is what the tests are built with, so that nothing is compiled twice for them: optimised a
# little, and with every assertion. $TREFOIL, if it is set, names another one, and nothing is built.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${TREFOIL:-}" ]; then
    echo "$TREFOIL"
    exit
fi
profile=$1 directory=$1
# With all of the workspace, for then the features of the libraries are those of the tests.
[ "$profile" = dev ] && directory=debug
cargo build --locked --quiet --workspace --bin trefoil --profile "$profile" >&2
# Cargo says it in JSON, and no name in there ends like this one.
target=$(cargo metadata --locked --format-version 1 --no-deps |
    sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
echo "$target/$directory/trefoil"
