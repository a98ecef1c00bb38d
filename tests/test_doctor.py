"""What is said of a machine that Caffe cannot compute on as asked: reid.engine.device and tools/doctor."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reid.common.errors import InputError
from reid.engine import device
from tools import doctor

ROOT = Path(__file__).resolve().parents[1]
GPU_BUILD = {"gpu": True, "cuda": "13.0.2", "cudnn": "9.13.0",
             "architectures": [75, 80, 86, 89, 90, 100, 120]}
H200 = ("NVIDIA H200", 90, 150_000_000_000)


class Driver:
    """Answers as libcuda.so.1 does, through the pointers that ctypes hands it."""

    def __init__(self, *cards, cuda=13000, init=0):
        self.cards, self.cuda, self.init = cards, cuda, init

    def cuInit(self, flags):
        return self.init

    def cuDriverGetVersion(self, version):
        version._obj.value = self.cuda

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.cards)
        return 0

    def cuDeviceGet(self, handle, number):
        handle._obj.value = number

    def cuDeviceGetName(self, name, size, handle):
        name.value = self.cards[handle.value][0].encode()

    def cuDeviceGetAttribute(self, value, attribute, handle):
        value._obj.value = {75: self.cards[handle.value][1] // 10,
                            76: self.cards[handle.value][1] % 10}[attribute]

    def cuDeviceTotalMem_v2(self, size, handle):
        size._obj.value = self.cards[handle.value][2]


@pytest.fixture
def machine(monkeypatch):
    """Puts a driver (None: none at all) in the place of this machine's."""
    def put(driver):
        def library(name):
            if driver is None:
                raise OSError(f"{name}: cannot open shared object file: No such file or directory")
            return driver
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(device, "_library", library)
    return put


def test_a_card_that_can_be_used_is_returned_with_its_facts(machine):
    machine(Driver(H200, ("NVIDIA GeForce RTX 2080 Ti", 75, 11_000_000_000)))
    assert device.check_gpu(1, GPU_BUILD) == device.Card(1, "NVIDIA GeForce RTX 2080 Ti", 75, 11_000_000_000)
    assert [card.name for card in device.cards()] == ["NVIDIA H200", "NVIDIA GeForce RTX 2080 Ti"]


@pytest.mark.parametrize("driver, number, sentence", [
    (None, 0, "--gpu 0: there is no NVIDIA driver here (libcuda.so.1 is not found); install driver 580 or "
              "newer, start a "
              "container with --gpus all, or use --cpu"),
    (Driver(H200, cuda=12080), 0,
     "--gpu 0: the NVIDIA driver here is too old: it knows CUDA 12.8, Caffe needs CUDA 13; "
                                  "install driver 580 or newer, or use --cpu"),
    (Driver(init=100), 0, "--gpu 0: the NVIDIA driver finds no card; look at nvidia-smi, or use --cpu"),
    (Driver(), 0, "--gpu 0: the NVIDIA driver finds no card; look at nvidia-smi, or use --cpu"),
    (Driver(H200, init=999), 0,
     "--gpu 0: the NVIDIA driver does not start (error 999); look at nvidia-smi, or use --cpu"),
    (Driver(H200), 1, "--gpu 1: there is no such card; the driver finds 1, numbered from 0"),
    (Driver(H200), -1, "--gpu -1: there is no such card; the driver finds 1, numbered from 0"),
    (Driver(("Tesla V100", 70, 0)), 0,
     "--gpu 0: Tesla V100 has compute capability 7.0, CUDA 13 starts at 7.5; use a "
                                       "newer card, or --cpu")])
def test_a_gpu_that_cannot_be_used_is_refused_in_one_sentence(machine, driver, number, sentence):
    machine(driver)
    with pytest.raises(InputError) as refused:
        device.check_gpu(number, GPU_BUILD)
    assert str(refused.value) == sentence


