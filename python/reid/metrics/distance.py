"""How two features are compared (paper, sections II-C, III-B): L2-normalised, squared Euclidean distance."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from reid.common.errors import InputError

SMALL, LARGE = 1e-30, 1e30    # lengths beyond which a row or its inverse would leave float32's range
QUERIES = 1024    # at most in one matrix product; with fewer the gallery would be read more often
BLOCK = 50_000_000    # distances at most in one product: 200 MB of float32, and two are held


def lengths(features: np.ndarray) -> np.ndarray:
    """The L2 norm, (N,) float64, of each row of `features` (N, D).

    Raises InputError where a value is not finite: a ranking of such features would be meaningless.
    """
    squares = np.einsum("nd,nd->n", features, features, dtype=np.float64)
    if not np.isfinite(squares).all():
        row = int(np.flatnonzero(~np.isfinite(squares))[0])
        raise InputError(f"feature {row} holds NaN or infinity: the net that made it has diverged")
    return np.sqrt(squares)


def normalise(features: ArrayLike) -> np.ndarray:
    """Each row of `features` (N, D) scaled to length 1, as float64; a row of zeros stays zero.

    Raises InputError where a value is not finite.
    """
    features = np.asarray(features, np.float64)
    return features * _inverse(lengths(features))[:, None]


def squared_distances(query: ArrayLike, gallery: ArrayLike, dtype: DTypeLike = np.float64) -> np.ndarray:
    """Squared Euclidean distances between the L2-normalised rows of query (Q, D) and gallery (G, D).

    Returns (Q, G) of `dtype`, each between 0 and 4. Raises InputError where the two have different lengths D.
    """
    distances = np.empty((len(query), len(gallery)), dtype)
    for number, row in enumerate(distance_rows(query, gallery, dtype)):
        distances[number] = row
    return distances


def distance_rows(query: ArrayLike, gallery: ArrayLike,
                  dtype: DTypeLike = np.float32) -> Iterator[np.ndarray]:
    """The rows of `squared_distances`, one (G,) array of `dtype` for each query, without holding all of them.

    The gallery is not copied where it is of `dtype` already: its lengths are divided out of the products.
    """
    query, gallery = np.asarray(query), np.asarray(gallery)
    if query.shape[1] != gallery.shape[1]:
        raise InputError(f"query features have {query.shape[1]} values and gallery features "
                         f"{gallery.shape[1]}: they come from different nets")
    norms = lengths(gallery)
    if ((norms > 0) & ((norms < SMALL) | (norms > LARGE))).any():
        gallery = normalise(gallery)
    if gallery.dtype != dtype:
        gallery = gallery.astype(dtype)
        norms = lengths(gallery)
    query = normalise(query).astype(dtype)
    scale = (-2 * _inverse(norms)).astype(dtype)
    gallery_squares, query_squares = (norms > 0).astype(dtype), query.any(axis=1).astype(dtype)    # 1 or 0
    for row, square in zip(chain.from_iterable(_products(query, gallery)), query_squares):
        row = row * scale    # the block is overwritten; each row yielded stays
        row += gallery_squares
        row += square
        yield np.maximum(row, 0, out=row)


def _products(query: np.ndarray, gallery: np.ndarray) -> Iterator[np.ndarray]:
    """The products of query (Q, D) and gallery (G, D), in blocks of rows; the next is computed meanwhile.

    Two blocks of memory are filled in turn: a block is overwritten when the next but one is asked for.
    """
    size = max(1, min(QUERIES, len(query), BLOCK // max(1, len(gallery))))
    memory = np.empty((2, size, len(gallery)), gallery.dtype)

    def compute(number: int) -> np.ndarray:
        block = query[number * size:(number + 1) * size]
        return np.matmul(block, gallery.T, out=memory[number % 2, :len(block)])

    with ThreadPoolExecutor(1) as beside:
        ahead = beside.submit(compute, 0)
        for number in range(1, 1 + math.ceil(len(query) / size)):
            products = ahead.result()
            ahead = beside.submit(compute, number)    # past the last query it is empty
            yield products


def _inverse(norms: np.ndarray) -> np.ndarray:
    return 1 / np.where(norms > 0, norms, 1)
