"""One dropout mask for both images of a pair (eq. 1), from stock layers."""

from collections.abc import Sequence

from caffe import NetSpec, layers as L


def shared_mask(n: NetSpec, name: str, shape: Sequence[int], ratio: float) -> None:
    """Add blob `name` of `shape` to NetSpec `n`.

    In TRAIN it is a new mask in each pass: 0 with probability `ratio`, else 1 / (1 − ratio). In TEST it is
    ones. The Dropout must not be in place: Caffe fills a constant DummyData only once, so that each pass
    would drop more of what the passes before have left.
    """
    n[f"{name}_ones"] = L.DummyData(shape=dict(dim=shape), data_filler=dict(type="constant", value=1))
    n[name] = L.Dropout(n[f"{name}_ones"], dropout_ratio=ratio)
