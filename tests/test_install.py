"""tools/install_caffe.sh: what it refuses, that it does nothing twice, and that what it installs runs by itself."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reid.nets.build import Source, test_net as build_test_net, train_net
from reid.nets.heads import Heads
from reid.nets.solver import solver

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def clone(tmp_path):
    """The tools alone, with nothing built."""
    shutil.copytree(ROOT / "tools", tmp_path / "clone/tools")
    return tmp_path / "clone"


def install(clone, *arguments, **environment):
    return subprocess.run([clone / "tools/install_caffe.sh", *arguments], env={**os.environ, **environment},
                          capture_output=True, text=True)


def test_a_second_call_does_nothing():
    again = install(ROOT)
    assert (again.returncode, again.stdout) == (0, "Caffe is in .venv already\n")


@pytest.mark.parametrize("content, words", [
    (None, "cannot be read"), (b"not Caffe", "expected e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c")])
def test_a_source_that_is_not_caffes_is_refused(clone, content, words):
    source = clone / "source.tar.gz"
    if content:
        source.write_bytes(content)
    run = install(clone, CAFFE_SOURCE=str(source))
    assert run.returncode == 2 and run.stderr.startswith("error: ") and words in run.stderr and str(source) in run.stderr
    assert not (clone / "build/caffe/source").exists()


def test_without_root_missing_packages_are_named_with_the_command(clone):
    with open(clone / "tools/caffe/packages", "a") as packages:
        packages.write("no-such-package\n")
    (clone / "bin").mkdir()
    (clone / "bin/id").write_text("#!/bin/sh\necho 1000\n")
    (clone / "bin/id").chmod(0o755)
    run = install(clone, PATH=f"{clone / 'bin'}:{os.environ['PATH']}")
    assert run.returncode == 2
    assert run.stderr == ("error: Debian packages are missing; as root: "
                          "apt-get install --no-install-recommends no-such-package\n")


def test_an_unknown_argument_is_refused(clone):
    run = install(clone, "--fast")
    assert run.returncode == 2 and "--fast" in run.stderr


def test_the_caffe_tool_trains_our_net_without_any_environment(prepared_viper, tmp_path):
    source = Source(str(prepared_viper / "split00/train"), str(prepared_viper / "images"), batch=2, crop=224, height=64,
                    width=64, mean=(104, 117, 124), seed=0, workers=1)
    heads = Heads("vi", 12, verif_scale=0.2, verif_lr_mult=10)
    (tmp_path / "train.prototxt").write_text(str(train_net("tiny", heads, source)))
    (tmp_path / "test.prototxt").write_text(str(build_test_net("tiny", heads, source)))
    settings = solver(tmp_path / "train.prototxt", tmp_path / "test.prototxt", lr=0.001, lr_final=0.0001, lr_final_from=3,
                      max_iter=3, iter_size=1, momentum=0.9, weight_decay=0, clip_gradients=10, test_iter=1,
                      test_interval=100, display=1, snapshot=0, snapshot_prefix=tmp_path / "tiny", seed=0)
    (tmp_path / "solver.prototxt").write_text(str(settings))
    run = subprocess.run([Path(sys.prefix) / "bin/caffe", "train", f"--solver={tmp_path / 'solver.prototxt'}"],
                         cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "loss_verif" in run.stderr and (tmp_path / "tiny_iter_3.caffemodel").is_file()
