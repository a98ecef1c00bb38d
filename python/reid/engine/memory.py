"""How much memory a training takes, computed from its nets before it starts, and whether it is free.

Caffe allocates step by step, and where memory runs out the process ends in the middle of an update: on a CPU
the kernel kills it, on a GPU Caffe aborts.
"""

import ctypes
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from caffe.proto import caffe_pb2

from reid.common import machine
from reid.common.errors import InputError
from reid.engine.device import BFLOAT16, engine, load_driver
from reid.engine.settings import AUTO, Settings
from reid.layers.workers import SLOTS
from reid.nets.shapes import Shaped, geometry, shaped

FLOAT = 4                   # bytes
HOST_PROGRAM = 150e6        # Python, Caffe and its libraries; measured
GPU_CONTEXT = 1e9           # CUDA's context, the kernels of cuBLAS and cuDNN, rounding; assumed, not measured
LARGEST_BLOB = 2 ** 31 - 1  # numbers: Caffe counts them in an int, and aborts where there are more
HEADROOM = 0.9              # of the free memory is taken where pass_pairs is chosen: others may want some


@dataclass(frozen=True)
class Need:
    """Bytes that a training takes: `fixed`, whatever its passes, `per_pair` for each pair of a pass."""
    fixed: float
    per_pair: float

    def bytes(self, pairs: int) -> float:
        """Bytes for passes of so many pairs."""
        return self.fixed + pairs * self.per_pair


@dataclass(frozen=True)
class Memory:
    """The memory that a run computes in.

    whose: as a phrase; free: bytes; workspace: bytes of it that one pass of a convolution may ask cuDNN for,
    None on the CPU.
    """
    whose: str
    free: float
    workspace: int | None

    def need(self, nets: dict, settings: Settings) -> float:
        """Bytes that a run of these nets, {"train", "test", "deploy"}, takes with these settings."""
        return need(**nets, workers=settings.workers, workspace=self.workspace,
                    tested=settings.test_every > 0, passes=settings.passes,
                    rounds=settings.arithmetic == BFLOAT16).bytes(settings.in_pass)


def memory_of(gpu: int | None) -> Memory:
    """The Memory of a GPU by its number, or of the machine."""
    if gpu is None:
        return Memory("memory", machine.memory()[1], None)
    free, total = gpu_memory(gpu)
    return Memory(f"memory on GPU {gpu}", free, workspace_limit(total))


def choose_passes(settings: Settings, nets: Callable[[Settings], dict], memory: Memory) -> Settings:
    """`settings` with the largest pass_pairs that fits into the memory; InputError where not even 1 does.

    nets: the nets of a run by its settings.
    """
    for pairs in _divisors(settings.batch):
        chosen = replace(settings, pass_pairs=pairs)
        made = nets(chosen)
        needed = memory.need(made, chosen)
        if needed <= HEADROOM * memory.free and _largest_blob(made["train"])[0] <= LARGEST_BLOB:
            return chosen
    raise InputError(f"pass_pairs is {AUTO}: even one pair at a time needs about {needed / 1e9:.2f} GB of "
                     f"{memory.whose}, and {memory.free / 1e9:.2f} GB are free; a smaller input or "
                     "backbone would fit")


def check_memory(settings: Settings, nets: Callable[[Settings], dict], memory: Memory) -> float:
    """Bytes that a run needs; InputError where it does not fit, with a pass_pairs that would.

    nets: as in `choose_passes`. Neither does a blob fit of more numbers than Caffe can count.
    """
    made = nets(settings)
    needed, (count, blob) = memory.need(made, settings), _largest_blob(made["train"])
    if needed <= memory.free and count <= LARGEST_BLOB:
        return needed
    try:
        fitting = choose_passes(settings, nets, memory).pass_pairs
        way_out = f"--set pass_pairs={fitting} makes the same updates and fits"
    except InputError:
        way_out = "not even one pair at a time fits: a smaller input or backbone would"
    if count > LARGEST_BLOB:
        raise InputError(f"pass_pairs is {settings.in_pass}: blob {blob} of the training net would have "
                         f"{count:,} numbers, and Caffe counts to {LARGEST_BLOB:,}; {way_out}")
    raise InputError(f"pass_pairs is {settings.in_pass}: the training needs about "
                     f"{needed / 1e9:.2f} GB of {memory.whose}, and {memory.free / 1e9:.2f} GB are free; "
                     f"{way_out} (a run that has begun keeps its own: free memory for it)")


