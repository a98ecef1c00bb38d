"""Odd and damaged input, each of which was once a traceback, an abort of Caffe or a long wait: a sentence."""

import json
import mmap
import os
import shutil
import signal
from pathlib import Path

import cv2
import h5py
import numpy as np
import programs
import pytest
from records import edit
from stages import SHORT, tiny_job

from data_prep import __main__ as prepare_command
from data_prep.check import check
from data_prep.people.write import write as write_people
from data_prep.prepare import prepare
from data_prep.readers.generated import read_mark
from data_prep.readers.registry import read
from reid.common.errors import InputError
from reid.common.files import sha256_file, write_whole
from reid.common.machine import loaded
from reid.engine import device, tables
from reid.engine.settings import defaults, override
from reid.formats import caffemodel, feature_file, json_record, manifest, result, snapshot, yaml_file
from reid.formats.feature_file import read_features, write_features
from reid.formats.picture import read_picture
from reid.stages.stage import check_stage
from tools import doctor, make_prototxt
from weights import convert, resnet_imagenet


def job(data, out, *assignments):
    return tiny_job(data, out, *SHORT, *assignments)


GARBAGE = [b"", b"null", b"3", b"[1, 2]", b"{", b"\xff\xfe\x00", b"\0" * 99, b"[" * 50_000, b"{}", b"a: [1",
           b'{"settings": 3}', b"!!python/object:os.system {}"]


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("name", ["settings.yaml", "start.json"])
def test_a_damaged_record_of_what_was_asked_for(short_runs, prepared_viper, tmp_path, name, content):
    out = shutil.copytree(short_runs, tmp_path / "runs")
    file = out / "viper/split00" / name
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"^{file.parent}.*(damaged|was started with)") as refused:
        check_stage(job(prepared_viper, out), [0])
    assert len(str(refused.value)) < 1000


def table(folder, content, name="list.csv"):
    for number in range(2):
        for camera in (1, 2):
            picture = np.full((20, 10, 3), 9 * number + camera, np.uint8)
            cv2.imwrite(str(folder / f"{number}_{camera}.png"), picture)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


HEAD = "path,identity,camera\n"
ROWS = "0_1.png,Zo\u00eb,1\n0_2.png,Zo\u00eb,2\n1_1.png,b,1\n1_2.png,b,2\n"


@pytest.mark.parametrize("content, words", [
    ((HEAD + ROWS).encode("latin-1"), "is not UTF-8.*save it as"),
    ((HEAD + ROWS).encode("utf-16"), "is not UTF-8.*save it as"),
    ("path,identity,camera,camera\n" + ROWS.replace("\n", ",1\n"), "names camera twice"),
    (HEAD + f'0_1.png,"{"x" * 200_000}",1\n', "line 2: field larger than field limit"),
    (HEAD + ROWS.replace("0_1", "0\0_1"), "line 2: .*NUL"),
    (HEAD + ROWS.replace(",2\n", ",99999999999999999999\n"), "line 3: camera '99999999999999999999'"),
    (HEAD + ROWS.replace(",2\n", f",{'9' * 5000}\n"), "line 3: camera"),
    (HEAD + ROWS.replace("0_2.png,Zo\u00eb,2\n", ""),
     "Zo\u00eb was seen by camera 1 only.*column split.*gallery")])
def test_a_table_from_a_spreadsheet(tmp_path, content, words):
    file = table(tmp_path, content)
    with pytest.raises(InputError, match=f"(?s){tmp_path}.*{words}"):
        read("csv", file)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_in_utf_8_is_read(tmp_path, encoding):
    assert len(read("csv", table(tmp_path, (HEAD + ROWS).encode(encoding))).images) == 4


