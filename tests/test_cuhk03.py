"""CUHK03: the .mat as MATLAB writes it, both extracted forms, its own test sets, and ways to break them."""

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import scipy.io
from records import edit

from data_prep import __main__ as command
from data_prep.check import NotProved, check
from data_prep.people.write import write
from data_prep.prepare import prepare
from data_prep.readers import cuhk03
from data_prep.readers.registry import read
from data_prep.splits.load import load_split, split_count
from reid.common.errors import InputError
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import load_manifest
from reid.formats.pair_lmdb import PairStore


def generate(tmp_path_factory, layout):
    folder = tmp_path_factory.mktemp("raw") / layout
    write(folder, layout, identities=18, seed=7)     # 10, 5, 1, 1 and 1 of the five camera pairs
    return folder


@pytest.fixture(scope="module")
def mat(tmp_path_factory):
    return generate(tmp_path_factory, "cuhk03")


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    return {layout: generate(tmp_path_factory, f"cuhk03-{layout}") for layout in ("long", "short")}


@pytest.fixture
def copy(mat, tmp_path):
    shutil.copytree(mat, tmp_path / "copy")
    return tmp_path / "copy"


def as_public_code_reads_it(path, boxes):
    """(pair, identity, place) → H×W×3 RGB, following references and reversing axes as public readers do."""
    with h5py.File(path) as file:
        cells = {}
        for pair, reference in enumerate(file[boxes][0]):
            people = file[reference][:].T
            for number, row in enumerate(people):
                for place, image in enumerate(row):
                    pixels = file[image][:].T
                    if pixels.ndim == 3:
                        cells[pair + 1, number + 1, place + 1] = pixels
    return cells


@pytest.mark.parametrize("boxes", cuhk03.BOXES)
def test_the_mat_reads_as_public_code_reads_it(mat, boxes):
    expected = as_public_code_reads_it(mat / "cuhk-03.mat", boxes)
    index = read("cuhk03", mat, boxes)
    assert len(index.images) == len(expected) == 173 and index.variant == boxes     # 180 · 14,097 / 14,670
    for image, ((pair, number, place), pixels) in zip(index.images, sorted(expected.items())):
        assert image.path == f"{pair}_{number:03d}_{1 if place < 6 else 2}_{place:02d}.png"
        assert (image.identity, image.camera) == (f"{pair}_{number:03d}", 1 if place < 6 else 2)
        assert np.array_equal(index.pixels.picture(image.path), pixels[:, :, ::-1])


def test_the_mat_is_matlabs_own_kind_of_file(mat, tmp_path):
    start = (mat / "cuhk-03.mat").read_bytes()[:128]
    assert start.startswith(b"MATLAB 7.3 MAT-file") and start.endswith(b"\x00\x02IM")
    with h5py.File(mat / "cuhk-03.mat") as file:
        assert file.userblock_size == 512
        assert file["detected"].shape == (1, 5) and file["testsets"].shape == (1, 20)
        assert file["detected"].attrs["MATLAB_class"] == b"cell"
        assert file[file["testsets"][0, 0]].shape == (2, 2)     # two people of 16 in pairs 1 to 3
    first, second = (write(tmp_path / name, "cuhk03", identities=3, seed=7) or tmp_path / name
                     for name in ("first", "second"))
    assert (first / "cuhk-03.mat").read_bytes() == (second / "cuhk-03.mat").read_bytes()


def test_the_file_itself_may_be_named(mat):
    assert read("cuhk03", mat / "cuhk-03.mat").images == read("cuhk03", mat).images


@pytest.mark.parametrize("boxes", cuhk03.BOXES)
def test_the_extracted_forms_hold_the_same(mat, extracted, boxes):
    whole = read("cuhk03", mat, boxes)
    long, short = (read("cuhk03", extracted[form], boxes) for form in ("long", "short"))
    assert long.images == whole.images and long.generated
    assert [(image.identity, image.camera) for image in short.images] == [
        (image.identity, image.camera) for image in whole.images]
    assert short.images[0].path == "0000_00.jpg" and short.images[-1].path == "0017_09.jpg"
    for image in whole.images[::20]:
        assert np.array_equal(long.pixels.picture(image.path), whole.pixels.picture(image.path))


def test_detected_is_the_default_and_the_folders_may_be_called_images(extracted, tmp_path):
    shutil.copytree(extracted["short"], tmp_path / "raw")
    for boxes in cuhk03.BOXES:
        (tmp_path / "raw" / boxes).rename(tmp_path / "raw" / f"images_{boxes}")
    assert read("cuhk03", tmp_path / "raw").root == tmp_path / "raw/images_detected"
    assert read("cuhk03", tmp_path / "raw", "labeled").root == tmp_path / "raw/images_labeled"


