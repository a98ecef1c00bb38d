"""tools/bundle.sh: what it refuses, follows and leaves out; that its Python needs nothing outside the bundle.

A whole bundle is hundreds of megabytes and minutes of compression; docs/docker.md tells where one has run.
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import bundle, slim

ROOT = Path(__file__).resolve().parents[1]
on_debian = pytest.mark.skipif(not shutil.which("dpkg-query") or (ROOT / ".venv/lib/debian").exists(),
                               reason="a bundle is made on Debian, from a clone or an image")


@pytest.mark.parametrize("arguments, words", [
    (["--small"], "--small"), (["--part-size", "0"], "--part-size is 0; a part has at least 1 megabyte"),
    (["--part-size", "many"], "--part-size")])
def test_arguments_that_make_no_sense_are_refused(arguments, words):
    run = subprocess.run([ROOT / "tools/bundle.sh", *arguments], capture_output=True, text=True)
    assert run.returncode == 2 and words in run.stderr


def test_the_machines_cuda_goes_with_a_gpu_build_alone(tmp_path):
    if json.loads((ROOT / ".venv/caffe-build.json").read_text())["gpu"]:
        pytest.skip("Caffe is built for the GPU")
    run = subprocess.run([ROOT / "tools/bundle.sh", "--system-cuda", "--out", tmp_path / "bundle.tar.xz"],
                         capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("error: --system-cuda: ") and list(tmp_path.iterdir()) == []


def test_a_machine_that_is_not_debian_and_a_bundle_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(bundle, "ROOT", tmp_path)
    monkeypatch.setattr(bundle.shutil, "which", lambda program: None)
    with pytest.raises(bundle.InputError, match="dpkg-query is missing; the bundle is made on Debian 12"):
        bundle.check_machine()
    monkeypatch.setattr(bundle.shutil, "which", lambda program: None if program == "gcc" else program)
    bundle.check_machine()
    with pytest.raises(bundle.InputError, match="gcc is missing"):
        bundle.check_machine(slim_too=True)
    with pytest.raises(bundle.InputError, match="--with-gtest: .*build-gpu is missing"):
        bundle.built_gtest(gpu=True)
    (tmp_path / ".venv/lib/debian").mkdir(parents=True)
    with pytest.raises(bundle.InputError, match="is a bundle itself"):
        bundle.check_machine()


def test_what_is_packed_is_there():
    assert [name for name in bundle.PROJECT if not (ROOT / name).exists()] == []


@on_debian
def test_packages_are_followed_through_dependencies_alternatives_and_provided_names():
    found = bundle.closure(["python3-sklearn", "python3-h5py"])
    assert {"python3-sklearn", "python3-scipy", "python3-numpy", "libpython3.11-stdlib",
            "libc6"} <= set(found)
    assert "python3-h5py-serial" in found    # python3-h5py wants python3-h5py-serial | python3-h5py-mpi
    assert "python3-pythran" not in found


@on_debian
def test_python_started_by_the_bundles_loader_needs_nothing_of_the_machine(tmp_path):
    venv = tmp_path / "a folder/.venv"
    bundle.copy(Path("/usr/bin/python3.11"), venv / "lib/debian/python3.11")
    for module in Path("/usr/lib/python3.11").rglob("*"):
        if module.is_file() and "__pycache__" not in module.parts:
            bundle.copy(module, venv / module.relative_to("/usr"))
    bundle.copy_libraries(venv)
    bundle.write_starters(venv / "bin", system_cuda=False)
    (tmp_path / "python").symlink_to(venv / "bin/python3")
    code = ("import ctypes, ssl, sys; print(sys.prefix, sys.executable); "
            "maps = [line for line in open('/proc/self/maps') if '.so' in line]; "
            "print(*{line.split(maxsplit=5)[5].strip() for line in maps}, sep='\\n')")
    run = subprocess.run([tmp_path / "python", "-c", code], capture_output=True, text=True,
                         env={"PATH": os.defpath, "PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"})
    first, *libraries = run.stdout.splitlines()
    assert first == f"{venv} {venv / 'bin/python'}", run.stderr
    assert len(libraries) > 5 and all(library.startswith(f"{venv}/lib/") for library in libraries)


def test_cuda_of_the_machine_that_makes_it_is_not_taken(monkeypatch, tmp_path):
    """Where one is installed, ldd finds it in the place of the one that was left out."""
    for file in ("root/.venv/lib/cuda/libcudart.so.13", "cuda/libcudart.so.13", "usr/libz.so.1"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    found = "".join(f"\t{path.name} => {path} (0x0)\n" for path in (tmp_path / "cuda/libcudart.so.13",
                                                                   tmp_path / "usr/libz.so.1"))
    monkeypatch.setattr(bundle, "ROOT", tmp_path / "root")
    monkeypatch.setattr(bundle, "run", lambda *command: found)
    monkeypatch.setattr(bundle, "copy", lambda source, target: None)
    names = {path.name for path in bundle.copy_libraries(tmp_path / "bundle/.venv")}
    assert "libz.so.1" in names and "libcudart.so.13" not in names


@pytest.mark.parametrize("where", ["VIRTUAL_ENV", "CONDA_PREFIX", "HOME", "PATH"])
def test_the_starter_finds_cuda_in_a_pythons_wheels(tmp_path, where):
    """Only CUDA 13's: the cuDNN for another CUDA has the same name."""
    loader = tmp_path / "bundle/lib/debian" / bundle.LOADER
    loader.parent.mkdir(parents=True)
    loader.write_text('#!/bin/sh\nshift; echo "$1"\n')
    loader.chmod(0o755)
    bundle.write_starters(tmp_path / "bundle/bin", system_cuda=True)
    prefix = tmp_path / ("home/.local" if where == "HOME" else "a python")
    wheels = prefix / "lib/python3.13/site-packages/nvidia"
    (wheels / "cudnn/lib").mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "bin/python3").touch(0o755)
    values = {"VIRTUAL_ENV": prefix, "CONDA_PREFIX": prefix, "HOME": tmp_path / "home",
              "PATH": f"{prefix}/bin:{os.defpath}"}
    environment = {"PATH": os.defpath, "HOME": "/nowhere", "LD_LIBRARY_PATH": "/module",
                   where: values[where]}

    def path():
        done = subprocess.run([tmp_path / "bundle/bin/python"], capture_output=True, text=True,
                              env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().split(":")[1:]

    assert not [folder for folder in path() if folder.startswith(str(prefix))]
    (wheels / "cu13/lib").mkdir(parents=True)
    (wheels / "cu13/lib/libcudart.so.13").touch()
    assert path() == ["/module", f"{wheels}/cu13/lib", f"{wheels}/cudnn/lib", "/usr/local/cuda/lib64"]


@on_debian
def test_parts_are_checked_joined_and_unpacked(tmp_path):
    folder = tmp_path / "a folder/dtl-reid"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools/doctor").write_bytes(os.urandom(30_000))
    file = tmp_path / "a folder/it's one.tar.xz"
    bundle.pack(folder, file)
    size = file.stat().st_size
    script, parts = bundle.cut_into_parts(file, 10_000)
    assert [part.stat().st_size for part in parts] == [10_000] * (size // 10_000) + [size % 10_000]
    assert not file.exists() and len(parts) == 4
    (tmp_path / "out").mkdir()

    def join():
        return subprocess.run(["sh", script, "out"], cwd=tmp_path, capture_output=True, text=True)

    done = join()
    assert done.returncode == 0 and f"{tmp_path}/out/dtl-reid/tools/doctor" in done.stdout, done.stderr
    assert (tmp_path / "out/dtl-reid/tools/doctor").read_bytes() == (folder / "tools/doctor").read_bytes()
    shutil.rmtree(tmp_path / "out/dtl-reid")
    whole = parts[1].read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), None):
        parts[1].unlink() if damaged is None else parts[1].write_bytes(damaged)
        refused = join()
        assert refused.returncode == 2 and parts[1].name in refused.stdout + refused.stderr
        assert "copy it again" in refused.stderr and list((tmp_path / "out").iterdir()) == []


