#!/usr/bin/env bash
# The whole way on a fresh machine: builds Caffe, draws people in the layouts of all four datasets, prepares pairs, trains
# the stages one on the other, ranks the test identities and prints the paper's Tables I and II beside ours.
# Interrupted, it goes on where it was when called again.
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
cd "$(dirname "$(readlink -f -- "$0")")/.."
step() { printf '\n== %s\n' "$*"; }
# people STAGE LAYOUT IDENTITIES SEED: nobody is in two stages, as nobody is in two of the paper's datasets
people() {
  [ -e "$out/raw/$1/GENERATED.json" ] ||
    .venv/bin/python -m data_prep.people --layout "$2" --out "$out/raw/$1" --identities "$3" --seed "$4"
}
# pairs STAGE DATASET EPOCHS
pairs() { .venv/bin/python -m data_prep "$2" --raw "$out/raw/$1" --out "$out/data/$1" --split 0 --epochs "$3"; }
train() { tools/train_stage.sh "$1" --data "$out/data" --out "$out/runs" --base tiny --cpu; }

step "Caffe"
tools/install_caffe.sh
step "generated people, one set for each dataset, and one in place of ImageNet"
people pretraining folder 100 1
people market1501 market1501 60 2
people cuhk03 cuhk03 60 3
people cuhk01 cuhk01 80 4
people viper viper 200 5
mkdir -p "$out/raw/large"
ln -sfn ../market1501 ../cuhk03 "$out/raw/large"
step "images and pairs"
pairs pretraining folder 5
pairs market1501 market1501 2
pairs cuhk03 cuhk03 2
pairs large large 1
pairs cuhk01 cuhk01 4
pairs viper viper 8
step "the chain: pre-training, large, CUHK01, VIPeR"
train viper
step "Market-1501 and CUHK03, straight from the pre-training"
train market1501
train cuhk03
step "where VIPeR's net comes from"
.venv/bin/python tools/lineage.py "$out/runs/viper/split00"
step "tables"
.venv/bin/python tools/report.py --runs "$out/runs" --out "$out/report"
