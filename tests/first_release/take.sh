#!/bin/sh
# Takes the first release's files from the sources as they are. It was run on the release's day, and is kept to show how:
# whoever runs it later replaces what was promised by what came after. See README.md.
set -eu
[ "${1-}" = --on-the-day-of-the-release ] || { echo "see README.md: nothing here is ever taken anew" >&2; exit 2; }
cd "$(dirname "$0")/../.."
to=tests/first_release

# Without the attributes that make the schemas of them: what reads those is no part of a plugin.
for module in effect event export io limits manifest report route session table; do
  sed -E '/^ *#\[cfg_attr\(test, .*\)\]$/d' "plugin-api/src/$module.rs" > "$to/plugin-api/src/$module.rs"
done
! grep -n schemars "$to"/plugin-api/src/*.rs
# Its kit, its tools for tests and what makes its golden files are left out; no plugin is built from them.
sed -E '/^pub mod (conformance|recording|testing);$/d; /^#\[cfg\(test\)\]$/{N;/\nmod golden;$/d;}' \
  plugin-api/src/lib.rs > "$to/plugin-api/src/lib.rs"
cp plugin-api/include/ai_monitor_plugin.h "$to/plugin-api/include/"
cp plugin-api/golden/*.schema.json "$to/schemas/"
cp plugins/example-c/koboldcpp.c plugins/example-c/koboldcpp.json "$to/c/"