def real_names(form):
    """As many names as the real dataset has detected images, 573 of the last places empty."""
    cells = [(pair, number, place) for pair, people in enumerate((843, 440, 77, 58, 49), 1)
             for number in range(1, people + 1) for place in range(1, 11)]
    serial = {address: place for place, address in enumerate(cells)}
    empty = set(cells[9:5730:10])
    if form == "short":
        return [f"{serial[cell] // 10:04d}_{cell[2] - 1:02d}.jpg" for cell in cells if cell not in empty]
    return [f"{pair}_{number:03d}_{1 if place < 6 else 2}_{place:02d}.png"
            for pair, number, place in cells if (pair, number, place) not in empty]


@pytest.mark.parametrize("form", ["long", "short"])
def test_the_real_numbers(monkeypatch, tmp_path, form):
    names = real_names(form)
    monkeypatch.setattr(cuhk03, "list_files", lambda root: names)
    index = read("cuhk03", tmp_path)
    assert len(index.images) == 14097 and len(index.identities()) == 1467 and not index.generated
    identities = [image.identity for image in index.images]
    assert identities[0] == "1_001" and identities[-1] == "5_049" and set(cuhk03.IDENTITIES) < set(identities)
    split = load_split(index, 19, seed=3)
    assert split.origin == "committed cuhk03.json #19" and split_count(index) == 20
    parts = [{identities[place] for place in part} for part in (split.train, split.validation, split.query)]
    assert [len(part) for part in parts] == [1160, 100, 100] and len(set.union(*parts)) == 1360
    names.remove(names[-1])
    with pytest.raises(InputError, match=r"detected images: 14,096, 14,097 expected \(1 missing\); unpack"):
        read("cuhk03", tmp_path)


@pytest.mark.parametrize("name", ["6_001_1_01.png", "1_001_1_06.png", "1_001_3_01.png", "1_001_2_11.png",
                                  "1467_00.jpg", "0000_10.jpg", "train/0000_00.jpg"])
def test_a_name_of_no_camera_or_identity(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"not understood: {name}; expected cuhk-03.mat, or <pair>_"):
        read("cuhk03", tmp_path)


def test_missing_people_are_counted(extracted, tmp_path):
    shutil.copytree(extracted["short"], tmp_path / "raw")
    for path in (tmp_path / "raw/detected").glob("0014_*.jpg"):     # the last of pair 2
        path.unlink()
    with pytest.raises(InputError, match=r"detected images: 16\d, 173 expected \(\d+ missing\); "
                                         r"identities of camera pair 2: 4, 5 expected \(1 missing\); unpack"):
        read("cuhk03", tmp_path / "raw")


def broken(change):
    def on_copy(root):
        with h5py.File(root / "cuhk-03.mat", "r+") as file:
            change(file)
    return on_copy


def not_matlab(root):
    (root / "cuhk-03.mat").write_bytes(b"hello" * 1000)


def older_matlab(root):
    scipy.io.savemat(root / "cuhk-03.mat", {"detected": np.zeros((5, 1))})