LIBRARIES = {      # name: (source, what it is linked with)
    "libdeep.so.1": ("int deep(void) { return 1; }", []),
    "libgdal.so.1": ("int deep(void); int GDALAllRegister(void) { return deep(); }"
                     " int GDALOpen(void) { return deep(); } int GDALCount = 5;"
                     " int GDALUnused(void) { return 2; }", ["libdeep.so.1"]),
    "libpictures.so.1": ("int GDALAllRegister(void), GDALOpen(void); extern int GDALCount;"
                         " int jpeg(void) { GDALAllRegister(); return 40 + GDALCount; }"
                         " int tiff(void) { return GDALOpen(); }", ["libgdal.so.1"])}


IMPORT_ALL = """
import importlib.abc, importlib.machinery, sys
from pathlib import Path
from tools import bundle, slim
left_out = {str(path) for path in slim.unread(bundle.MODULES, bundle.STDLIB)}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        origin = getattr(importlib.machinery.PathFinder.find_spec(name, path), "origin", None) or ""
        if left_out & {origin, *map(str, Path(origin).parents)}:
            raise ModuleNotFoundError(f"{name} is left out")

sys.meta_path.insert(0, Missing())
for name in list(sys.modules):
    if name.startswith(("numpy", "scipy")):
        sys.exit(f"{name} came before the finder")
for root in map(Path, ("python/reid", "data_prep", "weights")):
    for file in sorted(root.rglob("*.py")):
        if file.name != "__main__.py":
            importlib.import_module(".".join(file.with_suffix("").parts).removeprefix("python."))
import pytest
try:
    import numpy.f2py
except ModuleNotFoundError:
    print("all but what is left out")
"""


