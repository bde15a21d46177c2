#!/bin/bash
# Build a real Ollama by its module name with the Go client (2 to 3 minutes cold, module cache 0.5 GB).
# Its runner is the llama-server of get_llama_server.sh, which this calls first. Quick when all is there.
#   get_ollama.sh DIR      ->  DIR/bin/ollama, DIR/lib/ollama/llama-server
set -euo pipefail
die() { echo "get_ollama: $*" >&2; exit 1; }

[ $# = 1 ] || die "usage: get_ollama.sh DIR"
V=0.32.15
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
D=$(mkdir -p "$1" && cd "$1" && pwd)
"$here/get_llama_server.sh" "$D"

# It looks for its runner in ../lib/ollama, seen from its own place.
mkdir -p "$D/bin" "$D/lib/ollama"
for program in llama-server llama-quantize; do ln -sfn "../../bin/$program" "$D/lib/ollama/$program"; done

# Asks a port where nothing listens, so that only the program's own version is told.
works() { OLLAMA_HOST=127.0.0.1:9 "$D/bin/ollama" --version 2>&1 | grep -F "$V" >/dev/null; }
if works; then exit 0; fi

command -v go >/dev/null || die "needs Go (1.26 or newer) on PATH; Debian 12's own is too old"
command -v gcc >/dev/null || "$here/apt-install.sh" gcc libc6-dev
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT
build() {
  CGO_ENABLED=1 GOBIN=$W go install -ldflags "-X=github.com/ollama/ollama/version.Version=$V" \
    "github.com/ollama/ollama@v$V"
}
echo "get_ollama: building v$V with $(go version)" >&2
build >&2 || { echo "get_ollama: failed, once more in 5 s" >&2; sleep 5; build >&2; } ||
  die "go install failed (is Go new enough, the module proxy reachable, and 2 GB of disk free?)"
mv -f "$W/ollama" "$D/bin/ollama"
works || die "$D/bin/ollama does not report version $V"