def cut_short(root):
    data = (root / "cuhk-03.mat").read_bytes()
    (root / "cuhk-03.mat").write_bytes(data[:len(data) // 2])


@broken
def no_detected(file):
    del file["detected"]


@broken
def null_cell(file):
    file[file["detected"][0, 1]][3, 2] = h5py.Reference()


@broken
def null_pair(file):
    file["detected"][0, 4] = h5py.Reference()


@broken
def grey_image(file):
    stored = file["#refs#"].create_dataset("grey", data=np.zeros((60, 160)))
    file[file["detected"][0, 0]][0, 0] = stored.ref


@broken
def nine_images(file):
    stored = file["#refs#"].create_dataset("nine", data=file[file["detected"][0, 0]][:9])
    file["detected"][0, 0] = stored.ref


@broken
def stranger_tested(file):
    file[file["testsets"][0, 2]][1, 0] = 99


@broken
def one_test_set_less(file):
    sets = file["testsets"][:, :19]
    del file["testsets"]
    file.create_dataset("testsets", data=sets, dtype=h5py.ref_dtype)


@broken
def one_column_tested(file):
    stored = file["#refs#"].create_dataset("column", data=np.ones((1, 2)))
    file["testsets"][0, 7] = stored.ref


@pytest.mark.parametrize("change, complaint", [
    (not_matlab, "no MATLAB file; CUHK03's is a MATLAB 7.3 file"),
    (older_matlab, "a MATLAB 5.0 file; CUHK03's is a MATLAB 7.3 file: take the original, or save it again"),
    (cut_short, "damaged or cut short"),
    (no_detected, "has no cell array detected; unpack the dataset again"),
    (null_cell, r"the cell detected\{2\}\{3,4\} is missing; unpack"),
    (null_pair, r"the cell detected\{5\} is missing; unpack"),
    (grey_image, r"the cell detected\{1\}\{1,1\} holds float64 \(160, 60\), no colour image"),
    (nine_images, r"detected\{1\} is no cell array of ten images an identity"),
    (stranger_tested, r"testsets\{3\} names identity \d_099, who is not in the dataset"),
    (one_test_set_less, r"test sets: 19, 20 expected \(1 missing\)"),
    (one_column_tested, r"testsets\{8\} is no matrix of camera pair and identity")])
def test_a_broken_mat(copy, change, complaint):
    change(copy)
    with pytest.raises(InputError, match=f"{copy}/cuhk-03.mat: {complaint}"):
        read("cuhk03", copy)


def test_a_mat_that_is_not_there(tmp_path, capsys):
    assert command.main(["cuhk03", "--raw", str(tmp_path / "no.mat"), "--out", str(tmp_path / "out")]) == 2
    assert f"error: {tmp_path}/no.mat: there is no such file" in capsys.readouterr().err


def test_damaged_pixels_are_named(copy):
    with h5py.File(copy / "cuhk-03.mat") as file:
        stored = file[file[file["detected"][0, 0]][0, 0]]
        place = file.userblock_size + stored.id.get_chunk_info(0).byte_offset
    with open(copy / "cuhk-03.mat", "r+b") as stream:
        stream.seek(place)
        stream.write(b"\xff" * 64)
    index = read("cuhk03", copy)
    with pytest.raises(InputError, match=r"the cell detected\{1\}\{1,1\} cannot be read"):
        index.pixels.picture(index.images[0].path)


def test_the_datasets_own_test_sets_are_tested(mat):
    index = read("cuhk03", mat)
    with h5py.File(mat / "cuhk-03.mat") as file:
        expected = [{f"{int(pair)}_{int(number):03d}" for pair, number in file[reference][:].T}
                    for reference in file["testsets"][0]]
    for number in (0, 7, 19):
        split = load_split(index, number, seed=number)
        assert split.origin == f"the dataset's own test set #{number}, validation from seed 2017"
        parts = [{index.images[place].identity for place in part}
                 for part in (split.train, split.validation, split.query)]
        assert parts[2] == expected[number] == {index.images[place].identity for place in split.gallery}
        assert [len(part) for part in parts] == [12, 2, 2] and len(set.union(*parts)) == 16
        assert not any(identity[0] in "45" for part in parts for identity in part)
    assert load_split(index, 3, seed=0) == load_split(index, 3, seed=8)


def test_an_identity_that_one_view_shows_is_in_no_part(mat):
    index = read("cuhk03", mat)
    seen = tuple(image for image in index.images if (image.identity, image.camera) != ("1_002", 2))
    split = load_split(replace(index, images=seen), 0, seed=0)
    parts = split.train + split.validation + split.query + split.gallery
    assert "1_002" not in {seen[place].identity for place in parts}


@pytest.fixture(scope="module")
def prepared(mat, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "cuhk03"
    assert command.main(["cuhk03", "--raw", str(mat), "--out", str(out), "--epochs", "2"]) == 0
    return out


def test_prepared_and_proved(prepared, mat, capsys):
    manifest = load_manifest(prepared)
    assert sorted(manifest.splits) == ["split00"]     # the default of this dataset: docs/data.md
    assert manifest.variant == "detected" and manifest.protocol == "single-shot"
    proved = list(check(prepared))
    assert "2 more are kept for validation" in proved[3]
    assert "pairs of people kept for validation, half the same" in proved[5]
    index = read("cuhk03", mat)
    assert ImageStore(prepared / "images").get(9)[1] == index.identities().index(index.images[9].identity)


def test_the_net_is_judged_on_people_kept_for_validation(prepared):
    split = load_manifest(prepared).splits["split00"]
    judged = PairStore(prepared / "split00/test").epoch(0)[0::2]
    assert set(judged["a"]) | set(judged["b"]) <= set(split.validation)


def test_all_splits_on_request(extracted, tmp_path, capsys):
    arguments = ["cuhk03", "--raw", str(extracted["short"]), "--out", str(tmp_path / "out"), "--epochs", "1"]
    assert command.main([*arguments, "--split", "all", "--variant", "labeled"]) == 0
    assert "cuhk03 labeled, generated data: 173 images of 18 identities, 20 splits" in capsys.readouterr().out
    assert load_manifest(tmp_path / "out").splits["split19"].origin == "drawn, seed 0, #19"


def test_a_validation_identity_that_trains_is_found(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "out")

    def forge(manifest):
        split = manifest["splits"]["split00"]
        split["validation"].insert(0, split["train"][0])
    edit(tmp_path / "out/manifest.json", forge)
    with pytest.raises(NotProved, match="an identity is kept for validation and trains or is tested"):
        list(check(tmp_path / "out"))


def test_prepare_is_the_same_from_the_mat_and_from_lossless_files(prepared, extracted, tmp_path):
    prepare("cuhk03", extracted["long"], tmp_path / "out", epochs=2)
    assert (tmp_path / "out/images/data.mdb").read_bytes() == (prepared / "images/data.mdb").read_bytes()
