"""The elementwise squared difference that joins the two branches, eq. 2 of the paper."""
import json
from collections.abc import Sequence

import caffe
import numpy as np
from caffe._caffe import RawBlobVec

from reid.common.errors import InputError


class SquaredDifference(caffe.Layer):
    """y = (s · (x1 − x2))², elementwise; with s = 1 this is eq. 2.

    Bottoms: x1 and x2, of one shape. Top: y, of that shape. float32.
    `param_str` is empty, or JSON {"scale": s} with a finite s > 0; 1.0 where it is not given. A scale does
    not change what the verification head can represent, only how fast its weights learn.
    """

    def setup(self, bottom: RawBlobVec, top: RawBlobVec) -> None:
        """Read the scale."""
        if len(bottom) != 2 or len(top) != 1:
            raise InputError(f"SquaredDifference takes 2 bottoms and 1 top, not {len(bottom)} and {len(top)}")
        self.scale = _scale(self.param_str)

    def reshape(self, bottom: RawBlobVec, top: RawBlobVec) -> None:
        """Give y the shape of x1, which is x2's."""
        x1, x2 = tuple(bottom[0].shape), tuple(bottom[1].shape)
        if x1 != x2:
            raise InputError(f"SquaredDifference needs two bottoms of one shape, not {x1} and {x2}")
        top[0].reshape(*x1)

    def forward(self, bottom: RawBlobVec, top: RawBlobVec) -> None:
        """Write y = (s · (x1 − x2))²."""
        difference = bottom[0].data - bottom[1].data
        difference *= self.scale
        np.square(difference, out=top[0].data)

    def backward(self, top: RawBlobVec, propagate_down: Sequence[bool], bottom: RawBlobVec) -> None:
        """dL/dx1 = 2 s² (x1 − x2) dL/dy and dL/dx2 = −dL/dx1."""
        if not any(propagate_down):
            return
        gradient = bottom[0].data - bottom[1].data
        gradient *= 2 * self.scale**2
        gradient *= top[0].diff
        if propagate_down[0]:
            bottom[0].diff[...] = gradient
        if propagate_down[1]:
            np.negative(gradient, out=bottom[1].diff)


def _scale(param_str: str) -> float:
    """The scale that a layer's param_str asks for."""
    try:
        param = json.loads(param_str or "{}")
        scale = float(param.pop("scale", 1.0))
        if param or not 0 < scale < float("inf"):
            raise ValueError
    except (ValueError, TypeError, AttributeError):
        raise InputError(
            f'SquaredDifference: param_str is {param_str!r}; allowed is {{"scale": s}} with a finite s > 0'
        ) from None
    return scale
