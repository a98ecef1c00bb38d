"""Pack this project with Caffe, its libraries and Python so that it runs on any x86-64 Linux.

It runs from any folder, and holds:
dtl-reid/              this project, and in place of its virtual environment a whole Python:
  .venv/bin/           python and caffe, started by the loader that lies with them
  .venv/lib/           Python's standard library, Debian's Python packages, Caffe, CUDA and cuDNN
  .venv/lib/debian/    every other shared library down to libc and the loader
  .venv/share/doc/     copyright and licence of each Debian package that something was taken from, and its
                       version
"""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from reid.common.errors import InputError, Parser, command_line
from reid.common.files import checksum
from tools import slim

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ("README.md", "LICENSE", "CITATION.cff", "pyproject.toml", "benchmarks", "data_prep", "docs",
           "experiments", "prototxt", "python", "tests", "tools", "weights")
# Caffe's licence, and what its own Python and C++ tests read
UPSTREAM = ("LICENSE", "python/caffe/test", "models", "examples")
SLIM_UPSTREAM = ("LICENSE", "python/caffe/test")
GTEST_DATA = ("src/caffe/test/test_data",)
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.caffemodel", "files")
MODULES, STDLIB = Path("/usr/lib/python3/dist-packages"), Path("/usr/lib/python3.11")
# wanted by SciPy and fonttools for what is never done here
NOT_FOLLOWED = {"python3-pythran", "python3-sympy"}
LOADER = "ld-linux-x86-64.so.2"

START = """#!/bin/sh
# Started by the loader and the libraries that lie here: of the machine only kernel and NVIDIA driver are used
here=$(dirname "$(readlink -f "$0")")
libraries=$here/../lib/debian
{CUDA}unset PYTHONHOME PYTHONPATH
export PYTHONNOUSERSITE=1 PATH="$here:$PATH" HOME="${HOME:-/tmp}"
export MATPLOTLIBRC="$here/../lib/python3/dist-packages/matplotlib/mpl-data"
exec "$libraries/{LOADER}" --library-path "$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}{MORE}" \\
    --argv0 "$here/{NAME}" "$here/../lib/{PROGRAM}" "$@"
"""

# The wheels of CUDA 13 and cuDNN 9 that a Python of the machine has, as PyTorch's are; no other CUDA's: their
# cuDNN has the same name.
SYSTEM_CUDA = """\
cuda= IFS=:
for folder in "${VIRTUAL_ENV:-/none}/bin" "${CONDA_PREFIX:-/none}/bin" $PATH "$HOME/.local/bin"; do
    for wheels in "${folder%/*}"/lib/python3*/*-packages/nvidia; do
        [ -e "$wheels/cu13/lib/libcudart.so.13" ] && cuda=$wheels/cu13/lib:$wheels/cudnn/lib && break 2
    done
done
unset IFS
"""

JOIN = """#!/bin/sh
# Checks and joins the parts of {NAME} that lie beside this script, and unpacks them into DIR:
#   sh {SCRIPT} [DIR]      default: the folder in which it is started
set -e
into=$(cd "${1:-.}" && pwd)
cd "$(dirname "$0")"
fail() { echo "error: $*" >&2; exit 2; }
for program in sha256sum tar xz; do
    command -v $program >/dev/null || fail "$program is missing; a part is a piece of a .tar.xz file"
done
sha256sum --check --quiet <<'SUMS' || fail "a part named above is missing or not whole; copy it again"
{SUMS}SUMS
cat {PARTS} | xz --decompress | tar --extract --directory "$into"
echo "$into/dtl-reid is unpacked; begin with $into/dtl-reid/tools/doctor"
"""


