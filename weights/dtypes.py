"""The number formats of stored tensors."""

import numpy as np

# NumPy has no bfloat16, whose 16 bits are the upper half of a float32
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


def itemsize(dtype: str) -> int:
    """Bytes of one number."""
    return np.dtype(DTYPES[dtype]).itemsize


def decode(raw: bytes, dtype: str) -> np.ndarray:
    """The numbers in the bytes `raw`, flat: all floats as float32, integers as they are."""
    numbers = np.frombuffer(raw, DTYPES[dtype])
    if dtype == "BF16":
        return (numbers.astype("<u4") << 16).view("<f4")
    return numbers if dtype.startswith("I") else numbers.astype("<f4", copy=False)
