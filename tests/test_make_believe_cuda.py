"""Caffe's host code for a GPU, compiled word for word, on a card of make-believe (make_believe_cuda/).

What it asks of cuDNN, cuBLAS and cuRAND can be seen without a card: which algorithms, with which math and
workspace; how it ends when the driver has ended before; how its loops count. What a card computes cannot.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE, CARD = ROOT / "build/caffe/source", ROOT / "tests/make_believe_cuda"
NVIDIAS = ("cublas_v2.h", "cuda_runtime.h", "curand.h", "driver_types.h", "cudnn.h")
CAFFES = ("caffe/blob.hpp", "caffe/layer.hpp", "caffe/layers/conv_layer.hpp", "caffe/proto/caffe.pb.h")

pytestmark = pytest.mark.skipif(not shutil.which("g++") or not (SOURCE / "src/caffe/common.cpp").exists(),
                                reason="a compiler or Caffe's source is missing, as in images and bundles")


def compiled(folder, source=SOURCE):
    """The program, from Caffe's source; headers of our own take the place of those named above."""
    for names, ours in ((NVIDIAS, "cuda.h"), (CAFFES, "caffe_stub.hpp")):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f'#include "{ours}"\n')
    subprocess.run(["g++", "-std=c++17", "-O0", "-w", "-DUSE_CUDNN", f"-I{folder}", f"-I{CARD}",
                    f"-I{source}/include", f"-I{source}/src/caffe", CARD / "program.cpp",
                    "-o", folder / "program", "-lglog", "-lgflags", "-lboost_thread", "-lboost_system",
                    "-pthread"], check=True)
    return folder / "program"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("make_believe"))


def run(program, *words, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CAFFE_")}
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True,
                          env={**clean, **environment})


def lines(*arguments, **environment):
    ended = run(*arguments, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def passes(line):
    """[(algorithm, math, workspace), …] forward, of the filter, of the data."""
    return [tuple(map(int, word.split("/"))) for word in line.split("|")[0].split()]


DEFAULT, TENSOR, FMA = 0, 1, 3      # cudnnMathType_t


def test_each_pass_has_the_math_and_the_workspace_of_its_algorithm(program):
    """Steady algorithms first; 4 has more workspace than the limit."""
    line, _ = lines(program, "default", CAFFE_CUDNN_WORKSPACE_MB="1")
    assert passes(line) == [(1, TENSOR, 2000), (2, FMA, 300), (3, DEFAULT, 700)]


def test_what_is_not_the_same_in_every_run_is_taken_first_where_that_is_allowed(program):
    line, _ = lines(program, "default", CAFFE_CUDNN_DETERMINISTIC="0")
    assert passes(line) == [(7, DEFAULT, 1000), (7, DEFAULT, 1000), (3, DEFAULT, 700)]
    refused = run(program, "default", CAFFE_CUDNN_DETERMINISTIC="no")
    assert refused.returncode != 0 and "CAFFE_CUDNN_DETERMINISTIC=no is neither 0 nor 1" in refused.stderr


def test_without_tf32_every_pass_is_float32(program):
    """What the heuristics list with that goes first; where they list nothing, the rest is told to."""
    line, _ = lines(program, "exact", CAFFE_TF32="0")
    assert passes(line) == [(5, FMA, 100), (2, FMA, 300), (5, FMA, 100)]
    line, _ = lines(program, "default", CAFFE_TF32="0", CAFFE_CUDNN_WORKSPACE_MB="1")
    assert passes(line) == [(1, FMA, 6000), (2, FMA, 300), (3, FMA, 900)]


def test_doubles_are_not_asked_for_float32s_math(program):
    with_tf32, without = (lines(program, "double", CAFFE_TF32=value) for value in "10")
    assert with_tf32 == without


def test_products_of_one_term_are_never_rounded(program):
    assert lines(program, "products") == ["0 1 1 "]
    assert lines(program, "products", CAFFE_TF32="0") == ["0 0 0 "]


@pytest.mark.parametrize("groups", [1, 2])
def test_layers_share_a_workspace_in_which_nothing_overlaps(program, groups):
    """Of 53 layers; at most twice the limit for each group, as reid.engine.memory counts."""
    first, last = lines(program, "default", 53, groups, CAFFE_CUDNN_WORKSPACE_MB="1")
    chosen, offsets, total = passes(first), *(list(map(int, part.split())) for part in first.split("|")[1:])
    handles, streams, taken = map(int, last.split())
    assert (handles, streams) == (3 * groups, 3 * groups) and taken == total[0]
    forward, *backward = [[(offsets[i * groups + g], offsets[i * groups + g] + chosen[i][2])
                           for g in range(groups)] for i in range(3)]
    for side_by_side in (forward, backward[0] + backward[1]):
        ordered = sorted(side_by_side)
        assert all(one[1] <= other[0] for one, other in zip(ordered, ordered[1:]))
        assert ordered[-1][1] <= total[0] <= 2 * groups * 2 ** 20


def test_on_a_full_card_algorithms_are_taken_that_fit(program):
    MB = 2 ** 20
    first, second, taken = lines(program, "full", CAFFE_CUDNN_WORKSPACE_MB="16")
    assert passes(first) == passes(second) == [(2, DEFAULT, 2 * MB)] * 3 and int(taken) == 4 * MB


def test_the_process_may_end_after_the_driver(program, tmp_path):
    assert lines(program, "exit") == ["1"]      # with the generator that is cheap to seed
    shutil.copytree(SOURCE / "include", tmp_path / "source/include")
    shutil.copytree(SOURCE / "src/caffe", tmp_path / "source/src/caffe")
    common = tmp_path / "source/src/caffe/common.cpp"
    checked = common.read_text().replace("{ cublasDestroy(cublas_handle_); }",
                                         "{ CUBLAS_CHECK(cublasDestroy(cublas_handle_)); }")
    assert checked != common.read_text()
    common.write_text(checked)
    assert run(compiled(tmp_path, tmp_path / "source"), "exit").returncode == -6      # upstream's way


def test_kernels_count_to_the_largest_int(program):
    """Of 1000, 2³⁰ + 5 and 2³¹ − 1 elements the last is reached once, and nothing follows."""
    assert lines(program, "index") == ["1:1:0:1 1:1:0:1 1:1:0:1 "]
