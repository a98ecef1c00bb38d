#!/usr/bin/env bash
# The whole way on a fresh machine: builds Caffe, draws people, prepares pairs, trains the siamese net, ranks the test
# identities and prints Table I's rows beside ours. Interrupted, it goes on where it was when called again.
#   tools/quickstart.sh [--out DIR]        default: runs/quickstart
set -euo pipefail
usage() { echo "usage: tools/quickstart.sh [--out DIR]" >&2; exit 2; }
out=runs/quickstart
case $# in
  0) ;;
  2) [ "$1" = --out ] && [ -n "$2" ] || usage; out=$2 ;;
  *) usage ;;
esac
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }

step "Caffe"
tools/install_caffe.sh
step "200 generated people, seen by two cameras"
.venv/bin/python -m data_prep.people --layout viper --out "$out/raw/viper" --identities 200 --seed 0
step "pairs for 30 epochs: 100 identities train, 100 are tested"
.venv/bin/python -m data_prep viper --raw "$out/raw/viper" --out "$out/data/viper" --split 0 --epochs 30
step "training: base network tiny, identification and verification"
# One thread: tiny's matrices are too small to share out (docs/nets.md), and the other core feeds.
OPENBLAS_NUM_THREADS=1 tools/train_stage.sh viper --data "$out/data/viper" --out "$out/runs" --base tiny --cpu
step "table"
.venv/bin/python tools/report.py --runs "$out/runs" --out "$out/report"
