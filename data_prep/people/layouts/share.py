"""Shares: cutting a dataset's proportions to the number of generated people."""

from collections.abc import Sequence


def spread(total: int, parts: int) -> list[int]:
    """Return `parts` whole numbers, as equal as can be, that add up to `total`."""
    return [total // parts + (place < total % parts) for place in range(parts)]


def in_proportion(total: int, weights: Sequence[int]) -> list[int]:
    """Return one whole number for each weight, in proportion (largest remainder), that add up to `total`."""
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    left = sorted(range(len(shares)), key=lambda place: -(total * weights[place] % whole))
    for place in left[:total - sum(shares)]:
        shares[place] += 1
    return shares