def _largest_blob(net: caffe_pb2.NetParameter) -> tuple[int, str]:
    """How many numbers the largest blob of a NetParameter has, and its name."""
    return max(((math.prod(shape), top) for of in shaped(net) for top, shape in zip(of.layer.top, of.tops)),
               key=lambda blob: blob[0])


def _divisors(number: int) -> list[int]:
    """The divisors of a number, the largest first."""
    small = [one for one in range(1, math.isqrt(number) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)}, reverse=True)


def need(train: caffe_pb2.NetParameter, test: caffe_pb2.NetParameter | None = None,
         deploy: caffe_pb2.NetParameter | None = None, *, workers: int, workspace: int | None,
         tested: bool = True, passes: int = 1, rounds: bool = False) -> Need:
    """The Need of a training with these nets, NetParameters.

    A run holds four nets: the training net, the `test` net for held-out pairs, and two `deploy` nets, one
    with the weights at the start and one that shares the trained ones. A net that is None does not count.
    workers: processes that prepare batches in the machine's memory; workspace: bytes that one pass of a
    convolution may ask cuDNN for on a GPU, None on the CPU; tested: whether the test net is ever run; passes:
    of the training net in an update; rounds: whether the CPU multiplies in bfloat16.
    """
    cpu = workspace is None
    nets = [(train, 1), (test, int(tested)), (deploy, 2)]
    # Weights, gradients, momentum; those of the start; the test net's own, until it shares the training's.
    copies = 3 + (deploy is not None) + (test is not None)
    pairs = shaped(train)[0].tops
    per_pair = _activations(train, cpu, backward=True) / pairs[1][0]
    others = sum(times * _activations(net, cpu) for net, times in nets[1:] if net)
    fixed = copies * _parameters(train) * FLOAT + others
    if not cpu:
        # A convolution's two backward passes run side by side, each with a workspace of its own.
        return Need(fixed + 2 * workspace + GPU_CONTEXT, per_pair)
    # A snapshot is put together in memory, weights and momentum, before it is written.
    fixed += HOST_PROGRAM + _convolving(nets, passes)
    fixed += 2 * _parameters(train) * FLOAT if deploy else 0
    if rounds:
        per_pair += _rounded(train) / pairs[1][0]
    # ready pairs, a byte a pixel
    return Need(fixed, per_pair + (SLOTS * workers + 1) * 2 * math.prod(pairs[0][1:]))


