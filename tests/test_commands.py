"""Every command in README and the documents, as written: its tool's own parser takes it; some are run."""

import argparse
import re
import shlex
import sys
from pathlib import Path

import programs
import pytest

from reid.engine.settings import defaults, override
from reid.stages import chain, recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*/README.md"),
                *(ROOT / "experiments").rglob("README.md")])
START = (r"(?:PYTHONPATH=\S+ )?(?:(?:\.venv/bin/)?python -m (?:data_prep|weights)|\.venv/bin/python )"
         r"|tools/\w+\.(?:sh|py) ")
# What stands for a value in the form of a command, by the option before it or by itself.
VALUES = {"STAGE": "viper", "DATASET": "viper", "LAYOUT": "viper", "K": "0", "N": "1", "S": "0", "E": "1",
          "B": "resnet50", "B,G,R": "1,2,3"}
NAMES = {"--variant": "p100", "--recipe": "paper", "--chain": "paper", "data_prep.splits": "viper",
         "tools/run_experiments.sh": "table1"}
SHELLS = {"tools/train_stage.sh": "tools/train_stage.py", "tools/bundle.sh": "tools/bundle.py",
          "tools/run_experiments.sh": "tools/run_experiments.py",
          "tools/doctor": "tools/doctor.py"}
MADE = ("msmt17", "resnet18", "chains.yaml")    # docs/extending.md and docs/results.md make these themselves


class Parsed(BaseException):
    """Ends a program as soon as its arguments are taken."""


def commands(text):
    """The commands in a page: lines of its blocks without a language, and code in its sentences."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        block = re.sub(r"[ \t]+#\s.*|(?<=\S)[ \t]{4,}(?=[a-z0-9]).*", "", block)     # remarks
        block = re.sub(r" *\\\n *|\n[ \t]+(?=[\[(-])", " ", block)       # a command over several lines
        for line in block.splitlines():
            line = line.removeprefix("$ ").strip()
            if re.match(rf"{START}|docker run |tools/\w+(?:$| )|benchmarks/.*\.sh", line):
                yield line
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`]+)`", prose):
        code = " ".join(code.split())
        if re.match(START, code) and len(code.split()) > 2 + (" -m " in code) and "…" not in code:
            yield code


def concrete(command):
    """A form, with [options] and a|b, as the words of one command that has every option."""
    command = command.replace("[STAGE.]key=value", "viper.lr=0.1").replace(" ...", "")
    command = re.sub(r"(--\w+) …", r"\1 x", command).replace(" …", "")
    while (shorter := re.sub(r"[\[(]([^\[\]()|]*)(?:\|[^\[\]()]*)?[\])]", choose, command)) != command:
        command = shorter
    words = shlex.split(command)
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        word = word.split("|")[0]
        words[place] = NAMES.get(before, word) if word == "NAME" else VALUES.get(word, word)
    return words


def choose(match):
    """The first of the alternatives in brackets: those with spaces around them are of whole options."""
    return match[0][1:-1].split(" | ")[0]


ALL = [pytest.param(page, command, id=f"{page.relative_to(ROOT)}: {command}")
       for page in PAGES for command in dict.fromkeys(commands(page.read_text()))]


def test_the_commands_are_found():
    assert len(ALL) > 80
    assert {page.name for page, _ in (one.values for one in ALL)} >= {
        "README.md", "architecture.md", "data.md", "docker.md", "evaluation.md", "extending.md", "gpu.md",
        "results.md", "training.md", "weights.md", "verification-head.md"}
    form = "tools/x.py A [--split K|all] [--init FILE | --chain NAME] [--set [STAGE.]key=value ...] --data D"
    assert concrete(form) == ["tools/x.py", "A", "--split", "0", "--init", "FILE", "--set", "viper.lr=0.1",
                              "--data", "D"]


@pytest.mark.filterwarnings("ignore:.* found in sys.modules:RuntimeWarning")    # imported by other tests
@pytest.mark.parametrize("page, command", ALL)
def test_the_parser_takes_a_command_of_the_documents(page, command, monkeypatch, capsys):
    words = concrete(command)
    if words[0].startswith("PYTHONPATH="):
        words = words[1:]
    if words[:2] == ["docker", "run"]:
        image = next(place for place, word in enumerate(words) if re.fullmatch("dtl-reid(:cpu)?", word))
        words = words[image + 1:] or ["tools/doctor"]
    program = SHELLS.get(words[0], words[0])
    if program.endswith("python"):
        program = words[1] if words[1] != "-m" else words[2]
        words = words[1 if words[1] != "-m" else 2:]
    if program.endswith(".sh"):
        options_of_a_script(program, words[1:])
        return
    taken = parsed(program, words[1:], monkeypatch, capsys)
    if program == "tools/train_stage.py" and not any(made in command for made in MADE):
        settings_of_a_stage(taken)


def parsed(program, arguments, monkeypatch, capsys):
    """What a program's own parser makes of arguments."""
    given = []

    def parse(parser, *_):
        given.append(original(parser, arguments))
        raise Parsed

    original = argparse.ArgumentParser.parse_args
    known = [name for name in MADE[:2] if name in arguments]
    if known:    # an example of docs/extending.md, which its own test runs
        return None
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        programs.start(program)
    except Parsed:
        return given[0]
    except SystemExit:
        pytest.fail(f"{program} refuses {' '.join(arguments)}: {capsys.readouterr().err.splitlines()[-1]}")
    return pytest.fail(f"{program} parses nothing")


def settings_of_a_stage(options):
    """The chain, the recipe and the settings that are asked for are there."""
    known = chain.load(ROOT / "experiments/stages.yaml").chains
    assert options.chain is None or options.chain in known
    if options.recipe:
        recipe.load(ROOT / f"experiments/recipes/{options.recipe}.yaml")
    for assignment in options.set or []:
        stage, dot, rest = assignment.partition(".")
        key_first = "=" in stage or not dot
        override(defaults(options.base or "resnet50"), [assignment if key_first else rest])


def options_of_a_script(script, arguments):
    """A script is there, can be run, and says in its first lines each option that it is given."""
    file = ROOT / script
    assert file.is_file() and file.stat().st_mode & 0o111
    head = "".join(line for line in file.read_text().splitlines(keepends=True) if line.startswith("#"))
    options = [word for word in arguments if word.startswith("--")]
    if script not in ("tools/test.sh", "tools/lint.sh"):      # theirs go to pytest and to ruff
        assert all(option in head for option in options)


@pytest.mark.parametrize("command, status, said", [
    (".venv/bin/python tools/check_paper.py", 1, "46 findings"),    # 1: it has found something
    (".venv/bin/python tools/report.py --runs experiments/measured --out DIR", 0, "market1501")])
def test_commands_without_data_run(command, status, said, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert any(command in page.read_text() for page in PAGES)
    done = programs.run(*command.replace("DIR", str(tmp_path)).split()[1:])
    tables = "".join(file.read_text() for file in tmp_path.glob("table.txt"))
    assert done.returncode == status and said in done.stdout + tables, done.stderr
