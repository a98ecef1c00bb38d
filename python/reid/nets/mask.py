"""One dropout mask for both images of a pair (eq. 1), from stock layers."""

from caffe import layers as L


def shared_mask(n, name, shape, ratio):
    """Add blob `name` of `shape` to NetSpec `n`.

    In TRAIN it is a fresh mask each pass: 0 with probability `ratio`, else 1 / (1 − ratio). In TEST it is
    ones. The Dropout must not be in place: Caffe fills a constant DummyData once, and the mask would
    wear thin.
    """
    n[f"{name}_ones"] = L.DummyData(shape=dict(dim=shape), data_filler=dict(type="constant", value=1))
    n[name] = L.Dropout(n[f"{name}_ones"], dropout_ratio=ratio)
