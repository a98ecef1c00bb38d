"""Everything that can be wrong with the input ends in one sentence that names it; nothing is half-written."""

import resource
import shutil

import cv2
import lmdb
import numpy as np
import programs
import pytest

from data_prep import __main__ as command
from data_prep.prepare import prepare
from reid.common.errors import InputError
from reid.formats.image_lmdb import ImageStore, write_images
from reid.formats.manifest import load_manifest
from reid.formats.pair_lmdb import PairStore
from reid.formats.picture import read_picture


@pytest.fixture
def raw(generated_viper, tmp_path):
    shutil.copytree(generated_viper, tmp_path / "raw")
    return tmp_path / "raw"


def own_folder(root, identities=4, cameras=(1, 2)):
    """A user's own folder of small images, each different."""
    rng = np.random.default_rng(0)
    for number in range(identities):
        for camera in cameras:
            path = root / f"p{number}" / str(camera) / "x.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), rng.integers(0, 256, (20, 10, 3), np.uint8))
    return root


def refused(dataset, raw, out, complaint, capsys):
    """The command line says `complaint` in one line, exits 2 and leaves nothing at `out`."""
    assert command.main([dataset, "--raw", str(raw), "--out", str(out), "--epochs", "1", "--split", "0"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert complaint in error
    assert not out.exists()


def test_a_missing_folder(tmp_path, capsys):
    nowhere = tmp_path / "nowhere"
    refused("viper", nowhere, tmp_path / "out", f"{nowhere}: there is no such folder", capsys)


def test_a_missing_table_and_a_missing_image(tmp_path, capsys):
    refused("csv", tmp_path / "no.csv", tmp_path / "out", "no.csv: there is no such file", capsys)
    (tmp_path / "a.csv").write_text("path,identity,camera\nx.png,1,1\ny.png,1,2\nz.png,2,1\nw.png,2,2\n")
    refused("csv", tmp_path / "a.csv", tmp_path / "out", f"{tmp_path}/x.png: cannot be read", capsys)


def test_an_unreadable_and_a_truncated_image(raw, tmp_path, capsys):
    image = raw / "cam_b/005_90.bmp"
    whole = image.read_bytes()
    for damage in (b"", b"not an image", whole[:len(whole) // 2]):
        image.write_bytes(damage)
        refused("viper", raw, tmp_path / "out", f"{image}: not a whole image ({len(damage)} bytes", capsys)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_every_kind_of_truncated_image(tmp_path, suffix):
    picture = np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8)
    data = cv2.imencode(suffix, picture)[1].tobytes()
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data)
    assert read_picture(path).shape == (60, 40, 3)
    for length in (10, len(data) // 2, len(data) - 2):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="not a whole image"):
            read_picture(path)


def test_a_truncated_image_of_a_users_own_leaves_nothing_behind(tmp_path, capsys):
    raw = own_folder(tmp_path / "raw")
    image = raw / "p2/1/x.png"
    image.write_bytes(image.read_bytes()[:-20])
    arguments = ["folder", "--raw", str(raw), "--out", str(tmp_path / "out"), "--epochs", "1"]
    assert command.main(arguments) == 2
    assert f"error: {image}: not a whole image" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["manifest.json"]
    with pytest.raises(InputError, match="interrupted"):
        load_manifest(tmp_path / "out")


def test_two_identities_sharing_the_bytes_of_an_image(tmp_path, capsys):
    raw = own_folder(tmp_path / "raw")
    shutil.copy(raw / "p1/2/x.png", raw / "p3/1/x.png")
    refused("folder", raw, tmp_path / "out",
            f"{raw}/p1/2/x.png (identity p1) and {raw}/p3/1/x.png (identity p3) are the same image", capsys)


def test_two_identities_sharing_a_path(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("path,identity,camera\nx.png,1,1\ny.png,1,2\nx.png,2,1\nz.png,2,2\n")
    refused("csv", tmp_path / "a.csv", tmp_path / "out", "x.png is listed under two identities, 1 and 2",
            capsys)


def test_an_identity_with_one_camera(raw, tmp_path, capsys):
    (raw / "cam_b/003_90.bmp").unlink()
    refused("viper", raw, tmp_path / "out", f"{raw}/cam_a/003_0.bmp: identity 003 was seen by camera 1 only",
            capsys)
    own = own_folder(tmp_path / "own", cameras=(4,))
    refused("folder", own, tmp_path / "out",
            "identity p0 was seen by camera 4 only (4 such identities in all)", capsys)


def test_an_empty_split(tmp_path, capsys):
    raw = own_folder(tmp_path / "raw", identities=1)
    refused("folder", raw, tmp_path / "out", "split 0 (drawn, seed 0, #0) has no train images", capsys)


def test_a_folder_that_is_not_ours_is_never_written_to(generated_viper, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/holiday.jpg").write_text("mine")
    arguments = ["viper", "--raw", str(generated_viper), "--out", str(tmp_path)]
    assert command.main(arguments) == 2
    assert f"error: {tmp_path}: not empty, and not written by data_prep" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["images", "holiday.jpg"]


def change(folder, key, new):
    """Replace one value of an LMDB by `new(value)`."""
    with lmdb.open(str(folder), lock=False) as environment, environment.begin(write=True) as values:
        values.put(key, new(values.get(key)))


def test_a_missing_and_a_foreign_database(tmp_path):
    for store in (ImageStore, PairStore):
        with pytest.raises(InputError, match=f"{tmp_path}: there is no LMDB here"):
            store(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"not an LMDB" * 1000)
    for store in (ImageStore, PairStore):
        with pytest.raises(InputError, match=f"{tmp_path}: not an LMDB that can be read"):
            store(tmp_path)


def test_a_database_that_may_not_be_opened_is_not_called_damaged(prepared_viper):
    """The error of a damaged one says to delete it."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(InputError, match=f"^{prepared_viper}/images: cannot be read: .*Too many open"):
            ImageStore(prepared_viper / "images")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_database_of_another_format(prepared_viper, tmp_path):
    with pytest.raises(InputError, match="not a pair LMDB"):
        PairStore(prepared_viper / "images")
    with pytest.raises(InputError, match="holds no image 0"):
        ImageStore(prepared_viper / "split00/train")
    shutil.copytree(prepared_viper / "split00/train", tmp_path / "newer")
    change(tmp_path / "newer", b"meta", lambda value: value.replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(InputError, match="pair format 2; this version reads format 1"):
        PairStore(tmp_path / "newer")
    change(tmp_path / "foreign", b"00000000", lambda _: b"an image of somebody else")
    with pytest.raises(InputError, match="image 0 is not a Datum"):
        ImageStore(tmp_path / "foreign")


@pytest.mark.parametrize("content", [b"", b"no image file"])
def test_an_encoded_image_that_cannot_be_read(tmp_path, content):
    picture = cv2.imencode(".png", np.zeros((8, 4, 3), np.uint8))[1].tobytes()
    write_images(tmp_path, [picture, content], [0, 1])
    with pytest.raises(InputError, match="image 1 is a Datum whose image file cannot be read"):
        ImageStore(tmp_path).get(1)


@pytest.mark.parametrize("store, name", [(ImageStore, "images"), (PairStore, "split00/train")])
@pytest.mark.parametrize("part", [0, .01, .5, .98])
def test_a_database_cut_short(prepared_viper, tmp_path, store, name, part):
    data = (prepared_viper / name / "data.mdb").read_bytes()
    (tmp_path / "data.mdb").write_bytes(data[:int(part * len(data))])
    with pytest.raises(InputError, match=f"{tmp_path}: "):
        store(tmp_path)


def test_pairs_of_a_wrong_length(prepared_viper, tmp_path):
    shutil.copytree(prepared_viper / "split00/train", tmp_path / "short")
    change(tmp_path / "short", b"epoch/00001", lambda value: value[:-15])
    with pytest.raises(InputError, match="epoch/00001 holds 1785 bytes, not 1800 bytes"):
        PairStore(tmp_path / "short")


@pytest.mark.parametrize("limit, name", [(2_000, "manifest.json"), (8_000, "images"), (500_000, "images")])
def test_a_full_disk(generated_viper, prepared_viper, tmp_path, limit, name):
    ended = programs.run("data_prep", "viper", "--raw", generated_viper, "--out", tmp_path / "out",
                         "--split", "0", "--epochs", "3", largest_file=limit)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and "Traceback" not in ended.stderr and name in ended.stderr
    assert not list(tmp_path.rglob("*.partial")) and not (tmp_path / "out/images").exists()
    prepare("viper", generated_viper, tmp_path / "out", [0], epochs=3)     # with room again, it goes on
    written, expected = (folder / "images/data.mdb" for folder in (tmp_path / "out", prepared_viper))
    assert written.read_bytes() == expected.read_bytes()


def test_a_full_disk_while_people_are_drawn(tmp_path):
    ended = programs.run("data_prep.people", "--out", tmp_path / "raw", "--identities", "2",
                         largest_file=8_000)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and f"'{tmp_path}/raw'" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_what_was_whole(generated_viper, tmp_path):
    prepare("viper", generated_viper, tmp_path / "out", [0], epochs=3)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    ended = programs.run("data_prep", "viper", "--raw", generated_viper, "--out", tmp_path / "out",
                         "--split", "1", "--epochs", "3", largest_file=10_000)
    assert ended.returncode == 2 and "cannot be written" in ended.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("limit", [0, 1, 600, 5_000, 100_000, 200_000])
def test_a_full_disk_while_a_mat_is_written(tmp_path, limit):
    """HDF5 cleans up after a failed write by a dozen tracebacks and a segmentation fault."""
    ended = programs.run("data_prep.people", "--out", tmp_path / "raw", "--layout", "cuhk03",
                         "--identities", "12", largest_file=limit)
    assert ended.returncode == 2, ended
    assert ended.stderr.count("\n") == 1 and ended.stderr.startswith("error: ") and "raw" in ended.stderr
    assert not list(tmp_path.iterdir())
