"""Writing a figure, as every file here is written: whole or not at all."""

import io
from pathlib import Path

import matplotlib.pyplot as plt

from reid.common.errors import InputError
from reid.common.files import write_whole


def write_page(path: Path, figure: plt.Figure) -> None:
    """Write a figure in the format that the name of the file ends with, and close it.

    Raises InputError where there is no such format; OSError, naming `path`, where the disk is full: an older
    file is then still there.
    """
    ending = Path(path).suffix.removeprefix(".").lower()
    try:
        known = figure.canvas.get_supported_filetypes()
        if ending not in known:
            raise InputError(f"{path}: a picture cannot be written as {ending or 'a file without ending'}; "
                             f"end its name with .png or one of {', '.join(sorted(known))}")
        content = io.BytesIO()
        figure.savefig(content, format=ending, dpi=100)
    finally:
        plt.close(figure)
    write_whole(path, content.getvalue())