@pytest.mark.parametrize("role", [None, "query", "train", "gallery"])
def test_junk_is_nobody_who_trains_or_is_searched_for(tmp_path, role):
    """Once a traceback of NumPy: the gallery held no match of a query called -1."""
    rows = ROWS.replace("b", "c") + ROWS.replace("Zo\u00eb", "-1").replace("1_", "2_").replace("0_", "3_")
    head, roles = HEAD, [""] * 8
    if role:
        head = HEAD.replace("camera", "camera,split")
        roles = [",query", ",gallery", ",train", ",train", f",{role}", f",{role}", ",train", ",train"]
    rows = "".join(f"{row}{end}\n" for row, end in zip(rows.split(), roles))
    file = table(tmp_path, head + rows)
    if role == "gallery":
        assert len(read("csv", file).images) == 8
    else:
        with pytest.raises(InputError, match="3_1.png: identity -1 .*another name"):
            read("csv", file)


def test_a_picture_called_readme_is_not_left_out(tmp_path):
    """README files are passed over; those with a picture's ending once were too."""
    raw = own_folder(tmp_path / "raw")
    (raw / "p0/1/README.txt").write_text("about")
    shutil.move(raw / "p0/1/x.png", raw / "p0/1/readme_1.PNG")
    assert [image.path for image in read("folder", raw).images][:2] == ["p0/1/readme_1.PNG", "p0/2/x.png"]


def own_folder(root, camera="2", identity=b"p"):
    for number in range(3):
        for lens in ("1", camera):
            folder = os.path.join(os.fsencode(root), identity + str(number).encode(), lens.encode())
            os.makedirs(folder)
            picture = cv2.imencode(".png", np.full((20, 10, 3), 9 * number + int(lens[:3]), np.uint8))[1]
            with open(os.path.join(folder, b"x.png"), "wb") as file:
                file.write(picture.tobytes())
    return root


@pytest.mark.parametrize("other, words", [(dict(camera="9" * 20), f"camera '{'9' * 20}'"),
                                          (dict(identity=b"\xff"), "not UTF-8")])