def test_a_hidden_card_is_explained(machine, monkeypatch):
    machine(Driver(H200))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(InputError, match='finds 1, numbered from 0 .CUDA_VISIBLE_DEVICES is "3"'):
        device.check_gpu(3, GPU_BUILD)


def test_a_build_for_the_cpu_is_refused_before_the_driver_is_asked(machine):
    machine(None)
    with pytest.raises(InputError,
                       match="^--gpu 0: .* built for the CPU alone; build it with .*--gpu, or use --cpu$"):
        device.check_gpu(0, {"gpu": False})


@pytest.mark.parametrize("architectures, capability, covered", [
    ([75, 80, 90], 86, True), ([75, 80, 90], 80, True), ([90], 89, False), ([86, 90], 80, False),
    ([75, 90], 121, True),
    ([80, 120], 90, False)])
def test_code_runs_on_later_cards_of_its_generation_and_the_newest_on_all_after_it(machine, architectures,
                                                                                   capability,
                                                                                  covered):
    machine(Driver(("a card", capability, 0)))
    made = {"gpu": True, "architectures": architectures}
    if covered:
        assert device.check_gpu(0, made).capability == capability
    else:
        with pytest.raises(InputError,
                           match=f"tools/install_caffe.sh --gpu --arch {capability}, or use --cpu"):
            device.check_gpu(0, made)


@pytest.mark.parametrize("gpu, elsewhere, environment, words", [
    (0, False, "1", "a setting of the CPU, and --gpu 0 computes on a card"),
    (0, True, "1", "a setting of the CPU"), (None, False, "1", "no instructions for it here"),
    (None, True, "0", "CAFFE_ONEDNN=0"), (None, True, "1", None)])
def test_bfloat16_is_refused_where_nothing_would_multiply_in_it(gpu, elsewhere, environment, words,
                                                                monkeypatch):
    monkeypatch.setattr(device, "vectors", lambda: "AVX-512")
    monkeypatch.setenv("CAFFE_ONEDNN", environment)
    device.check_arithmetic("float32", gpu, elsewhere)
    if words is None:
        device.check_arithmetic("bfloat16", gpu, elsewhere)
    else:
        with pytest.raises(InputError, match=re.escape(words)):
            device.check_arithmetic("bfloat16", gpu, elsewhere)


def test_a_result_records_the_card_and_the_switches(machine, monkeypatch):
    machine(Driver(H200))
    monkeypatch.setattr(device, "build", lambda: GPU_BUILD)
    for name in device.SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CAFFE_TF32", "0")
    made = device.computing(0, 2)
    assert (made["card"], made["threads"], made["switches"]) == ("NVIDIA H200", 2, {"CAFFE_TF32": "0"})
    assert device.computing(None, 1)["card"] is None


def test_every_switch_that_caffe_reads_is_recorded():
    sources = [file.read_text() for file in (ROOT / "tools/caffe").rglob("*.*")]
    assert set(re.findall(r'getenv\("(\w+)"\)', "".join(sources))) == {device.ROUNDS, *device.SWITCHES}


def test_bfloat16_is_what_onednn_may_use_and_not_what_the_processor_has():
    asked = [sys.executable, "-c", "from reid.engine import device; print(device.has_bfloat16())"]
    for most, has in (("AVX512_CORE", False), ("ALL", "avx512_bf16" in Path("/proc/cpuinfo").read_text())):
        run = subprocess.run(asked, capture_output=True, text=True,
                             env={**os.environ, "ONEDNN_MAX_CPU_ISA": most})
        assert run.stdout == f"{has}\n", run.stderr


def test_a_missing_library_of_caffe_is_named(machine):
    machine(None)
    with pytest.raises(InputError, match="libcaffe.so.1: cannot open .*; put .* on LD_LIBRARY_PATH, or run "):
        device.check_loads()


def test_without_a_gpu_caffe_computes_on_the_cpu():
    device.use_device(None)


