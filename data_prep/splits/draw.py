"""Drawing splits from a seed: half of the identities train, the other half are tested."""

from data_prep.rng import generator

SPLITS = 10


def draw(identities, seed: int) -> list[dict[str, list[str]]]:
    """Return SPLITS splits {"train": [identity, …], "test": [identity, …]}, each list sorted.

    With an odd number of identities the test half is the larger one.
    """
    names = sorted(identities)
    splits = []
    for number in range(SPLITS):
        order = generator(seed, "split", number).permutation(len(names))
        half = len(names) // 2
        splits.append({"train": sorted(names[place] for place in order[:half]),
                       "test": sorted(names[place] for place in order[half:])})
    return splits