@on_debian
def test_nothing_that_is_imported_is_left_out_of_a_slim_bundle():
    """Every module of the library, and all that those import, as if what is dropped were not there."""
    ran = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, cwd=ROOT)
    assert (ran.returncode, ran.stdout) == (0, "all but what is left out\n"), ran.stderr


@pytest.mark.skipif(not shutil.which("gcc"), reason="a compiler is missing, as in the Docker images")
def test_a_slim_bundle_calls_no_library_that_was_cut(tmp_path):
    """Bound at once (BIND_NOW), as Debian's OpenCV is: every symbol has to be found when it is loaded."""
    folder = tmp_path / "lib/debian"
    folder.mkdir(parents=True)
    for name, (source, needs) in LIBRARIES.items():
        subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,-z,now", f"-Wl,-soname,{name}", "-o", folder / name,
                        "-xc", "-", "-xnone", *(folder / need for need in needs)],
                       input=source, text=True, check=True)
    (tmp_path / "lib/caffe").mkdir()
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "lib/caffe/program.so", "-xc", "-", "-xnone",
                    folder / "libpictures.so.1", "-Wl,--no-as-needed"],
                   input="int jpeg(void); int run(void) { return jpeg(); }", text=True, check=True)

    def call(function):
        code = f"import ctypes, sys; print(ctypes.CDLL('libpictures.so.1').{function}())"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              env={**os.environ, "LD_LIBRARY_PATH": str(folder)})

    assert (call("jpeg").stdout, call("tiff").stdout) == ("45\n", "1\n")
    assert slim.cut_libraries(tmp_path / "lib") == {"program.so", "libpictures.so.1"}
    assert {file.name for file in folder.iterdir()} == {"libpictures.so.1", "libgdal.so.1", slim.STAND_IN}
    assert call("jpeg").stdout == "40\n"      # what was data is zero
    died = call("tiff")
    assert died.returncode == -6 and "libgdal.so.1 was left out of this slim bundle" in died.stderr
