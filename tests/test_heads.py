"""The heads in real Caffe against a NumPy reference, written here from eq. 1–6."""

import caffe
import numpy as np
import pytest
from google.protobuf import text_format

from reid.nets.heads import Heads, add_heads

PAIRS, CLASSES, SCALE = 6, 5, 0.7
DIMS = (11, 1, 1)
LABEL_A, LABEL_B = np.array([0, 1, 2, 3, 4, 0]), np.array([0, 1, 3, 4, 4, 2])
SAME = np.array([0, 0, 1, 1, 0, 1])


def head_net(folder, objective, test=False):
    """A net of the heads alone, with random features, labels and weights; not yet run."""
    n = caffe.NetSpec()
    n.feature = caffe.layers.Input(shape=dict(dim=[2 * PAIRS, *DIMS]))
    n.label_a, n.label_b, n.same = caffe.layers.Input(name="labels", ntop=3, shape=[dict(dim=[PAIRS])] * 3)
    heads = Heads(objective, CLASSES, verif_scale=SCALE, verif_lr_mult=10)
    add_heads(n, heads, "feature", DIMS, PAIRS, test)
    proto = n.to_proto()
    proto.force_backward = True          # or Caffe computes no gradient of an input
    (folder / "net.prototxt").write_text(text_format.MessageToString(proto))
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TEST if test else caffe.TRAIN)
    random = np.random.default_rng(1)
    for blob, labels in (("label_a", LABEL_A), ("label_b", LABEL_B), ("same", SAME)):
        net.blobs[blob].data[...] = labels
    for values in [net.blobs["feature"], *(blob for layer in net.params.values() for blob in layer)]:
        values.data[...] = random.normal(size=values.data.shape)
    return net


def softmax_loss(features, weight, bias, labels):
    """Over rows not labelled −1: mean cross-entropy, its gradients by features, weight and bias; accuracy."""
    judged = labels >= 0
    scores = features @ weight.T + bias
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    count = max(1, judged.sum())
    target = np.eye(len(bias))[labels] * judged[:, None]
    loss = -np.sum(target * np.log(p)) / count
    d_scores = (p - target) * judged[:, None] / count
    accuracy = np.sum((scores.argmax(1) == labels) & judged) / count
    return loss, d_scores @ weight, d_scores.T @ features, d_scores.sum(0), accuracy


def reference(net, objective, same=SAME, squares_times=1):
    """Losses, accuracies and gradients of the fused loss, from the net's features, weights and mask."""
    x = net.blobs["feature"].data.astype(np.float64).reshape(2, PAIRS, -1)
    mask = net.blobs["mask"].data.astype(np.float64).reshape(PAIRS, -1)
    dropped = x * mask                                                                    # eq. 1
    d_dropped, out = np.zeros_like(dropped), {}
    if "i" in objective:
        weight, bias = (blob.data.astype(np.float64) for blob in net.params["id_fc_a"])
        out["id_weight"] = out["id_bias"] = 0
        for i, (branch, labels) in enumerate((("a", LABEL_A), ("b", LABEL_B))):           # eq. 4, 5
            loss, d_x, d_weight, d_bias, accuracy = softmax_loss(dropped[i], weight, bias, labels)
            out[f"loss_id_{branch}"], out[f"accuracy_id_{branch}"] = loss, accuracy
            d_dropped[i] += d_x
            out["id_weight"], out["id_bias"] = out["id_weight"] + d_weight, out["id_bias"] + d_bias
    if "v" in objective:
        weight, bias = (blob.data.astype(np.float64) for blob in net.params["verif_fc"])
        difference = dropped[0] - dropped[1]
        squares = squares_times * np.maximum((SCALE * difference) ** 2, 0)
        loss, d_squares, d_weight, d_bias, accuracy = softmax_loss(squares, weight, bias, same)   # eq. 2, 3
        out["loss_verif"], out["accuracy_verif"] = loss, accuracy
        d_difference = 3 * d_squares * 2 * SCALE ** 2 * difference                        # eq. 6
        d_dropped += np.stack([d_difference, -d_difference])
        out["verif_weight"], out["verif_bias"] = 3 * d_weight, 3 * d_bias
    out["feature"] = (d_dropped * mask).reshape(net.blobs["feature"].data.shape)
    return out


