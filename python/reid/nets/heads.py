"""The two heads over the features of a pair: identification (eq. 4–5) and verification (eq. 2–3)."""

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import get_args

from caffe import NetSpec, layers as L, params as P
from caffe.net_spec import Top

from reid.formats.result import Objective
from reid.nets.mask import shared_mask

OBJECTIVES = get_args(Objective)
IGNORED = -1     # the label of held-out pairs that a head's loss and accuracy leave out


@dataclass(frozen=True)
class Heads:
    """Which heads, and how they learn.

    objective      "vi" both heads (eq. 6), "v" verification alone, "i" identification alone
    classes        training identities
    verif_scale    s of (s·(x1 − x2))²
    verif_lr_mult  learning rate of θ_verif relative to the backbone's; its bias learns twice as fast
    id_lr_mult     the same of θ_identif
    dropout        probability of dropping a component of the feature (1 − p of eq. 1)
    verif_weight   λ of eq. 6
    id_weight      weight of each of the two identification losses
    """
    objective: str
    classes: int
    _: KW_ONLY
    verif_scale: float
    verif_lr_mult: float
    id_lr_mult: float = 10.0
    dropout: float = 0.5
    verif_weight: float = 3.0
    id_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective {self.objective!r}: expected one of {', '.join(OBJECTIVES)}")


def add_heads(n: NetSpec, heads: Heads, feature: str, dims: Sequence[int], pairs: int, test: bool) -> None:
    """Add mask, heads and losses to NetSpec `n`.

    `feature` names a blob of shape (2·pairs, *dims), all a's before all b's. Labels are n.label_a,
    n.label_b (classes) and n.same (0 same, 1 different), each (pairs,). With `test` the net gains
    accuracies, and a pair with label −1 is left out of a head's loss and accuracy.
    """
    n.feature_a, n.feature_b = L.Slice(n[feature], name="split_feature", ntop=2, axis=0)
    shared_mask(n, "mask", [pairs, *dims], heads.dropout)
    for branch in "ab":
        n[f"dropped_{branch}"] = L.Eltwise(n[f"feature_{branch}"], n.mask, operation=P.Eltwise.PROD)
    if "i" in heads.objective:
        _identification(n, heads, test)
    else:
        n.unused = L.Silence(n.label_a, n.label_b, ntop=0)
    if "v" in heads.objective:
        _verification(n, heads, test)
    else:
        n.unused = L.Silence(n.same, ntop=0)


def _identification(n: NetSpec, heads: Heads, test: bool) -> None:
    """A softmax over the training identities on each branch, its weights shared by name."""
    weight, bias = _new_layer(heads.id_lr_mult)
    for branch in "ab":
        n[f"id_fc_{branch}"] = L.InnerProduct(
            n[f"dropped_{branch}"], num_output=heads.classes, weight_filler=dict(type="gaussian", std=0.001),
            param=[dict(name="id_weight", **weight), dict(name="id_bias", **bias)])
        _softmax_loss(n, f"id_{branch}", n[f"id_fc_{branch}"], n[f"label_{branch}"], heads.id_weight, test)


def _verification(n: NetSpec, heads: Heads, test: bool) -> None:
    """Squared difference, ReLU, softmax over same and different.

    A square is never negative, so the ReLU changes nothing; it is kept because the paper has it. The mask of
    training, 0 or 1 / (1 − dropout), makes the squares average 1 / (1 − dropout) times what they are without
    it; a test net, which has none, takes them as many times, or the head is judged off the scale that it was
    trained at (docs/verification-head.md).
    """
    scale = heads.verif_scale / (1 - heads.dropout) ** .5 if test else heads.verif_scale
    n.square = L.Python(n.dropped_a, n.dropped_b, module="reid.layers.squared_difference",
                        layer="SquaredDifference", param_str=json.dumps({"scale": scale}))
    n.square_relu = L.ReLU(n.square, in_place=True)
    n.verif_fc = L.InnerProduct(n.square, num_output=2, weight_filler=dict(type="gaussian", std=0.001),
                                param=_new_layer(heads.verif_lr_mult))
    _softmax_loss(n, "verif", n.verif_fc, n.same, heads.verif_weight, test)


def _softmax_loss(n: NetSpec, name: str, scores: Top, labels: Top, weight: float, test: bool) -> None:
    """Add the softmax loss loss_<name>; in a test net accuracy_<name> too."""
    ignore = dict(ignore_label=IGNORED) if test else {}
    n[f"loss_{name}"] = L.SoftmaxWithLoss(scores, labels, loss_weight=weight, loss_param=ignore)
    if test:
        n[f"accuracy_{name}"] = L.Accuracy(scores, labels, **ignore)


def _new_layer(lr_mult: float) -> list[dict[str, float]]:
    """Weight and bias of a new layer, as usual in Caffe: the bias learns twice as fast and is not decayed."""
    return [dict(lr_mult=lr_mult, decay_mult=1), dict(lr_mult=2 * lr_mult, decay_mult=0)]
