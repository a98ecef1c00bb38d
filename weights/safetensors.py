"""Reading .safetensors: eight bytes of header length, a JSON header, then the tensors' bytes."""

import json
import math
from pathlib import Path

from reid.common.errors import InputError
from weights.dtypes import DTYPES, decode, itemsize

MAX_HEADER = 100_000_000      # the format's own bound


def read(path):
    """The tensors, {name: array}, of dtypes F64 F32 F16 BF16 (all as float32), I64 and I32.

    Raises InputError where the header is not one, or the tensors overlap, leave gaps, or do not fill the file.
    """
    content = memoryview(Path(path).read_bytes())
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(MAX_HEADER, len(content) - 8):
        raise _bad(path, f"its header would be {length} bytes long, and the file has {len(content)}")
    try:
        header = json.loads(bytes(content[8:8 + length]), object_pairs_hook=_unique)
        header.pop("__metadata__", None)
        ranges = {name: _range(path, name, **fields) for name, fields in header.items()}
    except InputError:
        raise
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(path, f"its header is not one ({error})") from None
    data = content[8 + length:]
    _check_order(path, ranges, len(data))
    return {name: decode(data[slice(*ranges[name])], fields["dtype"]).reshape(fields["shape"])
            for name, fields in header.items()}


def _range(path, name, dtype, shape, data_offsets):
    """Where a tensor begins and ends, after checking that this is its size."""
    if dtype not in DTYPES:
        raise _bad(path, f"tensor {name} is of type {dtype}; the types known here are {' '.join(DTYPES)}")
    begin, end = data_offsets
    if not all(isinstance(number, int) and number >= 0 for number in (begin, end, *shape)):
        raise _bad(path, f"tensor {name} has shape {shape} and offsets {data_offsets}")
    if end - begin != math.prod(shape) * itemsize(dtype):
        raise _bad(path, f"tensor {name}, {dtype} {shape}, has {end - begin} bytes")
    return begin, end


def _check_order(path, ranges, size):
    """The tensors follow one another without gap or overlap, up to the last byte."""
    at = 0
    for name, (begin, end) in sorted(ranges.items(), key=lambda item: item[1]):
        if begin != at:
            raise _bad(path, f"tensor {name} begins at byte {begin} of the data, and the one before it ends at "
                             f"{at}")
        at = end
    if at != size:
        raise _bad(path, f"its tensors need {at} bytes, and {size} are there")


def _unique(pairs):
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name stands in it twice")
    return names


def _bad(path, what):
    return InputError(f"{path}: not a whole .safetensors file: {what}; get it again")
