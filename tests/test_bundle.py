"""tools/bundle.sh: what it refuses, what it follows, and that its Python needs nothing outside the bundle.

A whole bundle is hundreds of megabytes and minutes of compression; docs/docker.md tells where one has run.
"""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import bundle

ROOT = Path(__file__).resolve().parents[1]
on_debian = pytest.mark.skipif(not shutil.which("dpkg-query") or (ROOT / ".venv/lib/debian").exists(),
                               reason="a bundle is made on Debian, from a clone or an image")


def test_an_unknown_argument_is_refused():
    run = subprocess.run([ROOT / "tools/bundle.sh", "--small"], capture_output=True, text=True)
    assert run.returncode == 2 and "--small" in run.stderr


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
