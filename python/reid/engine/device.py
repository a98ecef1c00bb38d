"""Where Caffe computes: the CPU, or an NVIDIA card. It is checked first: Caffe aborts on one it cannot use.

The check asks the driver's own library, which works before Caffe is imported and without it.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from reid.common import machine
from reid.common.errors import InputError
from reid.formats import json_record

CUDA, OLDEST_CARD = 13000, 75    # CUDA 13 as drivers count, and its lowest compute capability, 7.5
NO_CARD = 100            # CUDA_ERROR_NO_DEVICE
FLOAT32, BFLOAT16 = "float32", "bfloat16"    # what the CPU multiplies in
# dnnl_cpu_isa_t: what the CPU engine computes with, best first (tools/caffe/engine/layout.cpp)
VECTORS = {"AVX-512 with bfloat16": 0xe7, "AVX-512": 0x27, "AVX2": 0x7}
# Environment variables by which Caffe computes otherwise (docs/engine.md, docs/gpu.md); not ROUNDS: of a run
# it is a setting
SWITCHES = ("CAFFE_CUDNN_DETERMINISTIC", "CAFFE_CUDNN_WORKSPACE_MB", "CAFFE_FUSE", "CAFFE_ONEDNN",
            "CAFFE_TF32")
ROUNDS = "CAFFE_BF16"    # Caffe reads it when a net is made
MAJOR, MINOR = 75, 76    # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


class Build(TypedDict, total=False):
    """Of what tools/install_caffe.sh recorded about the Caffe in use, what is read here."""
    gpu: bool
    architectures: list[int]
    caffe: str


@dataclass(frozen=True)
class Card:
    """An NVIDIA card.

    capability: as Caffe's build writes it (7.5 is 75); memory: in bytes.
    """
    number: int
    name: str
    capability: int
    memory: int


def use_device(gpu: int | None) -> None:
    """Let Caffe compute on the card numbered `gpu`, or on the CPU (None); InputError where it cannot."""
    import caffe  # here alone: the checks below also serve where Caffe does not load
    if gpu is None:
        caffe.set_mode_cpu()
    else:
        check_gpu(gpu, build())
        caffe.set_device(gpu)
        caffe.set_mode_gpu()


def use_threads(count: int) -> None:
    """Let Caffe compute with `count` threads from now on.

    oneDNN, the engine's loops and OpenBLAS share one pool of threads. An OpenBLAS that was built with threads
    of its own (tools/doctor says so) gets as many.
    """
    ctypes.CDLL("libgomp.so.1").omp_set_num_threads(count)
    for path in machine.loaded("openblas"):
        ctypes.CDLL(path).openblas_set_num_threads(count)


def engine(switch: str) -> bool:
    """Whether a part of the CPU engine (docs/engine.md) is on: CAFFE_ONEDNN or CAFFE_FUSE."""
    return os.environ.get(switch) != "0"


def computing(gpu: int | None, count: int) -> dict[str, Any]:
    """What decides how sums are rounded on the card numbered `gpu` (None: the CPU), and with `count` threads.

    As a result records it: formats.result.Computing.
    """
    return {"card": None if gpu is None else check_gpu(gpu, build()).name, "threads": count,
            "vectors": vectors(), "switches": {name: os.environ[name] for name in SWITCHES
                                               if name in os.environ}}


def vectors() -> str | None:
    """The best of VECTORS that the oneDNN in this process uses; None: none of them, or there is no oneDNN.

    The processor may have better ones, where ONEDNN_MAX_CPU_ISA rules them out.
    """
    for path in machine.loaded("dnnl"):
        isa = ctypes.CDLL(path).dnnl_get_effective_cpu_isa()
        return next((name for name, bits in VECTORS.items() if isa & bits == bits), None)
    return None


def has_bfloat16() -> bool:
    """Whether the CPU engine multiplies in bfloat16 here."""
    import caffe  # noqa: F401  (it loads oneDNN)
    return vectors() == next(iter(VECTORS))


@contextlib.contextmanager
def multiplying(arithmetic: str) -> Iterator[None]:
    """Let the convolutions of nets that are made meanwhile multiply in `arithmetic` on the CPU."""
    before = os.environ.get(ROUNDS, "0")
    os.environ[ROUNDS] = "1" if arithmetic == BFLOAT16 else "0"
    try:
        yield
    finally:
        os.environ[ROUNDS] = before


def check_arithmetic(arithmetic: str, gpu: int | None, elsewhere: bool = False) -> None:
    """InputError where the CPU, or the card numbered `gpu`, does not multiply in `arithmetic`.

    elsewhere: it is another machine's CPU, which is not known.
    """
    if arithmetic != BFLOAT16:
        return
    if gpu is not None:
        raise InputError(f"arithmetic is {arithmetic}: a setting of the CPU, and --gpu {gpu} computes on a "
                         "card, in TF32 where it can; leave one of the two out")
    if not elsewhere and not has_bfloat16():
        raise InputError(f"arithmetic is {arithmetic}: there are no instructions for it here (avx512_bf16; "
                         "tools/doctor says what there is), so nothing would be gained; leave it out")
    if not engine("CAFFE_ONEDNN"):
        raise InputError(f"arithmetic is {arithmetic}: Caffe's own convolutions, which CAFFE_ONEDNN=0 asks "
                         "for, know float32 alone; leave one of the two out")


def build() -> Build:
    """What tools/install_caffe.sh recorded about the Caffe in use; {} where it was built by other means."""
    file = Path(sys.prefix) / "caffe-build.json"
    if not file.is_file():
        return {}
    made = json_record.parse(file, "run tools/install_caffe.sh again")
    json_record.check_value(made, Build, "", file, "run tools/install_caffe.sh again")
    return made


def check_loads() -> None:
    """Raise InputError, naming the missing library, where Caffe's own library does not load."""
    try:
        _library(Path(sys.prefix) / "lib/libcaffe.so.1")
    except OSError as error:
        raise InputError(f"Caffe does not load: {error}; put the folder of a missing CUDA or cuDNN library "
                         "on LD_LIBRARY_PATH, or run tools/install_caffe.sh again") from None


