"""Ranked lists: what a query found, as a page of pictures marked good, junk, distractor or wrong."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib

matplotlib.use("Agg")    # no screen is needed to write a file
import matplotlib.pyplot as plt
import numpy as np

from reid.formats.picture import read_picture
from reid.metrics.distance import distance_rows
from reid.metrics.junk import good_and_junk, is_distractor
from reid.report.page import write_page

COLOURS = {"good": "tab:green", "wrong": "tab:red", "distractor": "tab:orange", "junk": "tab:grey",
           "query": "black"}
CELL = 1.0, 2.3    # inches of a picture with its two lines of text


@dataclass(frozen=True)
class Found:
    """One gallery image of a list. rank: None for junk, which takes none; mark: one of COLOURS."""
    name: str
    mark: str
    rank: int | None
    distance: float


def worst(ranking, count):
    """The numbers of the `count` queries with the lowest average precision of those that have a match."""
    order = np.argsort(ranking.precision["trapezoid"], kind="stable")
    return [int(query) for query in order if ranking.matches[query]][:count]


def ranked_lists(protocol, query, gallery, numbers, count):
    """For each query of `numbers` a list of Found: the `count` nearest gallery images, junk among them.

    After them comes the nearest good match where it is further down.
    query, gallery: dicts of features (N, D), ids, cams and names (N,).
    """
    rows = distance_rows(query["features"][numbers], gallery["features"])
    return [_list(row, marks(protocol, query["ids"][number], query["cams"][number], gallery["ids"],
                             gallery["cams"]),
                  gallery["names"], count) for number, row in zip(numbers, rows)]


def marks(protocol, identity, camera, gallery_ids, gallery_cams):
    """What each gallery image, (G,), is to a query; single-shot: good or wrong, no junk, no distractors."""
    if protocol == "single-shot":
        return np.where(gallery_ids == identity, "good", "wrong")
    good, junk = good_and_junk(identity, camera, gallery_ids, gallery_cams)
    return np.select([junk, good, is_distractor(gallery_ids)], ["junk", "good", "distractor"], "wrong")


def _list(row, marked, names, count):
    order = np.argsort(row, kind="stable")
    ranks = np.cumsum(marked[order] != "junk")
    good = np.flatnonzero(marked[order] == "good")[:1]
    places = [*range(min(count, len(order))), *good[good >= count]]
    return [Found(str(names[image]), str(marked[image]),
                  None if marked[image] == "junk" else int(ranks[place]),
                  float(row[image])) for place, image in zip(places, order[places])]


def draw(path, title, queries, lists, images):
    """Write a PNG: a row for each query, its picture and text first, then the pictures of its list.

    queries: (name, text) of each query; lists: its Founds; images: the folder that names are relative to.
    Raises InputError where a picture is missing or cannot be read.
    """
    columns = 2 + max(map(len, lists))
    figure, grid = plt.subplots(len(lists), columns, squeeze=False,
                                figsize=(CELL[0] * columns, CELL[1] * len(lists) + .5))
    for axes, (name, text), found in zip(grid, queries, lists):
        for axis in axes:
            axis.axis("off")
        axes[0].text(0, 1, text, fontsize=8, va="top", transform=axes[0].transAxes,
                     parse_math=False)    # an identity may be called p$x_$
        _show(axes[1], Path(images) / name, "query", "query")
        for axis, one in zip(axes[2:], found):
            place = "junk" if one.rank is None else f"{one.rank} {one.mark}"
            _show(axis, Path(images) / one.name, one.mark, f"{place}\n{one.distance:.3f}")
    figure.suptitle(title, fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 1 - .3 / figure.get_figheight()))
    write_page(path, figure)


def _show(axis, path, mark, text):
    """A picture in a frame of its mark's colour, with text below."""
    axis.axis("on")
    axis.imshow(cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2RGB))
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(text, fontsize=8, color=COLOURS[mark], parse_math=False)
    for spine in axis.spines.values():
        spine.set(color=COLOURS[mark], linewidth=3)
