#!/usr/bin/env bash
# Runs the tests, after setting up what is missing.
#   tools/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$(readlink -f -- "$0")")/.."
tools/install_caffe.sh
missing=
for package in $(sed 's/#.*//' tools/packages-test); do
  .venv/bin/python -c "import ${package#python3-}" 2>/dev/null || missing="$missing $package"
done
if [ -n "$missing" ]; then
  install="apt-get install --no-install-recommends$missing"
  [ "$(id -u)" = 0 ] || { echo "error: Debian packages are missing; as root: $install" >&2; exit 2; }
  echo "installing Debian packages:$missing"
  mkdir -p build
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive $install -qy; } >build/test.log 2>&1 ||
    { echo "error: apt-get could not install$missing: $(tail -n1 build/test.log) (build/test.log)" >&2; exit 2; }
fi
exec .venv/bin/python -m pytest "$@"
