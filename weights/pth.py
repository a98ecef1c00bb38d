"""Reading what torch.save wrote of a state dict, without torch and without trusting the file.

A .pth file is a pickle, and a pickle can name any function to be called. The reader here knows the handful of
names that a state dict needs and replaces each by something harmless; any other name is refused before it is
used.

Two forms: a zip archive (torch since 1.6) with the pickle in data.pkl and each storage in data/<key>, and
before that a file of pickles (a magic number, a version, facts of the machine, the state dict, the storages'
keys) followed by the storages, each with its length.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import numpy as np

from reid.common.errors import InputError
from weights.dtypes import decode, itemsize

MAGIC = 0x1950a86a20f9469cfc6c
PROTOCOL = 1001
STORAGES = {"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
            "LongStorage": "I64", "IntStorage": "I32"}


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict, {name: array}: floats of any width as float32, integers as they are.

    Raises InputError where the file is cut short, damaged, or anything else than the state dict of a model.
    """
    storages = {}
    try:
        state = (_read_zip if zipfile.is_zipfile(path) else _read_legacy)(path, storages)
        if not isinstance(state, dict) or not all(isinstance(value, _Tensor) for value in dict.values(state)):
            raise InputError(f"{path}: holds other things than tensors by name: "
                             "save the model's state dict alone, torch.save(model.state_dict(), FILE)")
        return {name: tensor.array() for name, tensor in dict.items(state)}
    except (InputError, OSError):
        raise
    except Exception as error:      # a damaged pickle can fail in any way; none of them is a bug of ours
        raise InputError(f"{path}: not a state dict that torch.save wrote, or cut short or damaged "
                         f"({type(error).__name__}: {error}); get it again") from None


def _read_zip(path: Path, storages: dict[str, "_Storage"]) -> Any:
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise InputError(f"{path}: written on a big-endian machine; save it again on another")
        with archive.open(pickled) as file:
            state = _StateDict(file, path, storages).load()
        for key, storage in storages.items():
            info = archive.getinfo(f"{folder}data/{key}")
            if info.file_size != storage.size or info.compress_type != zipfile.ZIP_STORED:
                raise InputError(f"{path}: {info.filename} has {info.file_size} bytes, expected "
                                 f"{storage.size}, stored as they are; get it again")
            storage.values = decode(archive.read(info), storage.dtype)
    return state


def _read_legacy(path: Path, storages: dict[str, "_Storage"]) -> Any:
    with open(path, "rb") as file:
        magic, protocol, _ = (_StateDict(file, path, {}).load() for _ in range(3))
        if (magic, protocol) != (MAGIC, PROTOCOL):
            raise InputError(f"{path}: a pickle, but not one of torch.save's")
        state = _StateDict(file, path, storages).load()
        for key in _StateDict(file, path, {}).load():
            storage = storages[key]
            count = int.from_bytes(file.read(8), "little")
            raw = file.read(storage.size)
            if count != storage.count or len(raw) != storage.size:
                raise InputError(f"{path}: cut short: storage {key} has {len(raw)} of {storage.size} bytes; "
                                 "get it again")
            storage.values = decode(raw, storage.dtype)
    return state


class _Storage:
    """The numbers that tensors are views of; `values` comes after the pickle has been read."""

    def __init__(self, dtype: str, count: int) -> None:
        self.dtype, self.count, self.values = dtype, count, None
        self.size = count * itemsize(dtype)


class _Tensor:
    """A view of a storage: offset, size and stride in numbers."""

    def __init__(self, storage: _Storage, offset: int, size: tuple[int, ...],
                 stride: tuple[int, ...]) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def __setstate__(self, state: object) -> None:
        """Old Parameters bring requires_grad and hooks, which mean nothing here."""

    def array(self) -> np.ndarray:
        values, numbers = self.storage.values, (self.offset, *self.size, *self.stride)
        if len(self.size) != len(self.stride) or min(numbers) < 0:
            raise ValueError(f"a tensor of size {self.size} and stride {self.stride} at {self.offset}")
        if 0 in self.size:
            return np.empty(self.size, values.dtype)
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.size, self.stride))
        if last >= len(values):
            raise ValueError(f"a tensor goes up to number {last} of a storage of {len(values)}")
        strides = [stride * values.itemsize for stride in self.stride]
        view = np.lib.stride_tricks.as_strided(values[self.offset:], self.size, strides)
        return np.asarray(view, order="C")


class _Parameter:
    """torch's Parameter: the tensor it holds. It is a class because old files make one by pickle's NEWOBJ."""

    def __new__(cls, tensor: _Tensor, *_gradient_and_hooks: object) -> _Tensor:
        return tensor

    def __setstate__(self, state: object) -> None:
        """Never called; being here, it keeps a pickle from setting attributes of the class."""


class _StateDict(pickle.Unpickler):
    """An unpickler that can make tensors, ordered dictionaries and Python's plain types, and nothing else.

    What replaces a name cannot be altered by a pickle: a bound method, a string, a built-in type, _Parameter.
    """

    def __init__(self, file: IO[bytes], path: Path, storages: dict[str, "_Storage"]) -> None:
        super().__init__(file)
        self.path, self.storages = path, storages

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor"): self.tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch._utils", "_rebuild_parameter"): _Parameter,
            ("torch.nn.parameter", "Parameter"): _Parameter,
        }
        known |= {("torch", storage): dtype for storage, dtype in STORAGES.items()}
        if (module, name) not in known:
            raise InputError(f"{self.path}: refused, because it asks for {module}.{name}, which no state "
                             "dict needs (nothing of it was run); save the state dict alone, "
                             "torch.save(model.state_dict(), FILE)")
        return known[module, name]

    def persistent_load(self, pid: tuple) -> _Storage:
        kind, dtype, key, _device, count, *views = pid
        if kind != "storage" or dtype not in STORAGES.values() or any(view is not None for view in views):
            raise ValueError(f"a stored object of the kind {kind!r}, {dtype!r}")
        return self.storages.setdefault(key, _Storage(dtype, count))

    def tensor(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...],
               *_gradient_and_hooks: object) -> _Tensor:
        return _Tensor(storage, offset, size, stride)
