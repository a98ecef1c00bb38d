#!/bin/sh
# What is to be shown on a machine with a GPU, in two parts of less than 10 minutes each; every step's output goes to a file.
#   benchmarks/train/on_gpu.sh tests OUT                   what is installed, and our tests
#   benchmarks/train/on_gpu.sh speed OUT [TORCH_PYTHON]    the tables; TORCH_PYTHON: a Python that has PyTorch and NumPy
# Runs from a checkout with a GPU build, or from the unpacked bundle (tools/bundle.sh). Nothing else may use the card.
[ $# -ge 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
part=$1 torch=${3:+--torch-python=$3}
mkdir -p "$2" && out=$(cd "$2" && pwd) && cd "$(dirname "$0")/../.." || exit 2
failed=0

# step NAME SECONDS COMMAND…: a step that fails, or is cut off, does not keep the next from running
step() {
    name=$1 seconds=$2
    shift 2
    timeout -k 10 "$seconds" "$@" >"$out/$name.txt" 2>&1
    status=$?
    echo "$name: exit status $status, $out/$name.txt"
    tail -n 15 "$out/$name.txt"
    [ $status = 0 ] || failed=1
}

case $part in
tests)
    step doctor 60 tools/doctor
    step card 20 nvidia-smi
    step tests 420 .venv/bin/python -m pytest -q -rs tests/test_gpu.py tests/test_memory.py tests/test_copies.py
    ;;
speed)
    step resnet50 280 .venv/bin/python benchmarks/train/run.py --gpu 0 --base resnet50 --fixed --updates 15 --warm-up 5 \
        --repeats 2 --json "$out/resnet50.json" $torch
    step vgg16 200 .venv/bin/python benchmarks/train/run.py --gpu 0 --base vgg16 --fixed --updates 10 --warm-up 3 \
        --repeats 1 --json "$out/vgg16.json" $torch
    step fed 100 .venv/bin/python benchmarks/train/run.py --gpu 0 --base resnet50 --updates 15 --warm-up 5 --repeats 1 \
        --variant Caffe --json "$out/fed.json"
    ;;
*)
    echo "error: $part: tests or speed" >&2
    exit 2
    ;;
esac
exit $failed
