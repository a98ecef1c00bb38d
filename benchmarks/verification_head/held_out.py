r"""What the verification head says of pairs of people who were not trained on, its squares taken c times.

In training the shared mask is 0 or 1/(1 − p), so the squares average 1/(1 − p) times what they are without
it: twice, at the default dropout p = 0.5. Prints accuracy and loss at c = 1, at c = 1/(1 − p), and at the c
with the smallest loss, for the newest snapshot of each run. Results: docs/verification-head.md.

    .venv/bin/python benchmarks/verification_head/held_out.py RUN... [--pairs 1024]
"""
import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import numpy as np
import yaml
from caffe.proto import caffe_pb2
from google.protobuf import text_format

TRIED = np.geomspace(.25, 16, 49)


def squares(run: Path, pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Squares (M, D) of the judged held-out pairs in the test net, labels (M,), θ_verif: (2, D) and (2,)."""
    weights = sorted((run / "snapshots").glob("*/weights.caffemodel"))[-1]
    net = caffe.Net(str(run / "test.prototxt"), str(weights), caffe.TEST)
    found, same = [], []
    feed = net.layers[0].feed
    batch = net.blobs["same"].shape[0]
    batches = max(1, feed.pairs.total // batch)
    looked_at = min(batches, -(-pairs // batch))
    feed.order = tuple(i * batches // looked_at for i in range(looked_at))
    net.layers[0].seek(0)
    for _ in range(looked_at):
        net.forward()
        labels = net.blobs["same"].data.astype(int)
        found.append(net.blobs["square"].data[labels >= 0].reshape((labels >= 0).sum(), -1).copy())
        same.append(labels[labels >= 0])
    net.layers[0].close()
    weight, bias = (blob.data.copy() for blob in net.params["verif_fc"])
    return np.concatenate(found), np.concatenate(same), weight, bias


def test_scale(run: Path) -> float:
    """The scale s that a run's test net has."""
    net = text_format.Parse((run / "test.prototxt").read_text(), caffe_pb2.NetParameter())
    return next(json.loads(layer.python_param.param_str)["scale"] for layer in net.layer
                if layer.name == "square")


def judge(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Accuracy, and the softmax loss, of scores (M, 2)."""
    margin = scores[np.arange(len(labels)), 1 - labels] - scores[np.arange(len(labels)), labels]
    return float((margin < 0).mean()), float(np.logaddexp(0, margin).mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs, OUT/STAGE/splitKK")
    parser.add_argument("--pairs", type=int, default=1024, help="held-out pairs looked at; half are judged")
    arguments = parser.parse_args()
    print("| run | pairs | accuracy, loss at c = 1 | at c = 1/(1 − p) | smallest loss, at c |")
    print("| --- | --- | --- | --- | --- |")
    for run in arguments.runs:
        settings = yaml.safe_load((run / "settings.yaml").read_text())["settings"]
        dropout = settings["dropout"]
        found, labels, weight, bias = squares(run, arguments.pairs)
        scores = found @ weight.T * (settings["verif_scale"] / test_scale(run)) ** 2
        at = {c: judge(c * scores + bias, labels) for c in (1, 1 / (1 - dropout), *TRIED)}
        best = min(TRIED, key=lambda c: at[c][1])
        one, masked = (f"{100 * at[c][0]:.1f} %, {at[c][1]:.3f}" for c in (1, 1 / (1 - dropout)))
        print(f"| {run} | {len(labels)} | {one} | {masked} | {at[best][1]:.3f}, {best:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
