#!/usr/bin/env bash
# Checks the Python code with ruff, by the rules in pyproject.toml. Installs that ruff into .venv first, through pip (and pip, as root).
#   tools/lint.sh [ruff check arguments]      --fix mends what ruff can mend by itself
set -euo pipefail
cd "$(dirname "$(readlink -f -- "$0")")/.."
fail() { echo "error: $*" >&2; exit 2; }
pinned=tools/lint-requirements.txt
[ -x .venv/bin/python ] || fail ".venv is missing; run tools/install_caffe.sh first"
version=$(sed -n 's/^ruff==\([^ ]*\).*/\1/p' $pinned)
if [ "$(.venv/bin/ruff --version 2>/dev/null)" != "ruff $version" ]; then
  [ ! -e .venv/sealed ] || fail ".venv came whole with an image or a bundle; lint in a clone"
  install="apt-get install --no-install-recommends python3-pip"
  if ! /usr/bin/python3 -m pip --version >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || fail "pip is missing; as root: $install"
    mkdir -p build
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive $install -qy; } >build/lint.log 2>&1 ||
      fail "apt-get could not install python3-pip: $(tail -n1 build/lint.log) (build/lint.log)"
  fi
  mkdir -p build
  # The project's .venv has no pip of its own: the machine's installs into it.
  PIP_USER=0 /usr/bin/python3 -m pip --python .venv/bin/python install --quiet --no-deps --no-cache-dir \
    --only-binary :all: --require-hashes -r $pinned >build/lint.log 2>&1 ||
    fail "pip could not install ruff $version: $(grep -m1 '^ERROR' build/lint.log || tail -n1 build/lint.log)" \
      "(build/lint.log)"
fi
exec .venv/bin/ruff check "$@"
