"""The solver of a stage: momentum SGD at one learning rate, then at a final one (Section III-C 2)."""

from pathlib import Path

from caffe.proto import caffe_pb2


def solver(train_path: Path | str, test_path: Path | str, *, lr: float, lr_final: float, lr_final_from: int,
           max_iter: int, iter_size: int, momentum: float, weight_decay: float, clip_gradients: float,
           test_iter: int, test_interval: int, display: int, snapshot: int, snapshot_prefix: Path | str,
           seed: int, gpu: bool = False) -> caffe_pb2.SolverParameter:
    """The SolverParameter of a stage. All counts are iterations.

    train_path, test_path  prototxt files of the two nets
    lr, lr_final           learning rate up to iteration `lr_final_from`, and from it on
    max_iter, iter_size    length of the run; passes whose gradients are added up in one iteration
    clip_gradients         bound on the L2 norm of all gradients together, those of the mean over the passes;
                           −1: none
    test_iter              batches in a test on held-out pairs
    test_interval          iterations between such tests; none before the first iteration
    display, snapshot      iterations between log lines, between snapshots; 0: none
    snapshot_prefix        what snapshot files' names begin with
    seed                   of Caffe's own generator: initial weights, dropout
    """
    # Caffe clips the sum of the passes, and divides it by their number afterwards (sgd_solver.cpp).
    clip = clip_gradients * iter_size if clip_gradients > 0 else clip_gradients
    mode = caffe_pb2.SolverParameter.GPU if gpu else caffe_pb2.SolverParameter.CPU
    return caffe_pb2.SolverParameter(
        train_net=str(train_path), test_net=[str(test_path)], test_iter=[test_iter],
        test_interval=test_interval, test_initialization=False,
        type="SGD", base_lr=lr, lr_policy="multistep", gamma=lr_final / lr, stepvalue=[lr_final_from],
        max_iter=max_iter, iter_size=iter_size, momentum=momentum, weight_decay=weight_decay,
        clip_gradients=clip, display=display, snapshot=snapshot,
        snapshot_prefix=str(snapshot_prefix), random_seed=seed, solver_mode=mode)
