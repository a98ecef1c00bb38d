#!/bin/sh
# Packs this project with Caffe, its libraries and Python into one file, which runs from any folder of any x86-64 Linux:
# without root, Docker, network or anything installed but NVIDIA's driver. Needs Debian 12 and xz, or the Docker image.
#   tools/bundle.sh [--out FILE] [--slim] [--system-cuda] [--with-gtest] [--part-size MB]
#     --out          default: build/dtl-reid-cpu.tar.xz or -gpu.tar.xz, as .venv is built
#     --slim         without what OpenCV and Python bring and this project never uses
#     --system-cuda  without CUDA and cuDNN: those of the machine are taken
#     --with-gtest   with upstream's C++ tests (tools/caffe_gtest.sh)
#     --part-size    in parts of at most so many megabytes, with their checksums and a script that joins them
root=$(dirname "$(dirname "$(readlink -f -- "$0")")")
if [ ! -x "$root/.venv/bin/python" ]; then
    echo "error: $root/.venv is missing; run tools/install_caffe.sh first" >&2
    exit 2
fi
exec "$root/.venv/bin/python" "$root/tools/bundle.py" "$@"
