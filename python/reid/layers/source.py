"""The parameters of the PairData layer: written into the prototxt of a net, and read by the layer."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from reid.common.errors import InputError


@dataclass(frozen=True)
class Source:
    """Where a net's pairs come from: PairData's `param_str` is JSON with exactly these keys."""

    pairs: str  # folder of the pair LMDB
    images: str  # folder of the image LMDB
    batch: int  # pairs in a batch, N; the net sees 2N images
    crop: int  # side of the square window cut from the stored 256×256 image, pixels
    height: int  # size the window is resized to where it differs, pixels
    width: int
    mean: tuple[float, float, float]  # subtracted from the three channels, in the order B, G, R; 0 to 255
    seed: int  # of the windows' places
    workers: int  # processes that prepare batches ahead; 0 prepares them in this one
    phase: str = "train"  # "train": windows drawn at random; "test": the centre window

    @classmethod
    def parse(cls, param_str: str) -> "Source":
        """Read a `param_str`; InputError names a key that is missing, unknown or has a wrong value."""
        try:
            given = json.loads(param_str)
        except ValueError as error:
            raise InputError(f"PairData: param_str is no JSON ({error}): {param_str!r}") from None
        if not isinstance(given, dict):
            raise InputError(f"PairData: param_str must be a JSON object, not {param_str!r}")
        missing, unknown = sorted(_ALLOWED.keys() - given.keys()), sorted(given.keys() - _ALLOWED.keys())
        if missing or unknown:
            raise InputError(f"PairData: param_str has missing keys {missing} and unknown keys {unknown}")
        for key, (is_allowed, words) in _ALLOWED.items():
            if not is_allowed(given[key]):
                raise InputError(f"PairData: {key} is {given[key]!r}; it must be {words}")
        return cls(**{**given, "mean": tuple(given["mean"])})

    def param_str(self) -> str:
        """The `param_str` that `parse` reads."""
        return json.dumps(asdict(self))


def _whole(least: int) -> tuple[Callable[[object], bool], str]:
    return lambda value: type(value) is int and value >= least, f"a whole number of at least {least}"


def _is_folder(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_colour(value: object) -> bool:
    numbers = isinstance(value, list) and all(type(v) in (int, float) and math.isfinite(v) for v in value)
    return numbers and len(value) == 3


_ALLOWED = {
    "pairs": (_is_folder, "a folder"),
    "images": (_is_folder, "a folder"),
    "batch": _whole(1),
    "crop": _whole(16),  # more than any translation, so that a window always meets the image
    "height": _whole(1),
    "width": _whole(1),
    "mean": (_is_colour, "three numbers, in the order B, G, R"),
    "seed": _whole(0),
    "workers": _whole(0),
    "phase": (("train", "test").__contains__, '"train" or "test"'),
}
