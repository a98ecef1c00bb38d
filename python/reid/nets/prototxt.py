"""The four files of a stage, train, test, deploy and solver.prototxt: a run's own and the committed ones."""

from pathlib import Path
from typing import TYPE_CHECKING

from caffe.proto import caffe_pb2

from reid.layers.source import Source
from reid.nets.build import deploy_net, test_net, train_net
from reid.nets.heads import Heads
from reid.nets.solver import solver

if TYPE_CHECKING:    # the engine builds on this room; here its types are only named
    from reid.engine.schedule import Schedule
    from reid.engine.settings import Settings

DEPLOY_BATCH = 8    # images whose features are computed at once: ResNet-50 takes 200 MB for each of 224×224


def stage_nets(base: str, objective: str, classes: int, settings: "Settings", images: Path | str,
               pairs: Path | str) -> dict[str, caffe_pb2.NetParameter]:
    """The nets of a stage, {"train", "test", "deploy"}.

    classes: training identities; images: folder of the image LMDB; pairs: folder with the pair LMDBs train/
    and test/.
    """
    s = settings
    heads = Heads(objective, classes, dropout=s.dropout, verif_weight=s.verif_weight, id_weight=s.id_weight,
                  verif_scale=s.verif_scale, id_lr_mult=s.id_lr_mult, verif_lr_mult=s.verif_lr_mult)
    common = dict(images=str(images), crop=s.crop, height=s.input.height, width=s.input.width, mean=s.mean,
                  seed=s.seed)
    training = Source(pairs=f"{pairs}/train", batch=s.in_pass, workers=s.workers, **common)
    testing = Source(pairs=f"{pairs}/test", batch=s.test_batch, workers=0, **common)
    return {"train": train_net(base, heads, training, s.two_branch, s.batch_norm == "batch", s.feature),
            "test": test_net(base, heads, testing, s.feature),
            "deploy": deploy_net(base, DEPLOY_BATCH, *s.input, s.feature)}


def stage_solver(folder: Path | str, settings: "Settings", schedule: "Schedule", snapshot_prefix: Path | str,
                 gpu: bool = False, by_caffe: bool = False) -> caffe_pb2.SolverParameter:
    """The solver of a stage whose nets lie in `folder`.

    by_caffe: Caffe itself prints, tests and takes snapshots, as `caffe train` does. In a run the training
    loop does all three, so Caffe is told to do none of them.
    """
    s = settings
    own = (dict(display=s.display, test_interval=s.test_every, snapshot=s.snapshot_every) if by_caffe else
           dict(display=0, test_interval=schedule.iterations + 1, snapshot=0))
    return solver(f"{folder}/train.prototxt", f"{folder}/test.prototxt", lr=s.lr, lr_final=s.lr_final,
                  lr_final_from=schedule.lr_final_from, max_iter=schedule.iterations, iter_size=s.passes,
                  momentum=s.momentum, weight_decay=s.weight_decay, clip_gradients=s.clip_gradients,
                  test_iter=len(schedule.test_batches), snapshot_prefix=snapshot_prefix, seed=s.seed, gpu=gpu,
                  **own)
