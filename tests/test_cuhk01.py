"""CUHK01: the reader on the names and numbers of the real dataset, and on generated people."""

import os
import shutil

import cv2
import numpy as np
import pytest

from data_prep.check import check
from data_prep.index import Image
from data_prep.people.write import write
from data_prep.prepare import prepare
from data_prep.readers.registry import read
from data_prep.splits.load import load_split
from reid.common.errors import InputError


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A folder with the file names of the whole real CUHK01, every image a flat grey."""
    root = tmp_path_factory.mktemp("cuhk01")
    (root / "campus").mkdir()
    cv2.imwrite(str(root / "grey.png"), np.full((160, 60, 3), 128, np.uint8))
    for identity in range(1, 972):
        for image in range(1, 5):
            os.link(root / "grey.png", root / f"campus/{identity:04d}{image:03d}.png")
    (root / "grey.png").unlink()
    return root


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "cuhk01"
    write(folder, "cuhk01", identities=12, seed=7)
    return folder


def test_the_whole_dataset(full):
    (full / "campus/Thumbs.db").write_bytes(b"stray")
    index = read("cuhk01", full)
    assert len(index.images) == 3884 and len(index.identities()) == 971
    assert index.images[:4] == tuple(Image(f"campus/000100{number}.png", "0001", camera)
                                     for number, camera in ((1, 1), (2, 1), (3, 2), (4, 2)))
    assert index.images[-1] == Image("campus/0971004.png", "0971", 2)
    assert (index.protocol, index.generated, index.variant) == ("single-shot", False, "p100")


def test_missing_and_strange_files_are_named(full):
    (full / "campus/0005003.png").rename(full / "campus/0972003.png")
    try:
        with pytest.raises(InputError, match="3884 images, 3884 expected; missing campus/0005003.png; not of "
                                             "the dataset campus/0972003.png; unpack"):
            read("cuhk01", full)
    finally:
        (full / "campus/0972003.png").rename(full / "campus/0005003.png")


def test_an_image_of_an_unknown_camera(full):
    (full / "campus/0001005.png").write_bytes(b"")
    try:
        with pytest.raises(InputError, match="not understood: campus/0001005.png; expected campus/<iden"):
            read("cuhk01", full)
    finally:
        (full / "campus/0001005.png").unlink()


def test_an_image_of_another_size(generated, tmp_path):
    shutil.copytree(generated, tmp_path / "raw")
    cv2.imwrite(str(tmp_path / "raw/campus/0002001.png"), np.zeros((128, 64, 3), np.uint8))
    with pytest.raises(InputError, match="0002001.png: 64×128 pixels; the dataset's images are 60×160"):
        read("cuhk01", tmp_path / "raw")


def test_generated_people(generated):
    index = read("cuhk01", generated)
    assert index.generated and len(index.images) == 48 and index.identities()[0] == "0001"
    assert len({(generated / image.path).read_bytes() for image in index.images}) == 48


@pytest.mark.parametrize("variant, tested", [("p100", 2), ("p486", 7)])     # 1.24 and 6.01 of 12, rounded up
def test_prepared_and_proved(generated, tmp_path, variant, tested):
    manifest = prepare("cuhk01", generated, tmp_path / "out", epochs=2, variant=variant)
    assert len(manifest.splits) == 10 and manifest.variant == variant and not manifest.flip
    split = manifest.splits["split03"]
    assert split.classes == 12 - tested and len(split.query) == len(split.gallery) == 2 * tested
    assert len(list(check(tmp_path / "out"))) == 33
    other = {"p100": "p486", "p486": "p100"}[variant]
    with pytest.raises(InputError, match=f"was prepared with variant {variant}, not {other}"):
        prepare("cuhk01", generated, tmp_path / "out", epochs=2, variant=other)


def test_the_real_dataset_takes_the_committed_splits(full):
    for variant, tested in (("p100", 100), ("p486", 486)):
        split = load_split(read("cuhk01", full, variant), 9, seed=5)
        assert split.origin == f"committed cuhk01-{variant}.json #9"
        assert (len(split.train), len(split.query)) == (4 * (971 - tested), 2 * tested)


def test_a_variant_that_is_not_there(generated):
    with pytest.raises(InputError, match="variant 'p50': cuhk01 has the variants p100 and p486"):
        read("cuhk01", generated, "p50")
    with pytest.raises(InputError, match="variant 'p100': viper has no variants"):
        read("viper", generated, "p100")


def test_people_of_another_layout(generated):
    with pytest.raises(InputError, match="GENERATED.json: these people were generated in the layout cuhk01, "
                                         "not in cuhk03's"):
        read("cuhk03", generated)