@pytest.mark.parametrize("objective", ["vi", "v", "i"])
def test_losses_and_gradients_equal_the_reference(tmp_path, objective):
    net = head_net(tmp_path, objective)
    net.forward()
    net.backward()
    expected = reference(net, objective)
    got = {"feature": net.blobs["feature"].diff}
    if "i" in objective:
        got["id_weight"], got["id_bias"] = (blob.diff for blob in net.params["id_fc_a"])
    if "v" in objective:
        got["verif_weight"], got["verif_bias"] = (blob.diff for blob in net.params["verif_fc"])
    got |= {name: blob.data for name, blob in net.blobs.items() if name.startswith("loss_")}
    assert set(got) == {name for name in expected if not name.startswith("accuracy_")}
    for name, values in got.items():
        np.testing.assert_allclose(values, expected[name], rtol=2e-4, atol=1e-5, err_msg=name)


def test_one_mask_for_both_branches_fresh_each_pass(tmp_path):
    net = head_net(tmp_path, "vi")
    masks = []
    for _ in range(4):
        net.forward()
        mask = net.blobs["mask"].data.copy()
        for branch in "ab":
            feature, dropped = net.blobs[f"feature_{branch}"].data, net.blobs[f"dropped_{branch}"].data
            np.testing.assert_array_equal(dropped, feature * mask)
        assert set(np.unique(mask)) == {0, 2}                    # dropped, or scaled by 1 / (1 − 0.5)
        masks.append(mask)
    assert len({mask.tobytes() for mask in masks}) == 4
    assert 0.3 < np.mean(masks) / 2 < 0.7


def test_no_mask_in_test_and_each_head_is_judged_on_its_own_rows(tmp_path):
    net = head_net(tmp_path, "vi", test=True)
    same = np.where(np.arange(PAIRS) % 2, -1, SAME)              # half the rows: identification only
    net.blobs["same"].data[...] = same
    net.forward()
    assert (net.blobs["mask"].data == 1).all()
    expected = reference(net, "vi", same, squares_times=2)       # 1 / (1 − 0.5)
    for name in ("loss_id_a", "loss_id_b", "loss_verif", "accuracy_id_a", "accuracy_id_b", "accuracy_verif"):
        np.testing.assert_allclose(net.blobs[name].data, expected[name], rtol=1e-4, err_msg=name)


def test_squares_without_a_mask_are_what_they_average_with_it(tmp_path):
    net = head_net(tmp_path, "v")
    passes = 600
    total = sum((net.forward(), net.blobs["square"].data.astype(np.float64))[1] for _ in range(passes))
    (tmp_path / "test").mkdir()
    judged = head_net(tmp_path / "test", "v", test=True)         # the same features
    judged.forward()
    # Under a mask a square is 0 or 4 times its own value, each with probability one half
    squares = judged.blobs["square"].data
    assert (np.abs(total / passes - squares) <= 6 * squares / passes ** .5).all()


def test_a_batch_with_nothing_to_judge_counts_nothing(tmp_path):
    net = head_net(tmp_path, "vi", test=True)
    net.blobs["same"].data[...] = -1
    net.forward()
    assert net.blobs["loss_verif"].data == 0 and net.blobs["accuracy_verif"].data == 0


def test_both_identification_branches_are_one_layer(tmp_path):
    net = head_net(tmp_path, "vi")
    weight_a, weight_b = net.params["id_fc_a"][0].data, net.params["id_fc_b"][0].data
    weight_a[0, 0] = 42
    assert weight_b[0, 0] == 42


def test_an_unknown_objective_is_named():
    with pytest.raises(ValueError, match="'iv'.*vi, v, i"):
        Heads("iv", 10, verif_scale=1, verif_lr_mult=10)
