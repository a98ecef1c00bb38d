#!/usr/bin/env bash
# Installs into a virtual environment, through the machine's pip, what requirements files pin with hashes; pip it gets as root from apt.
# For tools/lint.sh and tools/run_experiments.sh: the project itself needs nothing of it.
#   tools/install_pinned.sh VENV LOG FILE…    LOG: a new file, for what apt-get and pip say
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: tools/install_pinned.sh VENV LOG FILE…" >&2; exit 2; }
venv=$1 log=$2
shift 2
fail() { echo "error: $* ($log)" >&2; exit 2; }
apt="apt-get install --no-install-recommends python3-pip"
mkdir -p "$(dirname "$log")"
if ! /usr/bin/python3 -m pip --version >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] || { echo "error: pip is missing; as root: $apt" >&2; exit 2; }
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive $apt -qy; } >"$log" 2>&1 ||
    fail "apt-get could not install python3-pip: $(tail -n1 "$log")"
fi
# The virtual environments of this project have no pip of their own.
PIP_USER=0 /usr/bin/python3 -m pip --python "$venv/bin/python" install --quiet --no-deps --no-cache-dir --only-binary :all: \
  --require-hashes $(printf -- '-r %s ' "$@") >"$log" 2>&1 ||
  fail "pip could not install what $* pins: $(grep '^ERROR' "$log" | tail -n1)"