def test_a_folder_with_odd_names(tmp_path, capsys, other, words):
    raw, out = own_folder(tmp_path / "raw", **other), tmp_path / "out"
    assert prepare_command.main(["folder", "--raw", str(raw), "--out", str(out), "--epochs", "1"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("epochs", [0, 100_000, 10 ** 20])
def test_more_epochs_of_pairs_than_a_database_has_keys_for(generated_viper, tmp_path, capsys, epochs):
    assert prepare_command.main(["viper", "--raw", str(generated_viper), "--out", str(tmp_path / "out"),
                                 "--epochs", str(epochs)]) == 2
    assert f"epochs {epochs}" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [
    "null", "[" * 50_000, '{"layout": "viper", "identities": 99999999999999999999}',
    '{"layout": 3, "identities": 24}', '{"layout": "viper", "identities": 24, "tested": 13}'])
def test_a_damaged_mark_of_generated_people(generated_viper, tmp_path, content):
    raw = shutil.copytree(generated_viper, tmp_path / "raw")
    (raw / "GENERATED.json").write_text(content)
    with pytest.raises(InputError, match="GENERATED.json: .*damaged"):
        read("viper", raw)


@pytest.mark.parametrize("counts, words", [
    (3, "counts is 3"), ({}, "counts lacks detected, pairs"), ({"detected": 1, "pairs": [1]}, "a list of 2"),
    ({"detected": 1, "pairs": None}, "pairs is None"), ({"detected": [1], "pairs": [1, 2]}, "detected is"),
    ({"detected": 1, "pairs": [1, -1]}, "counts.pairs.1 is -1")])
def test_a_mark_whose_counts_are_something_else(tmp_path, counts, words):
    (tmp_path / "GENERATED.json").write_text(
        json.dumps({"layout": "cuhk03", "identities": 24, "counts": counts}))
    with pytest.raises(InputError, match=f"GENERATED.json: .*{words}.*generate the people again"):
        read_mark(tmp_path, "cuhk03", {"detected": 14_097, "pairs": [843, 440]})


@pytest.mark.parametrize("content", ["", "3", '{"architectures": 75}', "\\xff"])
def test_a_damaged_note_of_how_caffe_was_built(tmp_path, monkeypatch, content):
    (tmp_path / "caffe-build.json").write_text(content)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(InputError, match=f"^{tmp_path}/caffe-build.json: .*tools/install_caffe.sh"):
        device.build()


@pytest.mark.parametrize("assignment", [
    "pass_pairs=3000000000", "max_iter=3000000000", "display=99999999999999999999",
    "snapshot_every=3000000000", "test_every=3000000000", "evaluate_every=3000000000",
    "batch=99999999999999999999", f"batch={10 ** 400}", "lr=inf", "lr=1e400",
    "weight_decay=inf", "mean=nan,1,2", "mean=1e400,1,2", "clip_gradients=inf", "input=99999999999x64",
    "verif_weight=inf", "keep_snapshots=99999999999999999999", "id_lr_mult=inf", f"batch={'9' * 5000}"])
def test_settings_that_caffe_cannot_hold(assignment):
    with pytest.raises(InputError, match=assignment.partition("=")[0]):
        override(defaults("tiny"), [assignment])


def test_a_batch_of_a_thousand_million_is_refused_at_once(prepared_viper, tmp_path):
    """In one pass, and in as many as the memory asks for: before its divisors are tried, which took 85 s."""
    for passes in (["pass_pairs=1000000000"], []):
        with pytest.raises(InputError, match="batch is 1000000000, but 3 epochs of .* are 360 pairs"):
            check_stage(job(prepared_viper, tmp_path / "runs", "batch=1000000000", *passes), [0])


def test_out_may_be_the_folder_one_is_in(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_people(Path("."), "viper", 2, 0)
    assert (tmp_path / "here/GENERATED.json").is_file()
    with pytest.raises(OSError):
        write_whole(Path("."), "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


def test_a_loop_of_links(tmp_path, capsys):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for raw, out in (("a", "out"), ("here", "a")):
        given = ["viper", "--raw", str(tmp_path / raw), "--out", str(tmp_path / out)]
        assert prepare_command.main(given) == 2
        assert "unexpected" not in capsys.readouterr().err
    for data, out in (("a", "out"), ("here", "a")):
        done = programs.run("tools/train_stage.py", "viper", "--data", tmp_path / data, "--out",
                            tmp_path / out, "--base", "tiny", "--chain", "scratch")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        assert "unexpected" not in done.stderr


@pytest.mark.parametrize("value", [None, [None], {}, -1, 1.5, 1e308, 10 ** 20], ids=str)
@pytest.mark.parametrize("place", ["identities.0", "images.path.0", "images.identity.0", "images.camera.0",
                                   "splits.split00.train.0", "splits.split00.gallery.0"])
def test_a_manifest_whose_lists_hold_something_else(prepared_viper, tmp_path, place, value):
    """With a checksum that fits: hand-made, or by another program."""
    shutil.copy(prepared_viper / "manifest.json", tmp_path)

    def change(content):
        *before, _ = place.split(".")
        for key in before:
            content = content[key]
        content[0] = value
    edit(tmp_path / "manifest.json", change)
    with pytest.raises(InputError, match=f"^{tmp_path}/manifest.json: "):
        manifest.load_manifest(tmp_path)


@pytest.mark.parametrize("value", [None, [], "x", {"a": {"b": 1}}], ids=str)
@pytest.mark.parametrize("place", ["before.cmc.1", "after.cmc", "after.mAP.step", "chance.cmc.5",
                                   "tables.losses.csv", "tables.test.csv.bytes"])
def test_a_result_that_holds_something_else_than_figures(short_runs, tmp_path, place, value):
    shutil.copy(short_runs / "viper/split00/result.json", tmp_path)
    keys = place.replace(".csv", "-csv").split(".")

    def change(content):
        for key in keys[:-1]:
            content = content[key.replace("-", ".")]
        content[keys[-1].replace("-", ".")] = value
    edit(tmp_path / "result.json", change)
    with pytest.raises(InputError, match=f"^{tmp_path}/result.json: "):
        result.read(tmp_path)


def test_a_pipe_is_no_feature_file(tmp_path):
    os.mkfifo(tmp_path / "q.npz")
    with pytest.raises(InputError, match=f"{tmp_path}/q.npz: .*not a file"):
        read_features(tmp_path / "q.npz")


@pytest.mark.parametrize("read", [
    read_picture, yaml_file.read, caffemodel.read_caffemodel, snapshot.read_state, tables.read, sha256_file,
    lambda path: json_record.load(path, "restore it"), lambda path: convert.caffemodel(path, "tiny"),
    resnet_imagenet.read_package])
def test_a_pipe_is_no_file_of_any_kind(tmp_path, read):
    """A program that reads one waits for ever: SIGALRM ends it."""
    def late(*_):
        raise AssertionError("waits for ever")
    os.mkfifo(tmp_path / "pipe")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(5)
    try:
        with pytest.raises((InputError, OSError), match=f"{tmp_path}/pipe.*|not a regular file"):
            read(tmp_path / "pipe")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("content", ["[" * 50_000, f"a: {'9' * 5000}"], ids=["deep", "long"])
def test_yaml_that_python_cannot_take(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(InputError, match=f"^{tmp_path}/x.yaml: is not YAML"):
        yaml_file.read(tmp_path / "x.yaml")


@pytest.mark.parametrize("content", ["a: 1\nb: 2\na: 3\n", "x: {a: 1, 'a': 2}\n"])
def test_a_key_that_stands_twice_in_yaml(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(InputError, match=f"^{tmp_path}/x.yaml: is not YAML: key 'a' stands twice .*line"):
        yaml_file.read(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}\n")
    assert yaml_file.read(tmp_path / "x.yaml")["d"] == {"b": 1, "c": 3}


@pytest.mark.parametrize("name, values, words", [
    ("features", np.ones((2, 8), np.longdouble), "features are of type .*; they must be real numbers"),
    ("ids", ["a", "\ud800"], r"ids hold '\\ud800'; they must be Unicode text"),
    ("names", ["a\0b", "c"], r"names hold 'a\\x00b'; they must be Unicode text")])
def test_a_feature_file_with_what_no_other_file_can_hold(tmp_path, name, values, words):
    arrays = {"features": np.ones((2, 8), np.float32), "ids": [1, 2], "cams": [1, 1], name: values}
    np.savez(tmp_path / "q.npz", **arrays)
    with pytest.raises(InputError, match=f"^{tmp_path}/q.npz: {words}"):
        read_features(tmp_path / "q.npz")


def test_a_feature_file_that_unpacks_to_more_than_there_is_memory(tmp_path, monkeypatch):
    write_features(tmp_path / "q.npz", np.ones((100, 8)), np.arange(100), np.ones(100, int), ["x"] * 100)
    monkeypatch.setattr(feature_file, "memory", lambda: (3000, 3000))
    with pytest.raises(InputError, match=f"^{tmp_path}/q.npz: unpacks to .* bytes, and 3,000 of memory"):
        read_features(tmp_path / "q.npz")


def test_a_feature_file_whose_header_claims_more_than_it_holds(tmp_path):
    np.savez(tmp_path / "q.npz", features=np.ones((100, 8), np.float32), ids=np.arange(100),
             cams=np.ones(100, int))
    content = (tmp_path / "q.npz").read_bytes()
    forged = content.replace(b"'shape': (100, 8), }         ", b"'shape': (10000000000, 8), } ")
    assert forged != content
    (tmp_path / "q.npz").write_bytes(forged)
    with pytest.raises(InputError, match="q.npz: cannot be read"):
        read_features(tmp_path / "q.npz")


def test_a_damaged_feature_file(tmp_path):
    write_features(tmp_path / "q.npz", np.ones((9, 8)), np.arange(9), np.ones(9, int), ["x"] * 9)
    whole, rng = (tmp_path / "q.npz").read_bytes(), np.random.default_rng(0)
    before = read_features(tmp_path / "q.npz")
    for place in rng.integers(0, len(whole), 400):
        content = bytearray(whole)
        content[place:place + 20] = bytes(20) if place % 2 else rng.bytes(20)
        (tmp_path / "q.npz").write_bytes(content[:len(whole)])
        try:
            found = read_features(tmp_path / "q.npz")
        except InputError as error:
            assert str(error).startswith(f"{tmp_path}/q.npz: ")
        else:
            assert all(np.array_equal(found[name], before[name]) for name in before)


def test_a_record_of_a_base_that_is_not_known(tmp_path):
    file = tmp_path / "w.caffemodel"
    file.write_bytes(b"x")
    Path(f"{file}.json").write_text(json.dumps({"name": "x", "base": "lenet", "sha256": "0" * 64,
                                                "mean": [1, 2, 3], "origin": "o", "licence": "l"}))
    done = programs.run("weights.classify", file)
    assert done.returncode == 2 and "base lenet is not known; there are" in done.stderr, done.stderr


@pytest.mark.parametrize("tool, step", [(make_prototxt, "write_stale"), (doctor, "software")])
def test_a_tool_that_fails_says_so_in_one_line(monkeypatch, capsys, tool, step):
    def fail(*_):
        raise OSError(28, "No space left on device", "somewhere")
    monkeypatch.setattr("sys.argv", ["tool"])
    monkeypatch.setattr(tool, step, fail)
    assert tool.main() == 2
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device: 'somewhere'\n"


CUT_IN_PLACE = """
import sys
from pathlib import Path
from reid.common.errors import command_line
from reid.formats.image_lmdb import ImageStore
from reid.formats.pair_lmdb import PairStore
@command_line
def main():
    images, pairs = ImageStore(sys.argv[1]), PairStore(sys.argv[2])
    with open(Path(sys.argv[3]) / "data.mdb", "r+b") as file:
        file.truncate(int(sys.argv[4]))
    pairs.epoch(1)
    images.get(len(images) - 1)
sys.exit(main())
"""    # as by another program, after it was opened


@pytest.mark.parametrize("name", ["images", "split00/train"])
@pytest.mark.parametrize("length", [0, 4096, 12_288])
def test_a_database_cut_in_place_while_it_is_read_is_no_bus_error(prepared_viper, tmp_path, name, length):
    data = shutil.copytree(prepared_viper, tmp_path / "data")
    (tmp_path / "cut.py").write_text(CUT_IN_PLACE)
    done = programs.run(f"{tmp_path}/cut.py", data / "images", data / "split00/train", data / name, length)
    assert done.returncode == 2 and f"{data / name}: cut short: {length} of" in done.stderr, done


def test_a_mat_in_a_folder_whose_name_is_not_utf_8(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    with h5py.File(tmp_path / "x.mat", "w") as file:
        file["detected"] = [1.0]
    shutil.move(tmp_path / "x.mat", folder / "cuhk-03.mat")
    with pytest.raises(InputError, match="cuhk-03.mat: .*(labeled|testsets|cell)"):
        read("cuhk03", folder, None)


def test_data_in_a_folder_whose_name_is_not_utf_8(generated_viper, prepared_viper, tmp_path):
    """LMDB takes any name; Caffe's nets hold paths as text, so that training refuses them by name."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    prepare("viper", generated_viper, folder / "data", splits=[0], epochs=1)
    assert list(check(folder / "data"))
    for data, out in ((folder / "data", tmp_path / "out"), (prepared_viper, folder / "out")):
        with pytest.raises(InputError, match="its name is not UTF-8, .*rename"):
            check_stage(job(data, out), [0])


def test_libraries_are_found_beside_a_mapped_file_whose_name_is_not_utf_8(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff"
    with open(path, "wb+") as file:
        file.write(bytes(4096))
        file.flush()
        with mmap.mmap(file.fileno(), 0):
            assert any("libgomp" in library for library in loaded("libgomp"))
