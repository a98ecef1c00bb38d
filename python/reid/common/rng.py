"""The only source of random numbers: every draw is a pure function of a seed, a purpose and a place."""

import zlib

import numpy as np


def generator(seed: int, purpose: str, *where: int) -> np.random.Generator:
    """Return the random generator of one purpose (such as "pairs") at one place (such as an epoch).

    The same arguments always give the same stream, whatever was drawn elsewhere, so neither the number of
    workers nor a restart can change a result. `seed` and `where` are whole numbers ≥ 0.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *where])
