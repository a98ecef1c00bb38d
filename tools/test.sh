#!/usr/bin/env bash
# Runs the tests, after setting up what is missing.
#   tools/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install_caffe.sh
exec .venv/bin/python -m pytest "$@"
