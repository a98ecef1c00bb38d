#!/usr/bin/env bash
# The whole way on a fresh machine: builds Caffe, draws people in the layouts of all four datasets, prepares pairs, trains
# the stages one on the other, ranks the test identities and prints the paper's Tables I and II beside ours.
# Interrupted, it resumes when called again. Once Caffe is built, about 4 minutes of two cores.
#   tools/quickstart.sh [--out DIR] [--seed N]        default: runs/quickstart, seed 0; another seed draws other people
set -euo pipefail
unset CDPATH  # `cd` goes where it says
usage() { echo "usage: tools/quickstart.sh [--out DIR] [--seed N]" >&2; exit 2; }
out=runs/quickstart seed=0
while [ $# -gt 0 ]; do
  case $1:${2:-} in
    --out:?*) out=$2 ;;
    --seed:*) [[ ${2:-} =~ ^[0-9]{1,6}$ ]] || usage; seed=$((10#$2)) ;;
    *) usage ;;
  esac
  shift 2
done
mkdir -p -- "$out"
out=$(cd -- "$out" && pwd)
cd "$(dirname "$(readlink -f -- "$0")")/.."
step() { printf '\n== %s\n' "$*"; }
# people STAGE LAYOUT IDENTITIES TESTED NUMBER: nobody is in two stages, as nobody is in two of the paper's datasets
people() {
  [ -e "$out/raw/$1/GENERATED.json" ] ||
    .venv/bin/python -m data_prep.people --layout "$2" --out "$out/raw/$1" --identities "$3" --tested "$4" \
      --seed $((100 * seed + $5))
}
# pairs STAGE DATASET EPOCHS
pairs() { .venv/bin/python -m data_prep "$2" --raw "$out/raw/$1" --out "$out/data/$1" --split 0 --epochs "$3"; }
# train STAGE SETTING...
train() {
  local stage=$1
  shift
  tools/train_stage.sh "$stage" --data "$out/data" --out "$out/runs" --base tiny --cpu \
    --set "seed=$seed" evaluate_every=100 "$@"
}
# tune STAGE EPOCHS: a stage that starts from trained weights, where `tiny` learns best at half the rate of random ones;
# the last EPOCHS at a fifth of that (docs/training.md, Small datasets)
tune() { echo "$1.lr=0.0005" "$1.lr_final_epochs=$2"; }

step "Caffe"
tools/install_caffe.sh
step "generated people, one set for each dataset, and one in place of ImageNet"
export -f people    # five words for each call, as many calls at a time as there are cores
export out seed
xargs -P "$(nproc)" -n 5 bash -ec 'people "$@"' people <<END
market1501 market1501 110 50 2
viper viper 1000 200 5
cuhk03 cuhk03 190 95 3
cuhk01 cuhk01 400 100 4
pretraining folder 100 50 1
END
mkdir -p "$out/raw/large"
ln -sfn ../market1501 ../cuhk03 "$out/raw/large"
step "images and pairs"
pairs pretraining folder 2
pairs market1501 market1501 2
pairs cuhk03 cuhk03 3
pairs large large 1
pairs cuhk01 cuhk01 3
pairs viper viper 2
step "the chain: pre-training, large, CUHK01, VIPeR"
train viper $(tune cuhk01 0.9) $(tune viper 0.6)
step "Market-1501 and CUHK03, straight from the pre-training"
train market1501 $(tune market1501 0.6)
train cuhk03 $(tune cuhk03 0.9)
step "where VIPeR's net comes from"
.venv/bin/python tools/lineage.py "$out/runs/viper/split00"
step "tables"
.venv/bin/python tools/report.py --runs "$out/runs" --out "$out/report"