def workspace_limit(total: int) -> int:
    """Bytes of workspace that our Caffe lets cuDNN have on a card of `total` bytes (tools/caffe/patches)."""
    megabytes = os.environ.get("CAFFE_CUDNN_WORKSPACE_MB")
    return int(megabytes) * 2 ** 20 if megabytes else min(total // 8, 2 ** 32)


def gpu_memory(number: int) -> tuple[int, int]:
    """Bytes of a GPU's memory: free, and in all. InputError where there is no such GPU or no answer."""
    driver = load_driver()
    device, context, free, total = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()

    def call(function: str, *arguments: object) -> None:
        if status := getattr(driver, function)(*arguments):
            raise InputError(f"--gpu {number}: the NVIDIA driver answers error {status} to {function}; look "
                             "at nvidia-smi, or use --cpu")

    call("cuInit", 0)
    call("cuDeviceGet", ctypes.byref(device), number)
    # The context that Caffe computes in too; it is made here where it is not there yet.
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxPushCurrent_v2", context)
    call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    call("cuCtxPopCurrent_v2", ctypes.byref(context))
    call("cuDevicePrimaryCtxRelease_v2", device)
    return free.value, total.value


def _parameters(net: caffe_pb2.NetParameter) -> int:
    """How many numbers the parameters have; parameters that layers share by name count once."""
    counted, total = set(), 0
    for of in shaped(net):
        for i, shape in enumerate(of.params):
            name = of.layer.param[i].name if i < len(of.layer.param) else ""
            if not name or name not in counted:
                total += math.prod(shape)
            counted.add(name)
    return total


def _activations(net: caffe_pb2.NetParameter, cpu: bool, backward: bool = False) -> int:
    """Bytes of the blobs and of the layers' own buffers of that size; backward: with gradients.

    A layer in place writes into its bottom's blob. A blob that several layers read has one gradient for each
    reader beside its own (Caffe puts a Split there); their values are one.
    """
    counts, learning, writer, readers, kept, stored = {}, set(), {}, Counter(), 0, False
    for number, of in enumerate(shaped(net)):
        readers.update((name, writer[name]) for name in of.layer.bottom)
        rates = [param.lr_mult for param in of.layer.param] + [1] * (len(of.params) - len(of.layer.param))
        learns = learning.intersection(of.layer.bottom) or any(rates)
        for name, shape in zip(of.layer.top, of.tops):
            counts[name], writer[name] = math.prod(shape), number
            if backward and learns:
                learning.add(name)
        if of.layer.type != "Scale":
            norm = of.layer.batch_norm_param
            stored = of.layer.type == "BatchNorm" and (norm.use_global_stats or not backward)
        kept += _kept(of, stored and engine("CAFFE_FUSE"), cpu, backward)
    gradients = sum(counts[name] for name in learning)
    gradients += sum(count * counts[name] for (name, _), count in readers.items()
                     if count > 1 and name in learning)
    return (sum(counts.values()) + gradients + kept) * FLOAT


def _kept(of: Shaped, fused: bool, cpu: bool, backward: bool) -> int:
    """How many numbers a layer keeps in buffers of its own that grow with the batch.

    fused: of a BatchNorm with stored statistics and its Scale, whether the engine computes both in one pass.
    """
    size = math.prod(of.bottoms[0]) if of.bottoms else 0
    if of.layer.type == "BatchNorm":        # deviations and normalised values at every place; their gradient
        return 0 if fused else (3 if backward else 2) * size
    if of.layer.type == "Scale":            # one for it and BatchNorm; none where the convolution does it too
        return 0 if fused and cpu and engine("CAFFE_ONEDNN") else size
    if of.layer.type == "Dropout":
        return size
    if of.layer.type == "SoftmaxWithLoss":
        return 2 * size
    if of.layer.type == "Pooling" and of.layer.pooling_param.pool == caffe_pb2.PoolingParameter.MAX:
        return math.prod(of.tops[0])
    return 0


def _convolving(nets: Sequence[tuple[caffe_pb2.NetParameter | None, int]], passes: int) -> int:
    """Bytes of the convolutions' own buffers on the CPU. nets: (NetParameter, how many a run holds).

    With oneDNN: for all layers together, copies of one layer's weights in other orders and a sum of its
    gradient for each thread; and, where weights are used again unchanged, each layer's in the order that its
    passes want. Else Caffe's: one image, unfolded, for every layer.
    """
    if not engine("CAFFE_ONEDNN"):
        return sum(times * _columns(net) for net, times in nets if net)
    weights = {i: [math.prod(of.params[0]) for of in shaped(net) if of.layer.type == "Convolution"]
               for i, (net, times) in enumerate(nets) if net and times}
    kept = sum(nets[i][1] * sum(sizes) for i, sizes in weights.items() if i > 0)
    kept += 2 * sum(weights[0]) if passes > 1 else 0
    shared = (3 + machine.cores()) * max(max(sizes, default=0) for sizes in weights.values())
    return (kept + shared) * FLOAT


def _rounded(net: caffe_pb2.NetParameter) -> int:
    """Bytes of what all convolutions share: the largest of their inputs and of their outputs in bfloat16."""
    shapes = [(of.bottoms[0], of.tops[0]) for of in shaped(net) if of.layer.type == "Convolution"]
    return FLOAT // 2 * sum(max(map(math.prod, side)) for side in zip(*shapes))


def _columns(net: caffe_pb2.NetParameter) -> int:
    """Bytes that Caffe's own convolutions unfold one image into, a buffer for each layer."""
    total = 0
    for of in shaped(net):
        if of.layer.type == "Convolution" and geometry(of.layer) != (1, 1, 0):
            total += math.prod(of.params[0][1:]) * math.prod(of.tops[0][2:])
    return total * FLOAT
