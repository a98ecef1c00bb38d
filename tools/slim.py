"""What a slim bundle (tools/bundle.sh --slim) leaves out: files never read, libraries never called.

Debian's OpenCV and HDF5 are linked with GDAL, VTK, Qt, FFmpeg, curl, …: nine tenths of all libraries, of
which reading pictures and .mat files calls nothing. They are linked with BIND_NOW, so that every symbol has
to be there. In the place of those libraries comes one of our own, which defines the symbols that the others
ask them for; a function of it that is called after all says which library was left out, and aborts.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

# by whose absence most goes; what only they needed goes with them
CUT = re.compile(r"libopencv_(?!core|imgproc|imgcodecs)|libgdal|libgdcm|libGLX|libtk8|libtcl8|libcurl")
HARMLESS = {"GDALAllRegister"}    # called whenever OpenCV looks for a codec: does nothing
STAND_IN = "libleftout.so"
# nothing here asks for these by name: they are loaded by the loader, Python's starter and NVIDIA's driver
ALWAYS = ("python3.11", "ld-linux-x86-64.so.2", "libdl.so.2", "libpthread.so.0", "librt.so.1")

# below lib/python3.11 and lib/python3/dist-packages
STANDARD = ("config-3.11*", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "test", "pydoc_data",
            "distutils/command/*.exe", "lib-dynload/_tkinter*", "lib-dynload/_sqlite3*", "lib-dynload/_dbm*")
PACKAGES = ("lxml*", "fs", "fs-*", "ufoLib2*", "unicodedata2*", "brotli*", "_brotli*", "Brotli*", "lz4*",
            "pytz*", "pylab.py", "matplotlib/mpl-data/sample_data", "matplotlib/backends/web_backend",
            "scipy/misc/*.dat", "numpy/f2py", "numpy/distutils", "sklearn/datasets/data",
            "sklearn/datasets/images", "sklearn/datasets/descr")
SOURCES = ("*.pyx", "*.pxd", "*.h")
TESTED = ("numpy", "scipy", "sklearn", "matplotlib", "mpl_toolkits", "joblib", "contourpy", "fontTools")

STAND_IN_C = """\
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((visibility("hidden"))) void left_out(const char *message) {
  if (write(2, message, strlen(message)) < 0) {}
  abort();
}
"""


def drop_files(venv: Path) -> None:
    """Delete the files and folders that are never read."""
    for file in unread(venv / "lib/python3/dist-packages", venv / "lib/python3.11"):
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)


def unread(modules: Path, standard: Path) -> list[Path]:
    """The files and folders that are never read of Debian's Python packages and the standard library."""
    found = [file for pattern in PACKAGES for file in modules.glob(pattern)]
    found += [file for pattern in STANDARD for file in standard.glob(pattern)]
    for name in TESTED:
        found += [folder for folder in (modules / name).rglob("tests") if folder.is_dir()]
        found += [file for pattern in SOURCES for file in (modules / name).rglob(pattern)]
    return found


def cut_libraries(lib: Path) -> set[str]:
    """Put the stand-in in the place of the libraries of CUT; the names of those kept.

    lib: the bundle's .venv/lib. What only the libraries of CUT needed is deleted with them.
    """
    folder = lib / "debian"
    there = {file.name: file for file in folder.iterdir()}
    outside = [file for file in lib.rglob("*") if file.parent != folder and is_elf(file)]
    kept, replaced = reached(outside + [there[name] for name in ALWAYS if name in there], there)
    wanted, provided = {}, set()
    for file in kept:
        undefined, defined = symbols(file)
        wanted |= undefined
        provided |= defined.keys()
    stand_in = {}    # symbol: (library, kind, size)
    for name in sorted(replaced):
        for symbol, (kind, size) in symbols(there[name])[1].items():
            if symbol in wanted and symbol not in provided:
                stand_in.setdefault(symbol, (name, kind, size))
    build_stand_in(stand_in, folder / STAND_IN)
    for file in there.values():
        if file not in kept:
            file.unlink()
    for name in replaced:
        (folder / name).symlink_to(STAND_IN)
    return {file.name for file in kept}


def reached(files: list[Path], there: dict[str, Path]) -> tuple[set[Path], set[str]]:
    """The files and those of `there` that they need, however far; and the names of CUT that they need."""
    kept, replaced, todo = set(), set(), list(files)
    while todo:
        file = todo.pop()
        if file in kept:
            continue
        kept.add(file)
        for name in needed(file):
            if CUT.match(name):
                replaced.add(name)
            elif name in there:
                todo.append(there[name])
    return kept, replaced & there.keys()


def build_stand_in(stand_in: dict[str, tuple[str, str, int]], target: Path) -> None:
    """Link a library that defines these symbols, {name: (library, kind, size)}."""
    libraries = sorted({library for library, _, _ in stand_in.values()})
    messages = {library: f".Lmessage{i}" for i, library in enumerate(libraries)}
    lines = []
    for symbol, (library, kind, size) in sorted(stand_in.items()):
        if kind in ("FUNC", "IFUNC"):
            does = "ret" if symbol in HARMLESS else f"lea {messages[library]}(%rip),%rdi; jmp left_out"
            lines += [".text", f'.globl "{symbol}"', f'.type "{symbol}",@function', f'"{symbol}": {does}']
        else:
            size = max(size, 8)
            lines += [".data", ".balign 32", f'.globl "{symbol}"', f'.type "{symbol}",@object',
                      f'.size "{symbol}",{size}', f'"{symbol}": .zero {size}']
    lines.append(".section .rodata")
    lines += [f'{label}: .asciz "{library} was left out of this slim bundle; use one made without --slim\\n"'
              for library, label in messages.items()]
    lines.append('.section .note.GNU-stack,"",@progbits')
    with tempfile.TemporaryDirectory() as work:
        sources = Path(work) / "symbols.S", Path(work) / "left_out.c"
        sources[0].write_text("\n".join(lines) + "\n")
        sources[1].write_text(STAND_IN_C)
        command = ["gcc", "-shared", "-fPIC", "-O1", "-s", f"-Wl,-soname,{STAND_IN}", "-o", target]
        subprocess.run([*command, *sources], check=True)


def is_elf(file: Path) -> bool:
    """Whether a file is a program or a library."""
    if not file.is_file() or file.is_symlink():
        return False
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def needed(file: Path) -> list[str]:
    """Names of the libraries that a library or program asks for."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", readelf("-dW", file))


def symbols(file: Path) -> tuple[dict[str, str], dict[str, tuple[str, int]]]:
    """Dynamic symbols: {those it asks for: binding}, {those it defines: (kind, size)}."""
    undefined, defined = {}, {}
    for line in readelf("--dyn-syms", "-W", file).splitlines():
        words = line.split()
        if len(words) < 8 or not words[0].endswith(":"):
            continue
        _, _, size, kind, binding, _, section, name = words[:8]
        name = name.split("@")[0]
        if section == "UND":
            undefined[name] = binding
        elif binding in ("GLOBAL", "WEAK", "UNIQUE"):
            defined[name] = kind, int(size, 0)
    return undefined, defined


def readelf(*arguments: object) -> str:
    """What readelf prints."""
    return subprocess.run(["readelf", *arguments], capture_output=True, text=True, check=True).stdout
