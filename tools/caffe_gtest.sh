#!/usr/bin/env bash
# Compiles and runs upstream's own C++ tests (googletest) of the layers and solvers that the nets here are made of, against
# the build that is in .venv. In a bundle they are compiled already (tools/bundle.sh --with-gtest).
#   tools/caffe_gtest.sh [FILTER]      for example '*Convolution*'; default: all
# Tests that need a card run where the GPU build is installed and a card is present. TF32 is off: they expect float32.
set -euo pipefail
unset CDPATH  # `cd` goes where it says
cd "$(dirname "$(readlink -f -- "$0")")/.."
tools/install_caffe.sh
filter=${1:-*}
build=build/caffe/build cards=0
if grep -q '"gpu": true' .venv/caffe-build.json; then
  build=build/caffe/build-gpu
  cards=$(.venv/bin/python -c 'from reid.common.errors import InputError
from reid.engine import device
try:
    print(len(device.cards()))
except InputError:
    print(0)')
  # Of a test's four types, 2 and 3 are float and double on the GPU.
  [ "$cards" -gt 0 ] || filter="$filter-*GPU*:*CuDNN*:*/2.*:*/3.*"
fi
program=$PWD/.venv/bin/caffe_gtest
if [ ! -x "$program" ]; then
  [ -d "$build" ] || { echo "error: $build is missing: upstream's tests are compiled where Caffe was" >&2; exit 2; }
  cmake --build "$build" --target caffe_gtest
  program=$PWD/$build/caffe_gtest
  export LD_LIBRARY_PATH="$PWD/.venv/lib:$PWD/.venv/lib/cuda"
fi
echo "cards: $cards"
export CAFFE_TF32=0
cd build/caffe/source  # the tests read src/caffe/test/test_data
exec "$program" --gtest_filter="$filter"
