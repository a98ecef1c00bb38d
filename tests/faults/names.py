"""Odd names of people and of their pictures: all is as with plain names, but for the names."""

import csv
import io
import re

import cv2
import numpy as np
from faults import SILENT, Case
from world import INIT, SETTINGS, Command, run

from data_prep import __main__ as prepare_command, check as check_command
from reid.report.html import join
from tools import evaluate, lineage, ranked_lists, report, train_stage

PEOPLE = 25    # names are drawn for so many, of these:
POOL = ("two words", " leading", "trailing ", "tab\tin", "new\nline", "carriage\rreturn", "bell\x07",
        "\x1b[31mred", "$HOME", "p$x_$", "$(id)", "`id`;|&", "quote'\"s", "a\\b\\n", "100%", "per%cent %s %d",
        "%41%2F", "{0} {x}", "<b>&amp;", "[a-z]*?", "#hash", "~", "@data", "-leading", "--data", "=1+1",
        "comma,semi;colon", "..double", ".hidden", "dots...", "x" * 240, "None", "nan", "true", "null", "0",
        "0000", "0007", "1e5", "__init__", "ünïcode Zoë", "e\u0301 combining", "\u00e9 composed", "人物",
        "readme", "\u05d0\u05d1 right to left", "\u202eoverride", "\u200bzero width", "\U0001f642 emoji",
        "\U0001f469\u200d\U0001f680", "\ufeffmark", "\u2028separator", "\uffff", "con", "query", "path")
RUN = "runs/people/split00"
SIDES = ("--query", f"@{RUN}/features/after/query.npz", "--gallery", f"@{RUN}/features/after/gallery.npz",
         "--protocol", "single-shot")
SHOWN = "--worst", "30", "--count", "4", "--out"
COMMANDS = (
    Command(prepare_command.main, ("folder", "--raw", "@raw", "--out", "@data", "--split", "0",
                                   "--epochs", "1")),
    Command(check_command.main, ("@data",)),
    Command(train_stage.main, ("people", "--data", "@data", "--base", "tiny", "--cpu", "--out", "@runs",
                               "--init", "@init.caffemodel", "--set", *SETTINGS, "max_iter=2",
                               "evaluate_every=0")),
    Command(evaluate.main, (*SIDES, "--json", "@figures.json", "--per-query", "@queries.csv")),
    Command(report.main, ("--runs", "@runs", "--out", "@report")),
    Command(ranked_lists.main, ("--run", f"@{RUN}", *SHOWN, "@ranked.html")),
    Command(ranked_lists.main, (*SIDES, "--images", "@raw", *SHOWN, "@raw.html")),
    Command(lineage.main, (f"@{RUN}",)))
PAGES = "ranked.html", "raw.html", "report/report.html"
TABLES = "queries.csv", "report/table.csv", "report/paper-tables.csv"
SAME = ("figures.json", "report/table.txt", "report/table.md", "data/images/data.mdb",
        "data/split00/train/data.mdb", f"{RUN}/losses.csv", f"{RUN}/test.csv", f"{RUN}/settings.yaml",
        f"{RUN}/snapshots/000002/weights.caffemodel")
NOW = re.compile(r"\b[0-9a-f]{64}\b|\b\d{4}-\d\d-\d\d \d\d:\d\d\b")    # checksums of names, the time
PLAIN = re.compile(r"person(\d\d)")


def odd_identities(world, random):
    """People and their pictures have odd names: pages and tables are those of plain names, but for them."""
    drawn = random.choice(POOL, PEOPLE, replace=False).tolist()
    odd = sorted(name for name in drawn if not any(name != one and one.startswith(name) for one in drawn))
    case = Case(f"people called {odd}")
    plain = results(world, [f"person{number:02d}" for number in range(len(odd))], case)
    found = results(world, odd, case)
    if not case.wrong:
        differing = [file for file in found if found[file] != renamed(plain[file], odd)]
        if differing:
            case.wrong[SILENT] = f"{', '.join(differing[:4])}: more than the names differs"
    return case


def results(world, names, case):
    """What comes of people with these names, {file: content}: bytes, a list of rows, or a page in pieces."""
    with world.copy(*INIT) as folder:
        draw(folder / "raw", names)
        for command in COMMANDS:
            if case.judge(run(command, folder), (0,)).status:
                return {}
        found = {file: (folder / file).read_bytes() for file in SAME}
        for file in TABLES:
            table = io.StringIO((folder / file).read_bytes().decode(), newline="")
            found[file] = list(csv.reader(table))
        for file in PAGES:
            page = NOW.sub("-", (folder / file).read_bytes().decode())
            found[file] = re.split(r'(data:image/jpeg;base64,[^"]+)', page)
    return found


def draw(root, names):
    """Two cameras with one picture each of everybody: the same pictures whatever the names."""
    rng = np.random.default_rng(0)
    for name in names:
        for camera in "12":
            (root / name / camera).mkdir(parents=True)
            picture = cv2.imencode(".png", rng.integers(0, 256, (32, 16, 3), np.uint8))[1]
            (root / name / camera / f"{name}.png").write_bytes(picture.tobytes())


def renamed(content, names):
    """The same with these names in place of person00, person01 …, as a page or a table writes them."""
    if isinstance(content, bytes):
        return content
    if content and isinstance(content[0], list):
        return [[PLAIN.sub(lambda match: names[int(match[1])], cell) for cell in row] for row in content]
    return [piece if piece.startswith("data:image") else
            PLAIN.sub(lambda match: str(join(names[int(match[1])])), piece) for piece in content]
