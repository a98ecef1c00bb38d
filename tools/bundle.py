"""Pack this project with Caffe, its libraries and Python into one file that runs on any x86-64 Linux.

It runs from any folder, and holds:
dtl-reid/              this project, and in place of its virtual environment a whole Python:
  .venv/bin/           python and caffe, started by the loader that lies with them
  .venv/lib/           Python's standard library, Debian's Python packages, Caffe, CUDA and cuDNN
  .venv/lib/debian/    every other shared library down to libc and the loader
  .venv/share/doc/     copyright and licence of each Debian package that something was taken from, and its
                       version
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from reid.common.errors import InputError, command_line

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ("README.md", "LICENSE", "CITATION.cff", "pyproject.toml", "benchmarks", "data_prep", "docs",
           "experiments", "prototxt", "python", "tests", "tools", "weights")
# Caffe's licence, and what its own tests read
UPSTREAM = ("LICENSE", "python/caffe/test", "models", "examples")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.caffemodel", "files")
MODULES, STDLIB = Path("/usr/lib/python3/dist-packages"), Path("/usr/lib/python3.11")
# wanted by SciPy and fonttools for what is never done here
NOT_FOLLOWED = {"python3-pythran", "python3-sympy"}
LOADER = "ld-linux-x86-64.so.2"

START = """#!/bin/sh
# Started by the loader and the libraries that lie here: of the machine only kernel and NVIDIA driver are used
here=$(dirname "$(readlink -f "$0")")
libraries=$here/../lib/debian
unset PYTHONHOME PYTHONPATH
export PYTHONNOUSERSITE=1 PATH="$here:$PATH" HOME="${HOME:-/tmp}"
export MATPLOTLIBRC="$here/../lib/python3/dist-packages/matplotlib/mpl-data"
exec "$libraries/{LOADER}" --library-path "$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}{MORE}" \\
    --argv0 "$here/{NAME}" "$here/../lib/{PROGRAM}" "$@"
"""


@command_line
def main():
    parser = argparse.ArgumentParser(prog="tools/bundle.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="default: build/dtl-reid-cpu.tar.xz or -gpu.tar.xz")
    parser.add_argument("--system-cuda", action="store_true",
                        help="leave out CUDA and cuDNN: the machine's are taken, from LD_LIBRARY_PATH or "
                             "/usr/local/cuda")
    arguments = parser.parse_args()
    gpu = json.loads((ROOT / ".venv/caffe-build.json").read_text())["gpu"]
    if arguments.system_cuda and not gpu:
        raise InputError("--system-cuda: the Caffe in .venv was built for the CPU alone and takes nothing of "
                         "CUDA")
    out = (arguments.out or ROOT / f"build/dtl-reid-{'gpu' if gpu else 'cpu'}.tar.xz").resolve()
    check_machine()

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as work:
        bundle = Path(work) / "dtl-reid"
        copy_project(bundle)
        copy_caffe(bundle / ".venv", arguments.system_cuda)
        taken = copy_python(bundle / ".venv") + copy_libraries(bundle / ".venv")
        write_starters(bundle / ".venv/bin", arguments.system_cuda)
        copy_licences(bundle / ".venv/share/doc", taken)
        pack(bundle, Path(work) / out.name)
        (Path(work) / out.name).rename(out)
    print(f"{out}: {out.stat().st_size / 1e6:.0f} MB; unpack it with tar xf")
    return 0


def check_machine():
    """InputError where a bundle cannot be made."""
    if (ROOT / ".venv/lib/debian").exists():
        raise InputError(f"{ROOT} is a bundle itself; copy the file it came from, or make a new one from a "
                         "clone")
    for program, package in (("dpkg-query", "dpkg"), ("ldd", "libc-bin"), ("tar", "tar"), ("xz", "xz-utils")):
        if not shutil.which(program):
            raise InputError(f"{program} is missing; the bundle is made on Debian 12, with the package "
                             f"{package}")


def copy_project(bundle):
    """The project's own files, and what is kept of Caffe's source."""
    for name in PROJECT + tuple(f"build/caffe/source/{name}" for name in UPSTREAM):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, bundle / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(ROOT / name, bundle / name)


def copy_caffe(venv, system_cuda):
    """What the virtual environment holds, where a Python that is no virtual environment looks for it."""
    ignored = shutil.ignore_patterns("__pycache__", "site-packages", *(["cuda"] if system_cuda else []))
    shutil.copytree(ROOT / ".venv/lib", venv / "lib", ignore=ignored, symlinks=True)
    site = next((ROOT / ".venv/lib").glob("python3.*/site-packages"))
    shutil.copytree(site, venv / "lib/python3/dist-packages", ignore=ignored)
    shutil.copy2(ROOT / ".venv/caffe-build.json", venv)
    (venv / "sealed").touch()


def copy_python(venv):
    """Python's standard library and the packages of tools/caffe/packages-use; returns the files taken."""
    wanted = re.sub("#.*", "", (ROOT / "tools/caffe/packages-use").read_text()).split()
    listed = run("dpkg-query", "-L", *closure(wanted)).splitlines()
    taken = []
    for file in sorted({Path(line) for line in listed}):
        below = file.is_relative_to(MODULES) or file.is_relative_to(STDLIB)
        if below and file.is_file():
            copy(file, venv / file.relative_to("/usr"))
            taken.append(file)
    # Matplotlib looks for its data beside itself first.
    shutil.copytree("/usr/share/matplotlib/mpl-data", venv / "lib/python3/dist-packages/matplotlib/mpl-data",
                    ignore=shutil.ignore_patterns("sample_data"))
    return taken


