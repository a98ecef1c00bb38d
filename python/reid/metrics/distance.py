"""How two features are compared (paper, sections II-C, III-B): L2-normalised, squared Euclidean distance."""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from threadpoolctl import ThreadpoolController

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


def distance_rows(query: ArrayLike, gallery: ArrayLike, dtype: DTypeLike = np.float32,
                  skip: int = 0) -> Iterator[np.ndarray]:
    """The rows of `squared_distances`, one (G,) array of `dtype` for each query, without holding all of them.

    The gallery is not copied where it is of `dtype` already: its lengths are divided out of the products.
    skip: the first images of the gallery that are checked as the others are, and have no place in the rows.
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
    gallery, norms = gallery[skip:], norms[skip:]
    query = normalise(query).astype(dtype)
    scale = (-2 * _inverse(norms)).astype(dtype)
    gallery_squares, query_squares = (norms > 0).astype(dtype), query.any(axis=1).astype(dtype)    # 1 or 0
    for row, square in zip(chain.from_iterable(_products(query, gallery)), query_squares):
        row = row * scale    # the block is overwritten; each row yielded stays
        row += gallery_squares
        row += square
        yield np.maximum(row, 0, out=row)


def _products(query: np.ndarray, gallery: np.ndarray) -> Iterator[np.ndarray]:
    """The products of query (Q, D) and gallery (G, D), in blocks of rows; the next are computed meanwhile.

    Two blocks of memory are filled in turn: a block is overwritten once the next one is asked for. Threads
    of BLAS would wait for each other after each product, and so for the one whose core is ranking: there are
    as many of ours instead, each with its own part of the gallery, which wait for nothing.
    """
    blas = ThreadpoolController().select(user_api="blas")
    threads = max((library["num_threads"] for library in blas.info()), default=1)
    parts = [slice(len(gallery) * n // threads, len(gallery) * (n + 1) // threads) for n in range(threads)]
    size = max(1, min(QUERIES, len(query), BLOCK // max(1, len(gallery))))
    memory = np.empty((2, size, len(gallery)), gallery.dtype)

    def compute(number: int) -> tuple[np.ndarray, list[Future]]:
        block = query[number * size:(number + 1) * size]    # past the last query it is empty
        products = memory[number % 2, :len(block)]
        return products, [beside.submit(np.matmul, block, gallery[part].T, out=products[:, part])
                          for part in parts]

    def one_thread() -> None:
        blas.limit(limits=1)    # here too: OpenMP counts for each of our threads anew

    with blas.limit(limits=1), ThreadPoolExecutor(threads, initializer=one_thread) as beside:
        ahead = deque([compute(0), compute(1)])
        for number in range(math.ceil(len(query) / size)):
            products, computed = ahead.popleft()
            for part in computed:
                part.result()
            yield products
            ahead.append(compute(number + 2))


def _inverse(norms: np.ndarray) -> np.ndarray:
    return 1 / np.where(norms > 0, norms, 1)
