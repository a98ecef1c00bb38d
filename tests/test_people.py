"""Generated people: repeatable, marked, two cameras that disagree, and no gift to a colour histogram."""

import json

import cv2
import numpy as np
import pytest

from data_prep.people import __main__ as command
from data_prep.people.body import Pose, joints, project
from data_prep.people.draw import draw, track
from data_prep.people.layouts.share import in_proportion, spread
from data_prep.people.pattern import around
from data_prep.people.wardrobe import dress
from data_prep.people.write import write
from data_prep.readers.registry import read
from data_prep.splits.load import load_split, split_count
from reid.common.errors import InputError


def test_a_photograph_is_a_function_of_person_camera_and_shot():
    first = draw(5, camera=1, shot=0)
    assert first.shape == (128, 48, 3) and first.dtype == np.uint8
    assert np.array_equal(first, draw(5, camera=1, shot=0))
    for other in (draw(6, 1, 0), draw(5, 2, 0), draw(5, 1, 1)):
        assert not np.array_equal(first, other)
    assert draw(5, 1, size=(60, 160)).shape == (160, 60, 3)


def test_a_person_keeps_their_clothes():
    assert dress(11) == dress(11)
    assert len({dress(seed) for seed in range(200)}) == 200


def test_the_body_stands_and_turns():
    body = joints(Pose(yaw=0, stride=0, bend=0), girth=1)
    ankle = body["ankle", 1]
    assert .93 < ankle[1] < .98     # just above the soles, which are at 1
    left = body["shoulder", 1]      # the person's left is the camera's right when they face it
    assert project(left, 0)[0][0] > 0 > project(left, np.pi)[0][0]
    assert project(left, np.pi / 2)[1] < 0 < project(left, -np.pi / 2)[1]     # turned away, turned near


def test_patterns_turn_with_the_body():
    middle = np.array(0.)
    assert around(middle, 0) == pytest.approx(0)                     # facing us: the front
    assert abs(around(middle, np.pi)) == pytest.approx(np.pi)        # from behind: the back
    assert around(middle, np.pi / 2) == pytest.approx(-np.pi / 2)    # walking to our right: their right side


def test_the_layout_is_vipers(generated_viper):
    names = sorted(path.relative_to(generated_viper).as_posix() for path in generated_viper.rglob("*.bmp"))
    assert len(names) == 48 and names[0] == "cam_a/000_0.bmp" and names[-1] == "cam_b/023_90.bmp"
    assert cv2.imread(str(generated_viper / names[0])).shape == (128, 48, 3)
    mark = json.loads((generated_viper / "GENERATED.json").read_text())
    assert mark == {"generator": "data_prep.people", "layout": "viper", "identities": 24, "seed": 7}


def test_the_command_writes_the_same_bytes(tmp_path, generated_viper, capsys):
    assert command.main(["--out", str(tmp_path / "raw"), "--identities", "3", "--seed", "7"]) == 0
    assert "generated data" in capsys.readouterr().out
    for name in ("cam_a/000_0.bmp", "cam_b/002_90.bmp"):
        assert (tmp_path / "raw" / name).read_bytes() == (generated_viper / name).read_bytes()


@pytest.mark.parametrize("layout, dataset", [("viper", "viper"), ("cuhk01", "cuhk01"), ("cuhk03", "cuhk03"),
                                             ("cuhk03-short", "cuhk03"), ("market1501", "market1501"),
                                             ("folder", "folder")])
def test_as_many_are_tested_as_asked_for(tmp_path, layout, dataset):
    write(tmp_path / "raw", layout, 10, 3, tested=4)
    index = read(dataset, tmp_path / "raw", None)
    for number in (0, split_count(index) - 1):
        split = load_split(index, number, 5)
        tested = {index.images[place].identity for place in split.query}
        trained = {index.images[place].identity for place in split.train}
        assert len(tested) == 4 and tested.isdisjoint(trained)
        assert len(trained) == (5 if dataset == "cuhk03" else 6)    # CUHK03 keeps one for validation


def test_more_than_half_cannot_be_tested(tmp_path):
    with pytest.raises(InputError, match="tested 11: give 1 to 10, half of the 20 identities"):
        write(tmp_path / "raw", "viper", 20, 3, tested=11)


def test_it_never_writes_over_files(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert command.main(["--out", str(tmp_path), "--identities", "2"]) == 2
    assert f"error: {tmp_path}: not an empty folder" in capsys.readouterr().err
    with pytest.raises(InputError, match="layout 'cuhk09' is not known; choose one of viper"):
        write(tmp_path / "new", "cuhk09", 2, 0)
    with pytest.raises(InputError, match="give at least two identities"):
        write(tmp_path / "new", "viper", 1, 0)


def test_six_cameras_see_a_person_differently():
    seen = [draw(3, camera, size=(64, 128)) for camera in range(1, 7)]
    assert len({picture.tobytes() for picture in seen}) == 6


def test_the_frames_of_a_track_show_the_same_pose_framed_anew():
    frames = track(3, 4, 4, (64, 128))
    assert len(frames) == 4 and np.array_equal(frames[0], draw(3, 4, 0, (64, 128)))
    assert all(np.array_equal(one, other) for one, other in zip(frames, track(3, 4, 2, (64, 128))))
    assert len({frame.tobytes() for frame in frames}) == 4
    other_pose = draw(3, 4, 1, (64, 128)).astype(float)
    for frame in frames[1:]:
        assert np.abs(frame - frames[0].astype(float)).mean() < np.abs(frame - other_pose).mean()


def test_shares_add_up():
    assert spread(11, 4) == [3, 3, 3, 2] and spread(1, 2) == [1, 0]
    assert in_proportion(1467, [843, 440, 77, 58, 49]) == [843, 440, 77, 58, 49]
    assert in_proportion(16, [843, 440, 77, 58, 49]) == [9, 5, 1, 1, 0]     # 9.19 4.80 .84 .63 .53


def colour_histogram(picture):
    """OpenCV's own hue-saturation histogram of the whole picture."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1], None, [12, 8], [0, 180, 0, 256])
    return cv2.normalize(counts, None, 1, 0, cv2.NORM_L1)


def test_a_colour_histogram_does_not_solve_them():
    people = range(40)
    seen = {camera: [colour_histogram(draw(person, camera)) for person in people] for camera in (1, 2)}
    distance = np.array([[cv2.compareHist(probe, other, cv2.HISTCMP_BHATTACHARYYA) for other in seen[2]]
                         for probe in seen[1]])
    rank_1 = np.mean(distance.argmin(axis=1) == np.arange(40))
    assert rank_1 < .2     # chance is 1/40