def closure(names):
    """The installed Debian packages that these depend on, however far, and themselves."""
    depends, provided = {}, {}
    columns = "${Package}\t${Provides}\t${Depends}, ${Pre-Depends}\n"
    for line in run("dpkg-query", "-W", "-f", columns).splitlines():
        package, provides, needs = line.split("\t")
        depends[package] = re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]+)", needs)
        for name in re.findall(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]+)", provides):
            provided.setdefault(name, []).append(package)
    found, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name in depends and name not in found | NOT_FOLLOWED:
            found.add(name)
            todo += depends[name]
        todo += provided.pop(name, [])
    return sorted(found)


def copy_libraries(venv):
    """Python's program and every shared library that the bundle needs; returns the files taken."""
    binaries = [path for path in venv.rglob("*") if path.is_file()
                and (".so" in path.name or path.name == "caffe")]
    needed = run("ldd", "/usr/bin/python3.11", *binaries)
    ours = {path.name for path in (ROOT / ".venv/lib").rglob("*.so*")}
    missing = set(re.findall(r"(\S+) => not found", needed)) - ours
    if missing:
        raise InputError(f"{', '.join(sorted(missing))}: not found on this machine; tools/doctor says what "
                         "is wrong")
    # NVIDIA's driver opens these by name.
    always = [Path("/lib/x86_64-linux-gnu") / name
              for name in ("libdl.so.2", "libpthread.so.0", "librt.so.1")]
    # the loader has no arrow
    found = map(Path, re.findall(r"^\s+(?:\S+ => )?(/\S+) \(", needed, re.MULTILINE))
    taken = sorted(path for path in {*found, *always} if not path.is_relative_to(venv))
    for library in taken:
        copy(library, venv / "lib/debian" / library.name)
    copy(Path("/usr/bin/python3.11"), venv / "lib/debian/python3.11")
    return taken + [Path("/usr/bin/python3.11")]


def write_starters(folder, system_cuda):
    """bin/python and bin/caffe: shell scripts, since a program names its loader by an absolute path only."""
    folder.mkdir()
    for name, program in (("python", "debian/python3.11"), ("caffe", "caffe/caffe")):
        text = START.replace("{LOADER}", LOADER)
        text = text.replace("{MORE}", ":/usr/local/cuda/lib64" if system_cuda else "")
        (folder / name).write_text(text.replace("{NAME}", name).replace("{PROGRAM}", program))
        (folder / name).chmod(0o755)
    for name in ("python3", "python3.11"):
        (folder / name).symlink_to("python")


def copy_licences(folder, taken):
    """Copyright and version of the Debian packages that own the files taken, and the licences they name."""
    owner = {}
    for listing in Path("/var/lib/dpkg/info").glob("*.list"):
        for file in listing.read_text().splitlines():
            owner[file.removeprefix("/usr")] = listing.stem
    packages = sorted({owner.get(str(path.resolve()).removeprefix("/usr")) for path in taken} - {None})
    for package in (name.split(":")[0] for name in packages):
        if (Path("/usr/share/doc") / package / "copyright").is_file():
            copy(Path("/usr/share/doc") / package / "copyright", folder / package / "copyright")
    shutil.copytree("/usr/share/common-licenses", folder / "common-licenses")
    line = "${Package} ${Version}, source ${source:Package} ${source:Version}\n"
    (folder / "packages.txt").write_text(run("dpkg-query", "-W", "-f", line, *packages))


def pack(bundle, file):
    """Write the folder as a .tar.xz."""
    run("tar", "--create", "--use-compress-program=xz -T0", "--sort=name", "--owner=0", "--group=0",
        "--numeric-owner", "--file", file, "--directory", bundle.parent, bundle.name)


def copy(source, target):
    """Copy one file, following links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def run(*command):
    """What a command prints; InputError with its message where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{command[0]}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
