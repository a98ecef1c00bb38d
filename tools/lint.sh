#!/usr/bin/env bash
# Checks the Python code with ruff, by the rules in pyproject.toml. Installs that ruff into .venv first (tools/install_pinned.sh).
#   tools/lint.sh [ruff check arguments]      --fix mends what ruff can mend by itself
set -euo pipefail
cd "$(dirname "$(readlink -f -- "$0")")/.."
fail() { echo "error: $*" >&2; exit 2; }
pinned=tools/lint-requirements.txt
[ -x .venv/bin/python ] || fail ".venv is missing; run tools/install_caffe.sh first"
version=$(sed -n 's/^ruff==\([^ ]*\).*/\1/p' $pinned)
if [ "$(.venv/bin/ruff --version 2>/dev/null)" != "ruff $version" ]; then
  [ ! -e .venv/sealed ] || fail ".venv came whole with an image or a bundle; lint in a clone"
  tools/install_pinned.sh .venv build/lint.log $pinned
fi
exec .venv/bin/ruff check "$@"