def check_gpu(number: int, made: Build) -> Card:
    """The Card of that number, if a Caffe built as `made` (see `build`) can use it; else InputError."""
    try:
        return _usable(number, made)
    except InputError as error:
        raise InputError(f"--gpu {number}: {error}") from None


def cards() -> list[Card]:
    """All Cards that the driver finds; InputError where there is none, or no driver that knows CUDA 13."""
    driver = load_driver()
    known = driver_cuda(driver)
    if known < CUDA:
        raise InputError("the NVIDIA driver here is too old: it knows CUDA "
                         f"{known // 1000}.{known % 1000 // 10}, Caffe needs CUDA 13; install driver 580 or "
                         "newer, or use --cpu")
    count = ctypes.c_int()
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status == NO_CARD or status == 0 and count.value == 0:
        raise InputError(f"the NVIDIA driver finds no card{_visible()}; look at nvidia-smi, or use --cpu")
    if status:
        raise InputError(f"the NVIDIA driver does not start (error {status}); look at nvidia-smi, or use "
                         "--cpu")
    return [_card(driver, number) for number in range(count.value)]


def load_driver() -> ctypes.CDLL:
    """The driver's library, libcuda.so.1; InputError where there is none."""
    try:
        return _library("libcuda.so.1")
    except OSError:
        raise InputError("there is no NVIDIA driver here (libcuda.so.1 is not found); install driver 580 or "
                         "newer, start a container with --gpus all, or use --cpu") from None


def driver_cuda(driver: ctypes.CDLL) -> int:
    """The newest CUDA that the driver's library knows, as 1000 × major + 10 × minor."""
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    return version.value


def _usable(number: int, made: Build) -> Card:
    if not made.get("gpu"):
        raise InputError("the Caffe in .venv was built for the CPU alone; build it with "
                         "tools/install_caffe.sh --gpu, or use --cpu")
    found = cards()
    if not 0 <= number < len(found):
        raise InputError(f"there is no such card; the driver finds {len(found)}, numbered from 0{_visible()}")
    card = found[number]
    has = f"{card.name} has compute capability {_dotted(card.capability)}"
    if card.capability < OLDEST_CARD:
        raise InputError(f"{has}, CUDA 13 starts at {_dotted(OLDEST_CARD)}; use a newer card, or --cpu")
    if not _covered(card.capability, made["architectures"]):
        held = ", ".join(map(_dotted, made["architectures"]))
        raise InputError(f"{has}, Caffe was built for {held}; build it with tools/install_caffe.sh --gpu "
                         f"--arch {card.capability}, or use --cpu")
    return card


def _library(name: Path | str) -> ctypes.CDLL:
    return ctypes.CDLL(str(name))


def _card(driver: ctypes.CDLL, number: int) -> Card:
    handle, major, minor, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(handle), number)
    driver.cuDeviceGetName(name, len(name), handle)
    driver.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, handle)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, handle)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    return Card(number, name.value.decode(), 10 * major.value + minor.value, memory.value)


def _visible() -> str:
    """A phrase with CUDA_VISIBLE_DEVICES where it is set: it hides all other cards, from Caffe too."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if chosen is None else f' (CUDA_VISIBLE_DEVICES is "{chosen}")'


def _covered(capability: int, architectures: Iterable[int]) -> bool:
    """Whether code for `architectures` runs on a card.

    Code for an architecture runs on later cards of its generation, the newest one's PTX on all later cards.
    """
    same = any(a // 10 == capability // 10 and a <= capability for a in architectures)
    return same or capability >= max(architectures)


def _dotted(capability: int) -> str:
    return f"{capability // 10}.{capability % 10}"
