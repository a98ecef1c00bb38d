#!/usr/bin/env bash
# Runs the tests, after setting up what is missing.
#   tools/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$(readlink -f -- "$0")")/.."
tools/install_caffe.sh
# One thread: the tests' nets are small, and two threads that wait for each other on a busy machine take several times as long.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec .venv/bin/python -m pytest "$@"
