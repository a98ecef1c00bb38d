"""Readers: the right index from good folders, and one clear sentence from bad ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.index import Image
from data_prep.people.write import write
from data_prep.readers import viper
from data_prep.readers.registry import read
from reid.common.errors import InputError


def picture(path: Path, width=48, height=128, shade=0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), shade, np.uint8))


@pytest.fixture(scope="module")
def full_viper(tmp_path_factory) -> Path:
    """A folder with the file names of the whole real VIPeR, every image a flat grey."""
    root = tmp_path_factory.mktemp("viper")
    picture(root / "grey.bmp")
    grey = (root / "grey.bmp").read_bytes()
    (root / "grey.bmp").unlink()
    for camera, angle in (("cam_a", 45), ("cam_b", 90)):
        (root / camera).mkdir()
        for identity in viper.IDENTITIES:
            (root / camera / f"{identity}_{angle}.bmp").write_bytes(grey)
    return root


def test_viper_identities_are_the_datasets():
    # Facts of the distributed archive: 632 identities from 000 to 873; 247–299 and 874 on were never used.
    assert len(set(viper.IDENTITIES)) == 632
    assert (viper.IDENTITIES[0], viper.IDENTITIES[-1]) == ("000", "873")
    assert not {"247", "299", "349", "874"} & set(viper.IDENTITIES)


def test_viper(full_viper):
    for stray in ("Thumbs.db", "cam_a/.DS_Store", "__MACOSX/cam_a/x.bmp", "README.md"):
        (full_viper / stray).parent.mkdir(parents=True, exist_ok=True)
        (full_viper / stray).write_bytes(b"stray")
    index = read("viper", full_viper)
    assert len(index.images) == 1264 and len(index.identities()) == 632
    assert index.images[0] == Image("cam_a/000_45.bmp", "000", 1)
    assert index.images[-1] == Image("cam_b/873_90.bmp", "873", 2)
    assert index.protocol == "single-shot" and not index.generated


def test_viper_says_what_is_missing_and_what_is_strange(full_viper):
    (full_viper / "cam_a/000_45.bmp").rename(full_viper / "cam_a/999_45.bmp")
    (full_viper / "cam_b/000_90.bmp").rename(full_viper / "cam_b/999_90.bmp")
    try:
        with pytest.raises(InputError, match="632 expected; missing 000; not of the dataset 999; unpack"):
            read("viper", full_viper)
    finally:
        (full_viper / "cam_a/999_45.bmp").rename(full_viper / "cam_a/000_45.bmp")
        (full_viper / "cam_b/999_90.bmp").rename(full_viper / "cam_b/000_90.bmp")


@pytest.mark.parametrize("name, size, complaint", [
    ("cam_a/notes.txt", (48, 128), "not understood: cam_a/notes.txt; expected cam_a/<identity>_<angle>.bmp"),
    ("cam_a/001_90.bmp", (48, 128), "cam_a/001_.*show the same identity from the same camera"),
    ("cam_a/000_45.bmp", (47, 128), "000_45.bmp: 47×128 pixels; the dataset's images are 48×128"),
])
def test_viper_refuses(tmp_path, full_viper, name, size, complaint):
    for folder in ("cam_a", "cam_b"):
        (tmp_path / folder).mkdir()
        for file in (full_viper / folder).glob("*.bmp"):
            (tmp_path / folder / file.name).symlink_to(file)
    (tmp_path / name).unlink(missing_ok=True)
    if name.endswith(".txt"):
        (tmp_path / name).write_text("mine")
    else:
        picture(tmp_path / name, *size)
    with pytest.raises(InputError, match=complaint):
        read("viper", tmp_path)


def test_the_folder_above_the_dataset(tmp_path, full_viper):
    (tmp_path / "VIPeR").symlink_to(full_viper)
    with pytest.raises(InputError, match=rf"should it be --raw {tmp_path}/VIPeR\?$"):
        read("viper", tmp_path)


def test_generated_people_are_marked(generated_viper):
    index = read("viper", generated_viper)
    assert index.generated and len(index.images) == 48
    assert index.identities() == [f"{number:03d}" for number in range(24)]


def test_folder(tmp_path):
    for name in ("ann/1/x.png", "ann/2/y.JPG", "bob/1/a b.bmp", "bob/7/z.jpeg"):
        picture(tmp_path / name)
    index = read("folder", tmp_path)
    assert index.images == (Image("ann/1/x.png", "ann", 1), Image("ann/2/y.JPG", "ann", 2),
                            Image("bob/1/a b.bmp", "bob", 1), Image("bob/7/z.jpeg", "bob", 7))


def test_generated_people_come_in_a_folder_layout_too(tmp_path):
    write(tmp_path / "raw", "folder", identities=2, seed=1)
    index = read("folder", tmp_path / "raw")
    assert index.generated and len(index.images) == 12
    assert index.images[7] == Image("0002/2/1.png", "0002", 2)


def test_folder_refuses_a_camera_without_a_number(tmp_path):
    picture(tmp_path / "ann/front/x.png")
    with pytest.raises(InputError, match="ann/front/x.png; expected <identity>/<camera>/<image>"):
        read("folder", tmp_path)


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_csv(tmp_path):
    path = table(tmp_path, "path,identity,camera,split", "a.png,1,0,train", "b.png,1,3,train",
                 "q.png,2,0,query", "g.png,2,1,gallery", "d.png,3,1,gallery")
    index = read("csv", path)
    assert index.root == tmp_path
    assert index.images[1] == Image("b.png", "1", 3, "train")
    assert [image.role for image in index.images] == ["train", "train", "query", "gallery", "gallery"]


@pytest.mark.parametrize("lines, complaint", [
    (["path,person,camera", "a,1,1"], "first line must name the columns path,identity,camera"),
    (["path,identity,camera", "a,1,one"], "line 2: camera 'one' is not a whole number"),
    (["path,identity,camera", "a,1"], "line 2: needs a value in every column"),
    (["path,identity,camera,split", "a,1,1,test"], "line 2: split 'test' is not one of train, query, gal"),
    (["path,identity,camera,split", "a,1,1,train", "b,1,2,"], "line 3: split '' is not one of"),
    (["path,identity,camera", "a,1,1", "a,2,2"], "a is listed under two identities, 1 and 2"),
    (["path,identity,camera", "a,1,1", "a,1,2"], "a is listed twice"),
    (["path,identity,camera"], "no images in it"),
    (["path,identity,camera,split", "a,1,1,train", "b,1,2,train", "c,1,3,query", "d,1,4,gallery"],
     "c: identity 1 is in query and in train"),
    (["path,identity,camera,split", "a,1,1,train", "b,1,2,train", "c,2,1,query", "d,2,1,gallery",
      "e,2,2,gallery"], "d: identity 2 is query and gallery from the same camera, 1"),
    (["path,identity,camera,split", "a,1,1,train", "b,1,2,train", "c,2,1,query", "d,2,2,query"],
     "c: identity 2 is a query but has no gallery image"),
])
def test_csv_refuses(tmp_path, lines, complaint):
    with pytest.raises(InputError, match=complaint):
        read("csv", table(tmp_path, *lines))
