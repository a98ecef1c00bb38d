"""Ranked lists: what a query found, its pictures marked good, junk, distractor or wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike

from reid.common.errors import InputError
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import load_manifest
from reid.formats.picture import read_picture
from reid.metrics.distance import distance_rows
from reid.metrics.features import Features
from reid.metrics.junk import good_and_junk, is_distractor
from reid.metrics.ranking import Ranking
from reid.report.html import Html, hidden, join, picture, tag

HEIGHT = 192    # of a picture in a page, pixels
QUALITY = 85    # of its JPEG
LEGEND = ("Frames: good, solid green; wrong, dashed red; distractor, dotted orange; junk, dotted grey; the "
          "query's is double. Below each picture stand its rank and mark, identity, camera, squared "
          "distance and name.")


@dataclass(frozen=True)
class Found:
    """One gallery image of a list.

    mark: good, wrong, distractor or junk; rank: None for junk, which takes none.
    """

    name: str
    mark: str
    rank: int | None
    distance: float
    identity: object = None
    camera: int | None = None


class Folder:
    """Pictures in a folder that names are relative to, as a reader of raw data found them."""

    squeezed = False

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def get(self, name: str) -> bytes:
        """A picture as JPEG, made smaller where it is large; InputError where it is missing or damaged."""
        return _jpeg(read_picture(self.path / name))


class Prepared:
    """Pictures in the image LMDB of a prepared dataset, of whatever kind its raw files were.

    They are stored square, whatever their form was, and shown in that of a standing person.
    """

    squeezed = True

    def __init__(self, path: Path | str) -> None:
        self.path, manifest = Path(path), load_manifest(path)
        self.rows = {name: row for row, name in enumerate(manifest.images.path)}
        self.images = ImageStore(self.path / "images")

    def get(self, name: str) -> bytes:
        """A picture as JPEG; InputError where the dataset has none of that name."""
        if str(name) not in self.rows:
            raise InputError(f"{self.path}: has no image {name}; give the prepared data that the features "
                             "are of")
        planes, _ = self.images.get(self.rows[str(name)])
        return _jpeg(cv2.resize(planes.transpose(1, 2, 0), (HEIGHT // 2, HEIGHT),
                                interpolation=cv2.INTER_AREA))


def worst(ranking: Ranking, count: int) -> list[int]:
    """The numbers of the `count` queries with the lowest average precision of those that have a match."""
    return _by_precision(ranking)[:count]


def spread(ranking: Ranking, count: int) -> list[int]:
    """The numbers of `count` queries with a match, evenly from the lowest AP to the highest."""
    order = _by_precision(ranking)
    places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return [order[place] for place in places]


def _by_precision(ranking: Ranking) -> list[int]:
    order = np.argsort(ranking.precision["trapezoid"], kind="stable")
    return [int(query) for query in order if ranking.matches[query]]


def ranked_lists(protocol: str, query: Features, gallery: Features,
                 numbers: Sequence[int], count: int) -> list[list[Found]]:
    """For each query of `numbers` a list of Found: the `count` nearest gallery images, junk among them.

    After them comes the nearest good match where it is further down. Ranks are in the whole gallery.
    query, gallery: dicts of features (N, D), ids, cams and names (N,).
    """
    rows = distance_rows(query["features"][numbers], gallery["features"])
    return [_list(row, marks(protocol, query["ids"][number], query["cams"][number], gallery["ids"],
                             gallery["cams"]),
                  gallery, count) for number, row in zip(numbers, rows)]


def marks(protocol: str, identity: ArrayLike, camera: ArrayLike, gallery_ids: np.ndarray,
          gallery_cams: np.ndarray) -> np.ndarray:
    """What each gallery image, (G,), is to a query; single-shot: good or wrong, no junk, no distractors."""
    if protocol == "single-shot":
        return np.where(gallery_ids == identity, "good", "wrong")
    good, junk = good_and_junk(identity, camera, gallery_ids, gallery_cams)
    return np.select([junk, good, is_distractor(gallery_ids)], ["junk", "good", "distractor"], "wrong")


def _list(row: np.ndarray, marked: np.ndarray, gallery: Features, count: int) -> list[Found]:
    order = np.argsort(row, kind="stable")
    ranks = np.cumsum(marked[order] != "junk")
    good = np.flatnonzero(marked[order] == "good")[:1]
    places = [*range(min(count, len(order))), *good[good >= count]]
    return [Found(str(gallery["names"][image]), str(marked[image]),
                  None if marked[image] == "junk" else int(ranks[place]),
                  float(row[image]), gallery["ids"][image].item(), int(gallery["cams"][image]))
            for place, image in zip(places, order[places])]


def about(protocol: str, query: Features, ranking: Ranking, number: int,
          found: Sequence[Found]) -> str:
    """A query in words: who it shows, where in the whole gallery its first match is, its average precision.

    found: its list. Single-shot's own rank is a mean over galleries of one image of each identity, so that it
    is another number than a place among all images, and is called what it is.
    """
    matches = int(ranking.matches[number])
    words = [f"identity {query['ids'][number]}, camera {query['cams'][number]}",
             f"{matches} {'match' if matches == 1 else 'matches'} in the gallery"]
    first = next((one.rank for one in found if one.mark == "good"), None)
    if first is None:
        return ", ".join([*words, "none to be found"])
    words.append(f"first match at rank {first}")
    if protocol == "single-shot" and ranking.first[number] != first:
        words.append(f"at rank {ranking.first[number]:.4g} on average where the gallery holds one image of "
                     "each identity")
    return ", ".join([*words, f"AP {100 * ranking.precision['trapezoid'][number]:.1f} %"])


def as_html(protocol: str, query: Features, ranking: Ranking, numbers: Sequence[int],
            lists: Sequence[Sequence[Found]], pictures: Folder | Prepared, heading: str = "h2") -> Html:
    """The lists of queries as HTML. pictures: a Folder or Prepared; heading: element of a query's name."""
    parts = []
    for number, found in zip(numbers, lists):
        name = str(query["names"][number])
        first = _item("query", name, pictures, "query", f"query {name}", None)
        items = [_item(one.mark, one.name, pictures, "junk, no rank" if one.rank is None else
                       f"{one.rank}: {one.mark}", f"identity {one.identity}, camera {one.camera}",
                       f"distance {one.distance:.3f}") for one in found]
        parts.append(tag("section", tag(heading, f"Query {name}"),
                         tag("p", about(protocol, query, ranking, number, found)),
                         tag("ol", first, *items, class_="list"
                             + (" squeezed" if pictures.squeezed else ""))))
    return join(*parts)


def _item(mark: str, name: str, pictures: Folder | Prepared, title: str, who: str,
          distance: str | None) -> Html:
    shown = picture(pictures.get(name), "")    # all that it shows is said beside it
    lines = [tag("span", text) for text in (who, distance) if text]
    said = join(*(join(line, tag("br")) for line in lines)) if mark != "query" else hidden(who)
    return tag("li", tag("div", shown, class_=mark), tag("strong", title), said,
               None if mark == "query" else tag("span", name, class_="quiet"))


def _jpeg(image: np.ndarray) -> bytes:
    """A BGR image as JPEG, no higher than HEIGHT."""
    height, width = image.shape[:2]
    if height > HEIGHT:
        image = cv2.resize(image, (max(1, width * HEIGHT // height), HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
