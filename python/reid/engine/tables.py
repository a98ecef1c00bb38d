"""The CSV files that a run writes row by row, and that a resumed run cuts back to where it goes on."""

import csv
from pathlib import Path

from reid.common.files import write_whole


class Table:
    """Rows by iteration in a CSV file; each is in the file as soon as it is written."""

    def __init__(self, path, upto):
        """Go on with the file at `path` after iteration `upto`; later rows are dropped."""
        header, *lines = _lines(path) or [""]
        kept = [line for line in lines if int(line.split(",")[0]) <= upto]
        self.empty = not kept
        write_whole(path, "" if self.empty else "".join(line + "\n" for line in (header, *kept)))
        self.file = open(path, "a", newline="")
        self.writer = csv.writer(self.file, lineterminator="\n")

    def write(self, iteration, **values):
        """Append one row; the first one names the columns. Texts must be of one line."""
        row = {"iteration": iteration, **values}
        if self.empty:
            self.writer.writerow(row)
            self.empty = False
        self.writer.writerow(f"{value:.7g}" if isinstance(value, float) else value for value in row.values())
        self.file.flush()

    def close(self):
        """Close the file."""
        self.file.close()


def rows(path):
    """The rows of a CSV file, [{column: text}, …]; none where there is no file."""
    return list(csv.DictReader(_lines(path)))


def read(path):
    """The columns of a CSV file of numbers, {name: [float, …]}; {} where there is no file or no row."""
    found = rows(path)
    return {name: [float(row[name]) for row in found] for name in found[0]} if found else {}


def _lines(path):
    """The lines of a file, an unfinished last one left out; none where there is no file."""
    path = Path(path)
    return path.read_text().split("\n")[:-1] if path.exists() else []
