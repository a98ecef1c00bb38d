"""What several tests stand on: generated people in VIPeR's layout, and the same prepared for training."""
import os

os.environ.setdefault("GLOG_minloglevel", "2")    # Caffe's own log: errors only; read when Caffe is imported
# Small nets gain nothing by two threads, which on a busy machine wait for each other ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from data_prep.people.write import write
from data_prep.prepare import prepare


@pytest.fixture(scope="session")
def generated_viper(tmp_path_factory):
    """The raw folder of 24 generated identities, seed 7. Read only: copy it before changing anything."""
    folder = tmp_path_factory.mktemp("raw") / "viper"
    write(folder, "viper", identities=24, seed=7)
    return folder


@pytest.fixture(scope="session")
def prepared_viper(generated_viper, tmp_path_factory):
    """Split 0 of it as data_prep writes it, 3 epochs of pairs: 12 identities train, 12 test. Read only."""
    folder = tmp_path_factory.mktemp("prepared") / "viper"
    prepare("viper", generated_viper, folder, splits=[0], epochs=3)
    return folder


@pytest.fixture(scope="session")
def short_runs(prepared_viper, tmp_path_factory):
    """A folder of runs with viper/split00, of two iterations. Read only: copy it before changing anything."""
    from stages import SHORT, run_stage, tiny_job  # here alone: it imports Caffe
    folder = tmp_path_factory.mktemp("short_runs")
    run_stage(tiny_job(prepared_viper, folder, *SHORT), [0])
    return folder


@pytest.fixture(scope="session")
def generated_large(tmp_path_factory):
    """The raw folder of `large`: market1501/ of 6 generated identities, cuhk03/ of 18. Read only."""
    folder = tmp_path_factory.mktemp("raw")
    write(folder / "market1501", "market1501", identities=6, seed=1)
    write(folder / "cuhk03", "cuhk03", identities=18, seed=2)
    return folder
