#!/usr/bin/env bash
# End-to-end runs: three real daemons on TCP and files, killed and taken over, with real NBD clients.
#
# usage: scripts/e2e.sh [--short] [--only WORD] [--list]
#
# Needs fio with its nbd engine, qemu-img, openssl, mke2fs, e2fsck and python3 with libnbd. What is missing is
# installed from Debian's packages, if this is Debian and the user may; if not, it is named, and
# nothing is run. Each claim is one line with its figures; the last line is their sum. Each scenario
# has a directory of its own under $TREFOIL_E2E_DIR (or $TMPDIR, or /tmp): it is removed, or kept
# with its logs and named, if the scenario failed. Exit status: 0 if no claim failed, 1 otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian's python3 is the one that Debian's python3-libnbd belongs to.
PYTHON=/usr/bin/python3
PATH=$PATH:/usr/sbin:/sbin

# What is missing: pairs of "thing package", one a line.
missing() {
    command -v fio >/dev/null || echo 'fio fio'
    command -v qemu-img >/dev/null || echo 'qemu-img qemu-utils'
    command -v mke2fs >/dev/null || echo 'mke2fs e2fsprogs'
    command -v e2fsck >/dev/null || echo 'e2fsck e2fsprogs'
    command -v openssl >/dev/null || echo 'openssl openssl'
    command -v setpriv >/dev/null || echo 'setpriv util-linux'
    if ! [ -x $PYTHON ]; then
        echo "$PYTHON python3"
        echo 'libnbd-for-python python3-libnbd'
    elif ! $PYTHON -c 'import nbd' 2>/dev/null; then
        echo 'libnbd-for-python python3-libnbd'
    fi
}

lacking=$(missing)
if [ -n "$lacking" ]; then
    mapfile -t packages < <(cut -d ' ' -f 2 <<<"$lacking" | sort -u)
    scripts/install.sh "${packages[@]}" || true
    lacking=$(missing)
fi
if [ -n "$lacking" ]; then
    echo 'the end-to-end run needs what is not here, and could not install it:' >&2
    while read -r thing package; do echo "  $thing (Debian: $package)" >&2; done <<<"$lacking"
    exit 1
fi
if ! fio --enghelp 2>/dev/null | grep -qw nbd; then
    echo 'the end-to-end run needs fio with its nbd engine (Debian: fio)' >&2
    exit 1
fi

# The short run is part of the tests; the whole one tries what is delivered.
profile=release
[[ " $* " == *" --short "* ]] && profile=dev
TREFOIL=$(scripts/daemon.sh $profile)
export TREFOIL PYTHONDONTWRITEBYTECODE=1
exec $PYTHON scripts/e2e/main.py "$@"