@command_line
def main() -> int:
    parser = Parser(prog="tools/bundle.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="default: build/dtl-reid-cpu.tar.xz or -gpu.tar.xz")
    parser.add_argument("--slim", action="store_true",
                        help="leave out what OpenCV and Python bring and this project never uses")
    parser.add_argument("--system-cuda", action="store_true",
                        help="leave out CUDA and cuDNN: the machine's are taken, from LD_LIBRARY_PATH, a "
                             "Python's own wheels or /usr/local/cuda")
    parser.add_argument("--with-gtest", action="store_true", help="add upstream's C++ tests")
    parser.add_argument("--part-size", type=int, metavar="MB",
                        help="cut the file into parts of so many megabytes, with a script that joins them")
    arguments = parser.parse_args()
    if arguments.part_size is not None and arguments.part_size < 1:
        raise InputError(f"--part-size is {arguments.part_size}; a part has at least 1 megabyte")
    gpu = json.loads((ROOT / ".venv/caffe-build.json").read_text())["gpu"]
    if arguments.system_cuda and not gpu:
        raise InputError("--system-cuda: the Caffe in .venv was built for the CPU alone and takes nothing of "
                         "CUDA")
    out = (arguments.out or ROOT / f"build/dtl-reid-{'gpu' if gpu else 'cpu'}.tar.xz").resolve()
    check_machine(arguments.slim)
    gtest = built_gtest(gpu) if arguments.with_gtest else None

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as work:
        bundle = Path(work) / "dtl-reid"
        fill(bundle, gtest, slim_too=arguments.slim, system_cuda=arguments.system_cuda)
        pack(bundle, Path(work) / out.name)
        (Path(work) / out.name).rename(out)
    size = f"{out.stat().st_size / 1e6:.1f} MB"
    if arguments.part_size:
        script, parts = cut_into_parts(out, arguments.part_size * 10 ** 6)
        print(f"{out}, {size}, in {len(parts)} parts; copy them with {script.name}, which joins and unpacks "
              "them")
    else:
        print(f"{out}: {size}; unpack it with tar xf")
    return 0


def fill(bundle: Path, gtest: Path | None, *, slim_too: bool, system_cuda: bool) -> None:
    """Put all that belongs to a bundle into its folder."""
    venv = bundle / ".venv"
    copy_project(bundle, (SLIM_UPSTREAM if slim_too else UPSTREAM) + (GTEST_DATA if gtest else ()))
    copy_caffe(venv, system_cuda)
    if gtest:
        copy(gtest, venv / "lib/caffe/caffe_gtest")
    taken = copy_python(venv)
    if slim_too:
        slim.drop_files(venv)
    taken += copy_libraries(venv)
    if slim_too:
        kept = slim.cut_libraries(venv / "lib")
        # what was dropped or cut is not given on, so its licence need not be
        taken = [file for file in taken
                 if file.name in kept or (venv / str(file).removeprefix("/usr/")).exists()]
        programs = [*(venv / "lib").glob("libcaffe*"), *(venv / "lib/caffe").iterdir()]
        run("strip", "--strip-unneeded", *filter(slim.is_elf, programs))
    write_starters(venv / "bin", system_cuda, bool(gtest))
    copy_licences(venv / "share/doc", taken)


def check_machine(slim_too: bool = False) -> None:
    """InputError where a bundle, or a slim one, cannot be made."""
    if (ROOT / ".venv/lib/debian").exists():
        raise InputError(f"{ROOT} is a bundle itself; copy the file it came from, or make a new one from a "
                         "clone")
    wanted = [("dpkg-query", "dpkg"), ("ldd", "libc-bin"), ("tar", "tar"), ("xz", "xz-utils")]
    wanted += [("gcc", "gcc"), ("readelf", "binutils")] if slim_too else []
    for program, package in wanted:
        if not shutil.which(program):
            raise InputError(f"{program} is missing; the bundle is made on Debian 12, with the package "
                             f"{package}")


def built_gtest(gpu: bool) -> Path:
    """The program of upstream's C++ tests, compiled where it is not there yet."""
    build = ROOT / f"build/caffe/build{'-gpu' if gpu else ''}"
    if not build.is_dir():
        raise InputError(f"--with-gtest: {build} is missing: upstream's tests are compiled where Caffe was")
    run("cmake", "--build", build, "--target", "caffe_gtest")
    return build / "caffe_gtest"


def copy_project(bundle: Path, upstream: Iterable[str]) -> None:
    """The project's own files, and of Caffe's source those named."""
    for name in PROJECT + tuple(f"build/caffe/source/{name}" for name in upstream):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, bundle / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(ROOT / name, bundle / name)


def copy_caffe(venv: Path, system_cuda: bool) -> None:
    """What the virtual environment holds, where a Python that is no virtual environment looks for it."""
    cuda = ["cuda"] if system_cuda else []
    ignored = shutil.ignore_patterns("__pycache__", "site-packages", "ruff*", *cuda)
    shutil.copytree(ROOT / ".venv/lib", venv / "lib", ignore=ignored, symlinks=True)
    site = next((ROOT / ".venv/lib").glob("python3.*/site-packages"))
    shutil.copytree(site, venv / "lib/python3/dist-packages", ignore=ignored)
    shutil.copy2(ROOT / ".venv/caffe-build.json", venv)
    (venv / "sealed").touch()


def copy_python(venv: Path) -> list[Path]:
    """Python's standard library and the packages of tools/caffe/packages-use; returns the files taken."""
    lists = (ROOT / "tools/caffe/packages-use", ROOT / "tools/packages-test")
    wanted = re.sub("#.*", "", "".join(file.read_text() for file in lists)).split()
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


def closure(names: Iterable[str]) -> list[str]:
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


def copy_libraries(venv: Path) -> list[Path]:
    """Python's program and every shared library that the bundle needs; returns the files taken."""
    binaries = [path for path in venv.rglob("*") if path.is_file()
                and (".so" in path.name or path.name == "caffe")]
    needed = run("ldd", "/usr/bin/python3.11", *binaries)
    # CUDA among them, also where it is left out
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
    taken = sorted(path for path in {*found, *always}
                   if not path.is_relative_to(venv) and path.name not in ours)
    for library in taken:
        copy(library, venv / "lib/debian" / library.name)
    copy(Path("/usr/bin/python3.11"), venv / "lib/debian/python3.11")
    return taken + [Path("/usr/bin/python3.11")]


def write_starters(folder: Path, system_cuda: bool, gtest: bool = False) -> None:
    """bin/python, bin/caffe and bin/caffe_gtest: shell scripts.

    A program itself names its loader by an absolute path only.
    """
    folder.mkdir()
    programs = {"python": "debian/python3.11", "caffe": "caffe/caffe"}
    for name, program in (programs | ({"caffe_gtest": "caffe/caffe_gtest"} if gtest else {})).items():
        text = START.replace("{LOADER}", LOADER).replace("{CUDA}", SYSTEM_CUDA if system_cuda else "")
        text = text.replace("{MORE}", "${cuda:+:$cuda}:/usr/local/cuda/lib64" if system_cuda else "")
        (folder / name).write_text(text.replace("{NAME}", name).replace("{PROGRAM}", program))
        (folder / name).chmod(0o755)
    for name in ("python3", "python3.11"):
        (folder / name).symlink_to("python")


def copy_licences(folder: Path, taken: Iterable[Path]) -> None:
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


def pack(bundle: Path, file: Path) -> None:
    """Write the folder as a .tar.xz."""
    run("tar", "--create", "--use-compress-program=xz -T0 --x86 --lzma2=preset=9", "--sort=name",
        "--owner=0", "--group=0", "--numeric-owner", "--file", file,
        "--directory", bundle.parent, bundle.name)


def cut_into_parts(file: Path, size: int) -> tuple[Path, list[Path]]:
    """Cut a file into parts of at most so many bytes; returns the script that joins them, and the parts."""
    parts = []
    with file.open("rb") as whole:
        while piece := whole.read(size):
            parts.append(file.with_name(f"{file.name}.part{len(parts) + 1:02}"))
            parts[-1].write_bytes(piece)
    file.unlink()
    script = file.with_name(f"{file.name}.sh")
    text = JOIN.replace("{NAME}", file.name).replace("{SCRIPT}", script.name)
    text = text.replace("{SUMS}", "".join(f"{checksum(part)}  {part.name}\n" for part in parts))
    script.write_text(text.replace("{PARTS}", " ".join(shlex.quote(part.name) for part in parts)))
    script.chmod(0o755)
    return script, parts


def copy(source: Path, target: Path) -> None:
    """Copy one file, following links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def run(*command: Path | str) -> str:
    """What a command prints; InputError with its message where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise InputError(f"{command[0]} ended with status {done.returncode}: {said}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
