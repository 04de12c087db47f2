#!/usr/bin/env bash
# Prints the path of an etcd: the one that is installed, or Debian's package unpacked below the
# directory given (so that no service starts). Exit status 1, with what is missing, if there is none.
#
# usage: scripts/etcd.sh DIRECTORY
set -euo pipefail

command -v etcd && exit 0
mkdir -p "$1"
cd "$1"
# Tests ask at once: a program that dpkg is still writing cannot be started ("text file busy").
exec 9>lock
flock 9
if ! [ -x usr/bin/etcd ]; then
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
        echo 'etcd is not here (Debian: etcd-server)' >&2
        exit 1
    }
    apt-get download -qq etcd-server >/dev/null 2>&1 || {
        echo 'etcd is not here (Debian: etcd-server), and its package cannot be fetched' >&2
        exit 1
    }
    dpkg -x etcd-server_*.deb .
    rm -f etcd-server_*.deb
fi
echo "$PWD/usr/bin/etcd"