def test_the_doctor_says_what_is_here_and_exits_0():
    run = subprocess.run([ROOT / "tools/doctor"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    names = {line.split()[0] for line in run.stdout.splitlines()}
    assert {"Caffe", "BLAS", "protobuf", "NumPy", "OpenCV", "LMDB", "cores", "memory", "disk"} <= names
    assert "all is well for the CPU\n" in run.stdout and "wrong:" not in run.stdout and run.stderr == ""


def test_the_doctor_says_what_to_do_and_exits_1():
    broken = ("import runpy, sys; sys.modules['lmdb'] = None; "
              f"runpy.run_path({str(ROOT / 'tools/doctor.py')!r}, run_name='__main__')")
    run = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True)
    assert run.returncode == 1 and "all is well" not in run.stdout
    assert "wrong: LMDB does not import: " in run.stdout and "; as root: tools/install_caffe.sh" in run.stdout


def test_the_engine_is_named():
    rows, wrong = doctor.engine()
    assert wrong == [] and [name for name, _ in rows] == ["BLAS", "oneDNN"]
    assert rows[0][1].startswith("OpenBLAS ") and rows[1][1].startswith("2.")
    flags = Path("/proc/cpuinfo").read_text()
    unit = ("AVX-512 with bfloat16" if "avx512_bf16" in flags else "AVX-512" if "avx512bw" in flags
            else "AVX2" if "avx2" in flags else "not used: the processor has no AVX2")
    assert rows[1][1].split(", ")[1] == unit


def test_a_caffe_without_the_engine_is_wrong(monkeypatch):
    monkeypatch.setattr(doctor, "loaded", lambda part: ["libcaffe.so.1"] * (part == "libcaffe"))
    rows, wrong = doctor.engine()
    assert rows == [("BLAS", "none")]
    assert len(wrong) == 2 and "libopenblas0-openmp" in wrong[0] and "without oneDNN" in wrong[1]


def test_a_caffe_that_does_not_load_is_not_called_one_without_the_engine(monkeypatch):
    monkeypatch.setattr(doctor, "loaded", lambda part: [])
    _, wrong = doctor.engine()
    assert len(wrong) == 1 and "libopenblas0-openmp" in wrong[0]


def test_the_doctor_without_caffe_says_how_to_get_it(tmp_path):
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    run = subprocess.run([tmp_path / "tools/doctor"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == f"error: {tmp_path}/.venv is missing; run tools/install_caffe.sh first\n"


def test_little_memory_little_disk_and_a_folder_of_another_user_are_named(monkeypatch, tmp_path):
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(doctor, "memory", lambda: (8e9, 2e9))
    monkeypatch.setattr(doctor.shutil, "disk_usage",
                        lambda path: shutil._ntuple_diskusage(1e12, 1e12 - 3e9, 3e9))
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    rows, wrong = doctor.machine()
    assert ("memory", "8.0 GB, 2.0 GB free") in rows
    assert [sentence.split(";")[0] for sentence in wrong] == [
        "2.0 GB of memory are little", "3.0 GB of disk are little for a dataset and snapshots",
        f"user {os.getuid()} may not write to {tmp_path / 'runs'}"]


def test_the_doctor_lists_driver_and_cards_and_which_cannot_be_used(machine, monkeypatch):
    machine(Driver(H200, ("Tesla V100", 70, 16_000_000_000), cuda=13010))
    monkeypatch.setattr(device, "build", lambda: GPU_BUILD)
    monkeypatch.setattr(doctor, "loaded", lambda part: [])
    rows, cannot = doctor.graphics()
    assert rows[0] == ("CUDA", "13.0.2, code for [75, 80, 86, 89, 90, 100, 120]")
    assert rows[1] == ("cuDNN", "9.13.0")
    assert rows[2][0] == "driver" and rows[2][1].endswith("up to CUDA 13.1")
    assert rows[3:] == [("card 0", "NVIDIA H200, compute capability 9.0, 150.0 GB"),
                        ("card 1", "Tesla V100, compute capability 7.0, 16.0 GB")]
    assert len(cannot) == 1 and cannot[0].startswith("--gpu 1: Tesla V100")
