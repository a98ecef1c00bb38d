"""tools/install_caffe.sh: what it refuses, that it does nothing twice, that what it installs runs alone."""
import contextlib
import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from reid.layers.source import Source
from reid.nets.build import test_net as build_test_net, train_net
from reid.nets.heads import Heads
from reid.nets.solver import solver

ROOT = Path(__file__).resolve().parents[1]
BUILD = json.loads((ROOT / ".venv/caffe-build.json").read_text())
builds = pytest.mark.skipif((ROOT / ".venv/sealed").exists(),
                            reason="an image or a bundle, where nothing is built")
gpu_build = pytest.mark.skipif(not BUILD["gpu"], reason="Caffe is built for the CPU alone")


@pytest.fixture
def clone(tmp_path):
    """The tools alone, with nothing built."""
    shutil.copytree(ROOT / "tools", tmp_path / "clone/tools")
    return tmp_path / "clone"


def install(clone, *arguments, where=None, **environment):
    return subprocess.run([clone / "tools/install_caffe.sh", *arguments], env={**os.environ, **environment},
                          cwd=where, capture_output=True, text=True)


def test_a_second_call_does_nothing():
    again = install(ROOT)
    assert (again.returncode, again.stdout) == (0, "Caffe is in .venv already\n")


@builds
@pytest.mark.parametrize("content, words", [
    (None, "cannot be read"),
    (b"not Caffe", "expected e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c")])
def test_a_source_that_is_not_caffes_is_refused(clone, content, words):
    source = clone.parent / "source.tar.gz"
    if content:
        source.write_bytes(content)
    run = install(clone, where=clone.parent, CAFFE_SOURCE=source.name)
    assert run.returncode == 2 and run.stderr.startswith("error: ") and words in run.stderr
    assert str(source) in run.stderr
    assert not (clone / "build/caffe/source").exists()


@pytest.fixture
def mirror(clone):
    """A mirror that has a source package of Caffe's name and version, and the clone's pin on its archive."""
    pins = (clone / "tools/caffe/pins").read_text()
    pin = dict(line.split("=", 1) for line in pins.splitlines() if line[0] != "#")
    sources = clone / "mirror/dists" / pin["release"] / "main/source/Sources"
    sources.parent.mkdir(parents=True)
    archive = clone / "mirror" / pin["archive"]
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(clone / "tools/caffe/packages", "packages")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    (clone / "tools/caffe/pins").write_text(pins.replace(pin["sha256"], found))
    sources.write_text(f"Package: caffe\nFormat: 3.0 (quilt)\nVersion: {pin['version']}\nDirectory: .\n"
                       f"Checksums-Sha256:\n {found} {archive.stat().st_size} {archive.name}\n\n")
    found = hashlib.sha256(sources.read_bytes()).hexdigest()
    listed = f"{found} {sources.stat().st_size} main/source/Sources"
    # long out of date and unsigned, as an archive's is or may be
    (sources.parents[2] / "Release").write_text(
        f"Codename: {pin['release']}\nDate: Sat, 14 Aug 2021 10:00:00 UTC\n"
        f"Valid-Until: Sat, 21 Aug 2021 10:00:00 UTC\nComponents: main\nSHA256:\n {listed}\n")
    return archive


@builds
@pytest.mark.parametrize("scheme", ["file", "http"])
def test_a_mirror_that_still_has_caffe_is_taken(clone, mirror, scheme):
    """Its archive is fetched, checked and unpacked; that it is not Caffe shows at the first patch."""
    with served(mirror.parent) as address:
        run = install(clone, CAFFE_MIRROR=address if scheme == "http" else f"file://{mirror.parent}",
                      no_proxy="127.0.0.1")
    assert run.returncode == 2, run.stderr
    assert f"tools/caffe/patches/01-opencv-4.patch does not apply to {mirror.name}" in run.stderr
    assert (clone / "build/caffe/source/packages").is_file()


