"""Market-1501's layout: bounding_box_train, bounding_box_test, query and gt_bbox, six cameras.

At 1,501 people the numbers of images are the real dataset's; with fewer people they are in proportion.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from data_prep.people.draw import empty, reframe, track
from data_prep.people.layouts.share import spread
from data_prep.readers.market1501 import COUNTS, SIZE
from reid.common.rng import generator

_PEOPLE = 1501
_OF_KNOWN = (COUNTS["bounding_box_test"] - COUNTS["junk in bounding_box_test"]
             - COUNTS["distractors in bounding_box_test"])


def write(folder: Path, people: list[int], tested: int | None) -> dict:
    """Write the people of these seeds; return the counts, which GENERATED.json takes up."""
    rng = generator(people[0], "market1501")
    trained = (round(len(people) * COUNTS["training identities"] / _PEOPLE) if tested is None
               else len(people) - tested)
    order = rng.permutation(len(people)) + 1
    writer = _Writer(folder, people, rng)
    writer.train(sorted(order[:trained].tolist()))
    writer.test(sorted(order[trained:].tolist()))
    writer.distractors()
    return {"counts": {**writer.count, "training identities": trained,
                       "query identities": len(people) - trained}}


class _Writer:
    """Writes pictures under Market-1501's names and counts them."""

    def __init__(self, folder: Path, people: list[int], rng: np.random.Generator) -> None:
        self.folder, self.people, self.rng = folder, people, rng
        self.count = dict.fromkeys(COUNTS, 0)
        for name in ("bounding_box_train", "bounding_box_test", "query", "gt_bbox"):
            (folder / name).mkdir()

    def train(self, numbers: list[int]) -> None:
        """Write the training identities: tracked boxes, and boxes drawn by hand (gt_bbox)."""
        tracks = self._tracks(numbers)
        boxes = self._share("bounding_box_train", len(numbers) / COUNTS["training identities"], tracks)
        by_hand = self._share("gt_bbox", len(numbers) / _PEOPLE, tracks)
        for (number, camera), detected, drawn in zip(tracks, boxes, by_hand):
            pictures = track(self.people[number - 1], camera, drawn + detected, SIZE)
            self._save("gt_bbox", f"{number:04d}", camera, pictures[:drawn])
            self._save("bounding_box_train", f"{number:04d}", camera, pictures[drawn:], box=1)

    def test(self, numbers: list[int]) -> None:
        """Write the tested identities: one query a camera, tracked boxes, and junk cut from them."""
        tracks = self._tracks(numbers)
        part = len(numbers) / COUNTS["query identities"]
        boxes = spread(round(_OF_KNOWN * part), len(tracks))
        junk = self._share("junk in bounding_box_test", part, tracks)
        by_hand = self._share("gt_bbox", len(numbers) / _PEOPLE, tracks)
        for (number, camera), detected, cut, drawn in zip(tracks, boxes, junk, by_hand):
            pictures = track(self.people[number - 1], camera, drawn + detected, SIZE)
            self._save("gt_bbox", f"{number:04d}", camera, pictures[:drawn])
            self._save("query", f"{number:04d}", camera, pictures[:1])
            self._save("bounding_box_test", f"{number:04d}", camera, pictures[drawn:], box=1)
            pieces = [reframe(pictures[0], self.rng, zoom=1.8, shift=.35) for _ in range(cut)]
            self._save("bounding_box_test", "-1", camera, pieces, box=1, frame=100 * number)

    def distractors(self) -> None:
        """Write boxes with nobody in them, under the identity 0000."""
        share = COUNTS["distractors in bounding_box_test"] * len(self.people) / _PEOPLE
        for number in range(round(share)):
            camera = 1 + number % 6
            picture = empty(self.people[0] + number, camera, SIZE)
            self._save("bounding_box_test", "0000", camera, [picture], box=1, frame=number)

    def _tracks(self, numbers: list[int]) -> list[tuple[int, int]]:
        """Return which identity walks past which cameras: four or five of the six, chosen at random."""
        total = round(len(numbers) * COUNTS["query"] / COUNTS["query identities"])
        return [(number, int(camera) + 1) for number, cameras in zip(numbers, spread(total, len(numbers)))
                for camera in sorted(self.rng.permutation(6)[:cameras])]

    def _share(self, name: str, part: float, tracks: list) -> list[int]:
        return spread(round(COUNTS[name] * part), len(tracks))

    def _save(self, name: str, identity: str, camera: int, pictures: Sequence[np.ndarray], box: int = 0,
              frame: int = 0) -> None:
        self.count[name] += len(pictures)
        kind = {"-1": "junk", "0000": "distractors"}.get(identity)
        if kind:
            self.count[f"{kind} in {name}"] += len(pictures)
        for number, picture in enumerate(pictures, frame):
            path = self.folder / name / f"{identity}_c{camera}s1_{number:06d}_{box:02d}.jpg"
            path.write_bytes(cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 95))[1].tobytes())
