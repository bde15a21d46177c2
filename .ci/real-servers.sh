#!/bin/bash
# Install the real servers and models that the tests use, under ${AI_MONITOR_REAL_SERVERS:-$HOME/.cache/ai-monitor-real-servers}.
# Cold it takes some minutes (Go builds Ollama, pip compiles llama-cpp-python); quick when all is there. Progress on stderr; at the end, on stdout,
# AI_MONITOR_REAL_SERVERS=DIR and what DIR holds. One run at a time, a second one waits.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
die() { echo "real-servers: $*" >&2; exit 1; }
say() { echo "real-servers: $*" >&2; }

# Inside a network of its own (see below): let a temporary Ollama make the store.
#   real-servers.sh --store SERVERS STORE PORT WORK
if [ "${1-}" = --store ]; then
  D=$2 store=$3 W=$5
  if [ "$4" = own ]; then
    ip link set lo up; port=11434
  else
    port=$4
  fi
  export HOME=$W/home OLLAMA_MODELS=$store OLLAMA_HOST=127.0.0.1:$port OLLAMA_NO_CLOUD=1 OLLAMA_NOPRUNE=1
  unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
  mkdir -p "$HOME"
  "$D/bin/ollama" serve > "$W/serve.log" 2>&1 &
  serve=$!
  trap 'kill "$serve" 2>/dev/null || true; wait "$serve" 2>/dev/null || true' EXIT
  for _ in $(seq 150); do
    kill -0 "$serve" 2>/dev/null || die "ollama serve ended: $(tail -n 5 "$W/serve.log")"
    if "$D/bin/ollama" list >/dev/null 2>&1; then break; fi
    sleep 0.2
  done
  while read -r name file context; do
    # Ollama breaks an answer off, with no last "done", after 30 times the same token: sample so that this does not happen.
    printf 'FROM %s\nPARAMETER %s\n' "$D/models/$file" "num_ctx $context" > "$W/Modelfile"
    printf 'PARAMETER %s\n' 'num_thread 1' 'temperature 2' 'repeat_penalty 1.5' >> "$W/Modelfile"
    "$D/bin/ollama" create "$name" -f "$W/Modelfile" > "$W/create.log" 2>&1 ||
      die "ollama create $name: $(tail -n 3 "$W/create.log") $(tail -n 5 "$W/serve.log")"
  done < "$W/list"
  exit 0
fi

D=${AI_MONITOR_REAL_SERVERS:-${HOME:?HOME is not set}/.cache/ai-monitor-real-servers}
D=$(mkdir -p "$D/models" && cd "$D" && pwd)
exec 9> "$D/.lock"
command -v flock >/dev/null || "$here/apt-install.sh" util-linux 9>&-
flock -n 9 || { say "waiting for another run"; flock 9; }
rm -rf "$D"/.work.* "$D"/.unpacked.*   # of a run that was killed

"$here/get_llama_server.sh" "$D" 9>&-
"$here/get_ollama.sh" "$D" 9>&-
"$here/get_llama_cpp_python.sh" "$D" 9>&-

W=$(mktemp -d "$D/.work.XXXXXX"); trap 'rm -rf "$W"' EXIT

# The models, made again when the script that makes them, or this list, has changed.
models='tiny.gguf
tiny-b.gguf --seed 2 --name tiny-b
embed.gguf --pooling --name embed
slow.gguf --layers 10 --embd 1024 --ctx 4096 --name slow'
made_by=$( { echo "$models"; cat "$here/make_tiny_gguf.py"; } | sha256sum | cut -d' ' -f1)
complete() { local f; for f in tiny tiny-b embed slow broken; do [ -s "$D/models/$f.gguf" ] || return 1; done; }
if ! complete || [ "$(cat "$D/models/.made-by" 2>/dev/null)" != "$made_by" ]; then
  say "making the models"
  python3 -c 'import ensurepip, venv' 2>/dev/null || "$here/apt-install.sh" python3 python3-venv
  python3 -m venv "$W/v"
  "$W/v/bin/pip" -q install gguf==0.19.0 numpy >&2 || "$W/v/bin/pip" -q install gguf==0.19.0 numpy >&2 ||
    die "pip could not install gguf and numpy"
  while read -r file arguments; do
    # shellcheck disable=SC2086
    "$W/v/bin/python" "$here/make_tiny_gguf.py" "$W/$file" $arguments >&2
    mv -f "$W/$file" "$D/models/$file"
  done <<< "$models"
  head -c 5000 "$D/models/tiny.gguf" > "$W/broken.gguf"
  mv -f "$W/broken.gguf" "$D/models/broken.gguf"
  echo "$made_by" > "$D/models/.made-by"
fi

# The store: a folder that a test links or copies and gives to `ollama serve` as OLLAMA_MODELS.
list='tiny tiny.gguf 512
tinyb tiny-b.gguf 512
embed embed.gguf 512
slow slow.gguf 4096'
store=$D/ollama-models
stored_by=$( { echo "$list $made_by"; cat "${BASH_SOURCE[0]}"; OLLAMA_HOST=127.0.0.1:9 "$D/bin/ollama" --version 2>&1 || true; } | sha256sum | cut -d' ' -f1)
store_complete() {
  [ "$(cat "$store/.made-by" 2>/dev/null)" = "$stored_by" ] || return 1
  local digest
  [ -d "$store/manifests" ] || return 1
  while read -r digest; do
    [ -s "$store/blobs/${digest/:/-}" ] || return 1
  done < <(grep -rohE 'sha256:[0-9a-f]+' "$store/manifests")
}
if ! store_complete; then
  say "making the Ollama store"
  echo "$list" > "$W/list"
  if unshare -Urn sh -c 'ip link set lo up' 2>/dev/null; then
    timeout -k 5 300 unshare -Urn "${BASH_SOURCE[0]}" --store "$D" "$W/store" own "$W" 9>&- >&2
  else
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    timeout -k 5 300 "${BASH_SOURCE[0]}" --store "$D" "$W/store" "$port" "$W" 9>&- >&2
  fi
  # Ollama writes a model file of its own from each upload; the uploads themselves are not needed.
  for blob in "$W"/store/blobs/sha256-*; do
    digest=$(basename "$blob")
    grep -rqF "${digest/-/:}" "$W/store/manifests" || rm "$blob"
  done
  echo "$stored_by" > "$W/store/.made-by"
  rm -rf "$store"
  mv "$W/store" "$store"
fi

cat <<END
AI_MONITOR_REAL_SERVERS=$D
bin/llama-server
bin/ollama
llama-cpp-python/bin/python -m llama_cpp.server
$(cd "$D" && ls models/*.gguf)
ollama-models/
END
