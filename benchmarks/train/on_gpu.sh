#!/bin/sh
# What is to be shown on a machine with a GPU, in parts. Each ends within ten minutes: no step starts or goes on after the
# part's 570 seconds, and one that does not end when told to is killed 10 seconds later.
#   benchmarks/train/on_gpu.sh tests OUT                   what is installed, and our tests
#   benchmarks/train/on_gpu.sh upstream OUT                upstream's own tests of what needs a card
#   benchmarks/train/on_gpu.sh layers OUT                  where an update goes, with the fused layers and without
#   benchmarks/train/on_gpu.sh speed OUT [TORCH_PYTHON]    the tables; TORCH_PYTHON: a Python that has PyTorch and NumPy
# Runs from a checkout with a GPU build, or from the unpacked bundle (tools/bundle.sh; upstream's tests are in one made
# with --with-gtest, and are compiled in a checkout: tools/caffe_gtest.sh before, once). Nothing else may use the card.
[ $# -ge 2 ] || { sed -n '2,9s/^# //p' "$0" >&2; exit 2; }
part=$1 torch=${3:+--torch-python=$3}
unset CDPATH    # `cd` goes where it says
mkdir -p -- "$2" && out=$(cd -- "$2" && pwd) && cd "$(dirname "$(readlink -f -- "$0")")/../.." || exit 2
python=.venv/bin/python failed=0
end=$(($(date +%s) + 570))

# step NAME SECONDS COMMAND…: one that fails, or is cut off, does not keep the next from running
step() {
    name=$1 seconds=$2 left=$((end - $(date +%s)))
    shift 2
    [ "$seconds" -le "$left" ] || seconds=$left
    if [ "$seconds" -le 0 ]; then
        echo "$name: not started, the part's time is over"
        failed=1
        return
    fi
    timeout -k 10 "$seconds" "$@" >"$out/$name.txt" 2>&1
    status=$?
    [ $status = 124 ] || [ $status = 137 ] && echo "cut off after $seconds s" >>"$out/$name.txt"
    echo "$name: exit status $status, $out/$name.txt"
    tail -n 15 "$out/$name.txt"
    [ $status = 0 ] || failed=1
}

case $part in
tests)
    step doctor 60 tools/doctor
    step card 20 nvidia-smi
    step tests 480 $python -m pytest -q -rs tests/test_gpu.py tests/test_memory.py tests/test_copies.py
    ;;
upstream)
    step card 20 nvidia-smi
    step upstream 550 tools/caffe_gtest.sh '*GPU*:*CuDNN*:*/2.*:*/3.*'
    ;;
layers)
    for fuse in 1 0; do
        step "resnet50-fuse$fuse" 140 env CAFFE_FUSE=$fuse $python benchmarks/train/layers.py --gpu 0 --base resnet50 \
            --input 224x224 --batch 64
        step "vgg16-fuse$fuse" 140 env CAFFE_FUSE=$fuse $python benchmarks/train/layers.py --gpu 0 --base vgg16 \
            --input 224x224 --batch 48
    done
    ;;
speed)
    step resnet50 260 $python benchmarks/train/run.py --gpu 0 --base resnet50 --fixed --updates 15 --warm-up 5 \
        --repeats 2 --json "$out/resnet50.json" $torch
    step vgg16 180 $python benchmarks/train/run.py --gpu 0 --base vgg16 --fixed --updates 10 --warm-up 3 \
        --repeats 1 --json "$out/vgg16.json" $torch
    step fed 80 $python benchmarks/train/run.py --gpu 0 --base resnet50 --updates 15 --warm-up 5 --repeats 1 \
        --variant Caffe --json "$out/fed.json"
    ;;
*)
    echo "error: $part: tests, upstream, layers or speed" >&2
    exit 2
    ;;
esac
exit $failed
