"""Where a run's weights come from: what result.json keeps of it, and what tools/lineage.py says of it."""

import json
import shutil
from pathlib import Path

import programs
import pytest
from records import edit
from stages import run_stage, tiny_job

from data_prep.prepare import prepare
from reid.common.errors import InputError
from reid.common.files import sha256_file
from reid.engine.settings import defaults
from reid.provenance.lineage import walk

SMALL = ["batch=4", "max_iter=1", "display=1", "test_every=0", "workers=0", "seed=5"]
WEIGHTS = "snapshots/000001/weights.caffemodel"


def train(stage, data, out, init=None):
    return run_stage(tiny_job(data, out, *SMALL, stage=stage, init=init), [0])[0]


@pytest.fixture(scope="module")
def chain(generated_viper, tmp_path_factory):
    """A folder with people.caffemodel, its record, data/, and runs/ of two stages, one from the other."""
    folder = tmp_path_factory.mktemp("chain")
    prepare("viper", generated_viper, folder / "data", splits=[0], epochs=1)
    file = folder / "people.caffemodel"
    shutil.copy(train("other", folder / "data", folder / "elsewhere") / WEIGHTS, file)
    Path(f"{file}.json").write_text(json.dumps(
        {"name": "people", "base": "tiny", "sha256": sha256_file(file), "mean": list(defaults("tiny").mean),
         "origin": "from somewhere", "licence": "free"}))
    first = train("first", folder / "data", folder / "runs", file)
    train("second", folder / "data", folder / "runs", first / WEIGHTS)
    return folder


@pytest.fixture
def copy(chain, tmp_path):
    return Path(shutil.copytree(chain, tmp_path / "copy"))


def second(folder):
    return folder / "runs/second/split00"


def say(run):
    done = programs.run("tools/lineage.py", run)
    return done.returncode, done.stdout, done.stderr


def test_the_result_holds_every_step_from_the_first_weights(chain):
    result = json.loads((second(chain) / "result.json").read_text())
    start, first, this = result["lineage"]
    assert start == {"name": "people", "origin": "from somewhere", "licence": "free",
                     "mean": list(defaults("tiny").mean),
                     "weights": {"file": "people.caffemodel",
                                 "sha256": sha256_file(chain / "people.caffemodel")}}
    assert [(step["stage"], step["split"], step["base"], step["objective"]) for step in (first, this)] == [
        ("first", "split00", "tiny", "vi"), ("second", "split00", "tiny", "vi")]
    for step, folder in ((first, chain / "runs/first/split00"), (this, second(chain))):
        assert step["weights"] == {"file": WEIGHTS, "sha256": sha256_file(folder / WEIGHTS)}
        assert step["manifest_sha256"] == sha256_file(chain / "data/manifest.json")
        assert (step["seed"], step["settings"]["batch"], step["iterations"]) == (5, 4, 1)
        assert step["versions"]["caffe"].startswith("1.0") and len(step["versions"]["code_sha256"]) == 64
    assert result["parent"] == {"stage": "first", "split": "split00", "base": "tiny", "objective": "vi",
                                "file": f"../../first/split00/{WEIGHTS}",
                                "sha256": first["weights"]["sha256"]}


def test_a_run_from_random_weights_says_so(chain):
    result = json.loads((chain / "elsewhere/other/split00/result.json").read_text())
    assert result["parent"] is None
    assert result["lineage"][0] == {"name": "random weights", "seed": 5, "weights": None}


def test_the_chain_is_told_as_it_was_recorded(chain):
    code, out, _ = say(second(chain))
    assert code == 0 and out.count("as recorded") == 5 and "changed" not in out and "gone" not in out
    lines = [line for line in out.splitlines() if not line.startswith(" ")]
    assert lines[0].startswith("second split00: tiny, verification and identification, 1 iterations, seed 5, "
                               "generated")
    assert lines[1].startswith("from first split00: tiny")
    assert lines[2].startswith("from people: from somewhere; licence free, mean [103.939")


def states(run):
    return [{what: found.split(":")[0] for what, found in state.items()} for _, state in walk(run)]


def test_the_runs_can_be_moved_together(chain, tmp_path):
    shutil.copytree(chain / "runs", tmp_path / "moved")
    assert states(tmp_path / "moved/second/split00") == states(second(chain))


def test_what_is_gone_and_what_has_changed_is_said(copy, chain, generated_viper):
    prepare("viper", generated_viper, copy / "data", splits=[1], epochs=1)
    for run in ("first", "second"):         # the copies' results name the data of the copy
        file = copy / f"runs/{run}/split00/result.json"
        moved = json.loads(file.read_text().replace(str(chain), str(copy)))
        edit(file, lambda result, moved=moved: result.update({key: moved[key] for key in result}))
    recorded = "as recorded"
    assert states(second(copy)) == [{"weights": recorded,
                                     "data": "as recorded for split00"}] * 2 + [{"weights": recorded}]
    parent = copy / "runs/first/split00" / WEIGHTS
    parent.write_bytes(parent.read_bytes()[:-1])
    (copy / "people.caffemodel").unlink()
    edit(copy / "data/manifest.json", lambda manifest: manifest["splits"]["split00"]["query"].pop())
    assert states(second(copy)) == [{"weights": recorded, "data": "changed"},
                                    {"weights": "changed", "data": "changed"},
                                    {"weights": "gone"}]
    code, out, err = say(second(copy))
    assert code == 1 and f"changed: {parent}" in out and f"gone: {copy / 'people.caffemodel'}" in out
    assert "3 of these files have changed" in err
    shutil.rmtree(copy / "runs/first")
    assert states(second(copy))[1:] == [{"weights": "gone", "data": "not known"}, {"weights": "not known"}]


def test_a_run_of_before_there_were_chains_tells_what_it_knows(copy):
    file = second(copy) / "result.json"
    old = {key: value for key, value in json.loads(file.read_text()).items()
           if key not in ("lineage", "parent", "verification_head", "split_sha256", "data_folder",
                          "checksum")}
    file.write_text(json.dumps(old))
    code, out, _ = say(second(copy))
    assert code == 0 and "from weights of unknown origin: weights.caffemodel" in out and "not known" in out


def test_a_run_that_is_not_finished_has_none(copy):
    (second(copy) / "result.json").unlink()
    code, out, err = say(second(copy))
    assert (code, out) == (2, "") and "written when the run is finished" in err
    (second(copy) / "result.json").write_text("{")
    with pytest.raises(InputError, match="result.json: damaged"):
        walk(second(copy))
