"""Which gallery images count for a query under Market-1501's rules (paper, section III-A).

Good: images of the query's identity by other cameras. Junk: those by its own camera, and everything of
identity −1; junk is skipped and takes no rank. Distractors, identity 0, are wrong like any other identity.
"""

import numpy as np
from numpy.typing import ArrayLike


def is_junk(ids: np.ndarray) -> np.ndarray:
    """Which of `ids` (N,) are of identity −1: not a person."""
    return ids == ("-1" if ids.dtype.kind == "U" else -1)


def is_distractor(ids: np.ndarray) -> np.ndarray:
    """Which of `ids` (N,) are of identity 0: an image that shows none of the numbered people."""
    return np.isin(ids, ["0", "0000"] if ids.dtype.kind == "U" else [0])


def good_and_junk(query_ids: ArrayLike, query_cams: ArrayLike, gallery_ids: np.ndarray,
                  gallery_cams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of G gallery images are good matches and which are junk: two masks.

    query_ids, query_cams: one identity and camera, for masks (G,), or arrays (Q, 1) of them, for (Q, G).

    >>> good_and_junk(7, 1, np.array([7, 5, 7, -1, 0]), np.array([2, 2, 1, 2, 3]))
    (array([ True, False, False, False, False]), array([False, False,  True,  True, False]))
    """
    own, seen = gallery_ids == query_ids, gallery_cams == query_cams
    return own & ~seen, own & seen | is_junk(gallery_ids)
