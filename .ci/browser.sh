#!/bin/bash
# Install what the tests of the dashboard drive: chromium and chromedriver. Quick when both are there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! { command -v chromium && command -v chromedriver; } >/dev/null; then
  "$here/apt-install.sh" chromium chromium-driver fonts-dejavu-core
fi
for program in chromium chromedriver; do
  command -v "$program" >/dev/null || { echo "browser: $program is still missing" >&2; exit 1; }
  "$program" --version
done
