#!/usr/bin/env bash
# Installs packages of Debian: as root, or where sudo asks for no password. Fails where it cannot.
#
# usage: scripts/install.sh PACKAGE...
set -euo pipefail

command -v apt-get >/dev/null || exit 1
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || exit 1
    as_root=(sudo -n)
fi
echo "installing $*"
export DEBIAN_FRONTEND=noninteractive
options=(-y -qq --no-install-recommends -o DPkg::Lock::Timeout=120)
# A fresh machine has no lists of packages, an old one may have outdated ones.
{
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install "${options[@]}" "$@"
} >/dev/null
