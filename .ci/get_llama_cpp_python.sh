#!/bin/bash
# Install llama-cpp-python's server: an OpenAI-compatible server that is not llama.cpp's own. PyPI has its sources
# only, so it is compiled: some minutes, once. Quick when it is there.
#   get_llama_cpp_python.sh DIR      ->  DIR/llama-cpp-python/bin/python -m llama_cpp.server
set -euo pipefail
die() { echo "get_llama_cpp_python: $*" >&2; exit 1; }

[ $# = 1 ] || die "usage: get_llama_cpp_python.sh DIR"
V=0.3.36
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
D=$(mkdir -p "$1" && cd "$1" && pwd)
home=$D/llama-cpp-python

works() {
  "$home/bin/python" -c "import llama_cpp, llama_cpp.server.app as a; assert llama_cpp.__version__ == '$V', a" 2>/dev/null
}
if works; then exit 0; fi

python3 -c 'import ensurepip, venv' 2>/dev/null || "$here/apt-install.sh" python3 python3-venv python3-dev
for program in gcc g++; do command -v "$program" >/dev/null || "$here/apt-install.sh" g++; done
# The file that it is moved to is in it: made in its last place, and taken away where that failed.
rm -rf "$home"
trap 'works || rm -rf "$home"' EXIT
python3 -m venv "$home"
# Its speed is no matter here: without the optimisations that take the compiler longest, without vision and tools.
export CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O1 -DCMAKE_CXX_FLAGS_RELEASE=-O1
  -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF -DGGML_CPU_REPACK=OFF -DLLAVA_BUILD=OFF -DLLAMA_CURL=OFF"
CMAKE_ARGS=$(echo "$CMAKE_ARGS" | tr -s '\n ' ' ')
build() { "$home/bin/pip" -q install --no-cache-dir "llama-cpp-python[server]==$V" >&2; }
began=$SECONDS
echo "get_llama_cpp_python: compiling $V" >&2
build || { echo "get_llama_cpp_python: failed, once more in 5 s" >&2; sleep 5; build; } ||
  die "pip install failed (are a C++ compiler and the package index there?)"
works || die "$home is there and llama_cpp.server cannot be imported"
echo "get_llama_cpp_python: took $((SECONDS - began)) s" >&2
