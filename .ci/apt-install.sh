#!/bin/bash
# Install the Debian packages named that are missing; quick when none is.
#   apt-install.sh PACKAGE...
set -euo pipefail
die() { echo "apt-install: $*" >&2; exit 1; }

have() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
missing() { local p; for p in "$@"; do have "$p" || echo "$p"; done; }

[ $# -gt 0 ] || die "usage: apt-install.sh PACKAGE..."
command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
  die "no apt-get here; install by hand what stands for these Debian packages: $*"
mapfile -t want < <(missing "$@")
[ ${#want[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then root=(env)
elif sudo -n true 2>/dev/null; then root=(sudo -n env)
else die "these packages are missing and need root or sudo without a password: ${want[*]}"; fi
root+=(DEBIAN_FRONTEND=noninteractive)
apt=("${root[@]}" apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)

echo "apt-install: ${want[*]}" >&2
for try in 1 2; do
  if "${apt[@]}" update >&2 && "${apt[@]}" install -y --no-install-recommends "${want[@]}" >&2; then
    mapfile -t left < <(missing "${want[@]}")
    [ ${#left[@]} -gt 0 ] || exit 0
  fi
  [ "$try" = 2 ] || { echo "apt-install: failed, once more in 5 s" >&2; sleep 5; }
done
die "could not install: $(missing "${want[@]}" | tr '\n' ' ')"
