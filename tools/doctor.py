"""Say what is installed here and what Caffe can compute on, what is wrong, and what to do."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import ctypes
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from reid.common.errors import InputError, Parser, command_line
from reid.common.machine import cores, loaded, memory
from reid.engine import device

ROOT = Path(__file__).resolve().parents[1]
MODULES = {"protobuf": "google.protobuf", "NumPy": "numpy", "SciPy": "scipy", "scikit-learn": "sklearn",
           "OpenCV": "cv2", "LMDB": "lmdb", "h5py": "h5py", "Matplotlib": "matplotlib", "PyYAML": "yaml"}
GB = 1e9
# one small batch of ResNet-50; a dataset and the snapshots of a stage
LITTLE_MEMORY, LITTLE_DISK = 4 * GB, 10 * GB
Rows = list[tuple[str, str]]    # name, text


@command_line
def main() -> int:
    Parser(prog="tools/doctor", description=__doc__).parse_args()
    wrong = []
    for section in (software, engine, machine):
        rows, complaints = section()
        show(rows)
        wrong += complaints
    rows, cannot = graphics()
    show(rows)
    for complaint in wrong:
        print(f"wrong: {complaint}")
    if not wrong:
        cards = [] if cannot else [name for name, _ in rows if name.startswith("card ")]
        print(f"all is well for {', '.join(['the CPU', *cards])}")
    for complaint in cannot:
        print(f"no GPU: {complaint}")
    return 1 if wrong else 0


def show(rows: Iterable[tuple[str, str]]) -> None:
    """Print (name, text) rows as two columns."""
    for name, text in rows:
        print(f"{name:<14}{text}")


def software() -> tuple[Rows, list[str]]:
    """Rows of versions, and a complaint for each part that does not load."""
    rows, wrong = [("Python", f"{platform.python_version()}, {sys.executable}")], []
    try:
        device.check_loads()
        from reid.provenance.versions import versions
        made = versions()
        kind = "GPU" if made["caffe_build"].get("gpu") else "CPU"
        rows += [("project", f"code {made['code_sha256'][:12]}, {ROOT}"),
                 ("Caffe", f"{made['caffe_build'].get('caffe', made['caffe'])}, built for the {kind}")]
    except InputError as error:
        wrong.append(str(error))
    except ImportError as error:
        wrong.append(f"Caffe does not import: {error}; run tools/install_caffe.sh again")
    for name, module in MODULES.items():
        try:
            rows.append((name, importlib.import_module(module).__version__))
        except ImportError as error:
            wrong.append(f"{name} does not import: {error}; as root: tools/install_caffe.sh installs it")
    return rows, wrong


def engine() -> tuple[Rows, list[str]]:
    """Which OpenBLAS and oneDNN this process has loaded; a complaint where Caffe computes without them."""
    rows, wrong = [], []
    openblas, onednn = loaded("openblas"), loaded("dnnl")
    if openblas:
        library = ctypes.CDLL(openblas[0])
        library.openblas_get_config.restype = ctypes.c_char_p
        config = library.openblas_get_config().decode()
        own = "" if "USE_OPENMP" in config else (
            "; its threads and oneDNN's wait for each other, a little faster is libopenblas0-openmp: "
            "update-alternatives --config libopenblas.so.0-x86_64-linux-gnu")
        rows.append(("BLAS", config + own))
    else:
        rows.append(("BLAS", ", ".join(loaded("blas")) or "none"))
        wrong.append("Caffe and NumPy do not compute with OpenBLAS; as root: apt-get install "
                     "libopenblas0-openmp")
    if onednn:
        library = ctypes.CDLL(onednn[0])
        library.dnnl_version.restype = ctypes.POINTER(ctypes.c_int * 3)
        version = ".".join(map(str, library.dnnl_version().contents))
        rows.append(("oneDNN", f"{version}, {device.vectors() or 'not used: there is no AVX2'}"))
    elif loaded("libcaffe"):    # where it does not load, that has been said
        wrong.append("this Caffe was built without oneDNN, which takes three times as long; run "
                     "tools/install_caffe.sh again")
    return rows, wrong


def machine() -> tuple[Rows, list[str]]:
    """Cores, memory and disk, and what of them is too little or cannot be written to."""
    total, free = memory()
    runs = ROOT / "runs"
    place = runs if runs.exists() else ROOT
    disk = shutil.disk_usage(place).free
    rows = [("cores", f"{cores()}"), ("memory", f"{total / GB:.1f} GB, {free / GB:.1f} GB free"),
            ("disk", f"{disk / GB:.0f} GB free for {place}")]
    wrong = []
    if free < LITTLE_MEMORY:
        wrong.append(f"{free / GB:.1f} GB of memory are little; end other programs, or train with --set "
                     "batch=8 and a small input")
    if disk < LITTLE_DISK:
        wrong.append(f"{disk / GB:.1f} GB of disk are little for a dataset and snapshots; give --out on a "
                     "larger disk")
    if runs.exists() and not os.access(runs, os.W_OK):
        wrong.append(f"user {os.getuid()} may not write to {runs.resolve()}; give that folder to this user, "
                     "or --out another one")
    return rows, wrong


def graphics() -> tuple[Rows, list[str]]:
    """Rows of the CUDA in use, the driver and the cards, and why a card cannot be used (empty: all can)."""
    made = device.build()
    rows = cuda(made) + driver()
    try:
        found = device.cards()
    except InputError as error:
        return rows, [str(error)]
    cannot = []
    for card in found:
        rows.append((f"card {card.number}", f"{card.name}, compute capability {card.capability / 10:.1f}, "
                                            f"{card.memory / GB:.1f} GB"))
        try:
            device.check_gpu(card.number, made)
        except InputError as error:
            cannot.append(str(error))
    return rows, cannot


def cuda(made: device.Build) -> Rows:
    """Rows of CUDA and cuDNN: what a GPU build was made with, and the cuDNN that it has loaded here."""
    if not made.get("gpu"):
        return []
    rows = [("CUDA", f"{made['cuda']}, code for {made['architectures']}"), ("cuDNN", made["cudnn"])]
    for path in loaded("libcudnn.so")[:1]:
        version = ctypes.CDLL(path).cudnnGetVersion()
        rows[-1] = ("cuDNN", f"{version // 10000}.{version % 10000 // 100}.{version % 100}, {path}")
    return rows


def driver() -> Rows:
    """Rows of the driver, if there is one: the version of its kernel module, the newest CUDA it knows."""
    try:
        known = device.driver_cuda(device.load_driver())
    except InputError:
        return []
    module = Path("/sys/module/nvidia/version")
    version = f"{module.read_text().strip()}, " if module.is_file() else ""
    return [("driver", f"{version}up to CUDA {known // 1000}.{known % 1000 // 10}")]


if __name__ == "__main__":
    sys.exit(main())
