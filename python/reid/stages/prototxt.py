"""The prototxt files of a run: the nets of reid.nets with this run's data, head size and schedule."""

from google.protobuf import text_format

from reid.common.files import write_whole
from reid.engine import snapshots
from reid.engine.settings import TEST_BATCH
from reid.features.extract import BATCH
from reid.nets.build import Source, deploy_net, test_net, train_net
from reid.nets.heads import Heads
from reid.nets.solver import solver


def nets(job, split, classes):
    """The nets of a run: {"train", "test", "deploy": NetParameter}.

    job: reid.stages.stage.Job; split: folder of the split's pair LMDBs; classes: training identities.
    """
    s = job.settings
    heads = Heads(job.objective, classes, dropout=s.dropout, verif_weight=s.verif_weight, verif_scale=s.verif_scale,
                  id_lr_mult=s.id_lr_mult, verif_lr_mult=s.verif_lr_mult)
    common = dict(images=str(job.data / "images"), crop=s.crop, height=s.input.height,
                  width=s.input.width, mean=list(s.mean), seed=s.seed)
    training = Source(pairs=str(split / "train"), batch=s.batch, workers=s.workers, **common)
    testing = Source(pairs=str(split / "test"), batch=min(s.batch, TEST_BATCH), workers=0, **common)
    return {"train": train_net(job.base, heads, training, s.two_branch), "test": test_net(job.base, heads, testing),
            "deploy": deploy_net(job.base, BATCH, *s.input)}


def write_prototxt(run, job, nets, schedule):
    """Write train, test, deploy and solver.prototxt into the folder `run`.

    job: reid.stages.stage.Job; nets: as `nets` returns them; schedule: Schedule.
    """
    s = job.settings
    for name, net in nets.items():
        _write(run / f"{name}.prototxt", net)
    # The loop of train.py prints, tests and takes snapshots itself, so Caffe is told to do none of it.
    _write(run / "solver.prototxt", solver(
        run / "train.prototxt", run / "test.prototxt", lr=s.lr, lr_final=s.lr_final,
        lr_final_from=schedule.lr_final_from, max_iter=schedule.iterations, iter_size=s.iter_size,
        momentum=s.momentum, weight_decay=s.weight_decay, clip_gradients=s.clip_gradients,
        test_iter=schedule.test_batches, test_interval=schedule.iterations + 1, display=0, snapshot=0,
        snapshot_prefix=snapshots.prefix(run), seed=s.seed, gpu=job.gpu is not None))


def _write(path, message):
    write_whole(path, text_format.MessageToString(message))