@builds
def test_a_mirror_without_caffe_and_an_archive_of_other_bytes_are_refused(clone, mirror):
    missing = install(clone, CAFFE_MIRROR=f"file://{clone}/nowhere")
    assert missing.returncode == 2
    assert missing.stderr.startswith(f"error: file://{clone}/nowhere does not give Caffe's source, caffe=")
    assert "E: " in missing.stderr and missing.stderr.endswith(
        "CAFFE_MIRROR=URL takes it from a Debian mirror or archive that still has bullseye, "
        f"CAFFE_SOURCE=FILE from a copy of {mirror.name}\n")
    pins = clone / "tools/caffe/pins"
    pins.write_text(re.sub("sha256=.*", f"sha256={'0' * 64}", pins.read_text()))
    changed = install(clone, CAFFE_MIRROR=f"file://{mirror.parent}")
    assert changed.returncode == 2 and f"expected {'0' * 64}" in changed.stderr
    assert not (clone / "build/caffe/source").exists()


@contextlib.contextmanager
def served(folder):
    """The address at which a folder is to be had by HTTP."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *words: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@builds
@pytest.mark.parametrize("listing", ["packages-use", "packages"])
def test_without_root_missing_packages_are_named_with_the_command(clone, listing):
    with open(clone / "tools/caffe" / listing, "a") as packages:
        packages.write("no-such-package\n")
    (clone / "bin").mkdir()
    (clone / "bin/id").write_text("#!/bin/sh\necho 1000\n")
    (clone / "bin/id").chmod(0o755)
    run = install(clone, PATH=f"{clone / 'bin'}:{os.environ['PATH']}")
    assert run.returncode == 2
    assert run.stderr == ("error: Debian packages are missing; as root: "
                          "apt-get install --no-install-recommends no-such-package\n")


@pytest.mark.parametrize("arguments, words", [
    (["--fast"], "not --fast"), (["--cpu", "--gpu"], "--cpu and --gpu"),
    (["--arch", "90"], "--arch goes with --gpu"),
    (["--gpu", "--arch", "61"], "--arch 61: CUDA 13 builds for 75 80"),
    (["--gpu", "--arch"], "--arch wants")])
def test_arguments_that_make_no_sense_are_refused(clone, arguments, words):
    run = install(clone, *arguments)
    assert run.returncode == 2 and run.stderr.startswith("error: ") and words in run.stderr
    assert not (clone / "build").exists()


@pytest.mark.parametrize("gpu", [False, True])
def test_an_image_or_a_bundle_is_left_as_it_is(clone, gpu):
    (clone / ".venv").mkdir()
    (clone / ".venv/sealed").touch()
    (clone / ".venv/caffe-build.json").write_text(json.dumps({"gpu": gpu, "architectures": [90]}
                                                             if gpu else {"gpu": gpu}))
    whole = install(clone)
    assert (whole.returncode, whole.stdout) == (0, "Caffe is in .venv already\n")
    other = install(clone, "--cpu" if gpu else "--gpu")
    assert other.returncode == 2 and f"as a {'gpu' if gpu else 'cpu'} build" in other.stderr
    assert not (clone / "build").exists()


def test_every_wheel_of_the_toolchain_is_pinned_by_its_checksum_and_from_no_named_place():
    lines = (ROOT / "tools/caffe/cuda-requirements.txt").read_text().splitlines()
    wheels = [line for line in lines if not line.startswith("#")]
    assert len(wheels) == 9
    assert all(re.fullmatch(r"nvidia-[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", wheel)
               for wheel in wheels)


@builds
def test_a_toolchain_that_pip_cannot_fetch_is_named(clone):
    if subprocess.run(["/usr/bin/python3", "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip("python3-pip is not installed; tools/install_caffe.sh --gpu brings it")
    run = install(clone, "--gpu", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(clone))
    assert run.returncode == 2
    assert run.stderr.startswith("error: pip could not fetch nvidia-cuda-nvcc==13.0.88: ERROR: ")


@builds
def test_the_patches_apply_to_the_pristine_source_where_they_say(tmp_path):
    pins = dict(line.split("=", 1) for line in (ROOT / "tools/caffe/pins").read_text().splitlines()
                if line[0] != "#")
    archive = Path(os.environ.get("CAFFE_SOURCE") or ROOT / "build/caffe/apt" / pins["archive"])
    if not archive.exists():
        pytest.skip("Caffe's source archive was not kept: CAFFE_SOURCE=FILE names it")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path)
    for change in sorted((ROOT / "tools/caffe/patches").glob("*.patch")):
        run = subprocess.run(["patch", "-p1", "--fuzz=0", "-i", change], cwd=tmp_path,
                             capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        assert "offset" not in run.stdout and "fuzz" not in run.stdout, f"{change.name}: {run.stdout}"


@gpu_build
def test_the_gpu_build_finds_its_libraries_beside_itself_and_needs_no_driver():
    libraries = {path.name for path in (ROOT / ".venv/lib/cuda").iterdir()}
    assert {"libcudart.so.13", "libcublasLt.so.13", "libcurand.so.10", "libcudnn.so.9",
            "libcudnn_ops.so.9"} <= libraries
    run = subprocess.run(["ldd", ROOT / ".venv/lib/libcaffe.so.1"], capture_output=True, text=True)
    assert "not found" not in run.stdout and "libcuda.so" not in run.stdout
    found = dict(re.findall(r"(\S+) => (\S+)", run.stdout))
    assert Path(found["libcudnn.so.9"]).resolve() == ROOT / ".venv/lib/cuda/libcudnn.so.9"


def test_the_caffe_tool_trains_our_net_without_any_environment(prepared_viper, tmp_path):
    source = Source(str(prepared_viper / "split00/train"), str(prepared_viper / "images"), batch=2,
                    crop=224, height=64, width=64, mean=(104, 117, 124), seed=0, workers=1)
    heads = Heads("vi", 12, verif_scale=0.2, verif_lr_mult=10)
    (tmp_path / "train.prototxt").write_text(str(train_net("tiny", heads, source)))
    (tmp_path / "test.prototxt").write_text(str(build_test_net("tiny", heads, source)))
    settings = solver(tmp_path / "train.prototxt", tmp_path / "test.prototxt", lr=0.001, lr_final=0.0001,
                      lr_final_from=3,
                      max_iter=3, iter_size=1, momentum=0.9, weight_decay=0, clip_gradients=10, test_iter=1,
                      test_interval=100, display=1, snapshot=0, snapshot_prefix=tmp_path / "tiny", seed=0)
    (tmp_path / "solver.prototxt").write_text(str(settings))
    run = subprocess.run([Path(sys.prefix) / "bin/caffe", "train",
                          f"--solver={tmp_path / 'solver.prototxt'}"],
                         cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "loss_verif" in run.stderr and (tmp_path / "tiny_iter_3.caffemodel").is_file()


def test_packages_that_only_the_tests_need_are_named_with_the_command(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copy2(ROOT / "tools/test.sh", tmp_path / "tools")
    (tmp_path / "tools/packages-test").write_text("# what\npython3-json\npython3-nosuchmodule    # why\n")
    for file, text in (("tools/install_caffe.sh", "exit 0"), ("bin/id", "echo 1000"),
                       (".venv/bin/python", f'exec {sys.executable} "$@"')):
        (tmp_path / file).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / file).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run([tmp_path / "tools/test.sh", "--version"], capture_output=True, text=True,
                          env={**os.environ, "PATH": path})
    assert done.returncode == 2
    assert done.stderr == ("error: Debian packages are missing; as root: "
                           "apt-get install --no-install-recommends python3-nosuchmodule\n")
    (tmp_path / "tools/packages-test").write_text("python3-json\n")
    done = subprocess.run([tmp_path / "tools/test.sh", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("pytest")
