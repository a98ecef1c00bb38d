"""Drawing splits from a seed: the identities to test, those kept for validation (if any), and to train on."""

from collections.abc import Iterable
from dataclasses import dataclass

from reid.common.rng import generator


@dataclass(frozen=True)
class Rule:
    """How a dataset is split: of its `people`, `test` are tested and `validation` kept, `splits` times.

    `name`: of the committed file, "" where there is none. Generated people are split in the same proportion.
    """
    people: int
    test: int
    validation: int = 0
    splits: int = 10
    name: str = ""

    def tested(self, people: int) -> int:
        """Return how many of so many people are tested: the same part, rounded up."""
        return -(-people * self.test // self.people)

    def validated(self, people: int) -> int:
        """Return how many of so many people are kept for validation: the same part, rounded up."""
        return -(-people * self.validation // self.people)


HALF = Rule(2, 1)


def draw(identities: Iterable[str], seed: int, rule: Rule = HALF) -> list[dict[str, list[str]]]:
    """Return rule.splits splits {"train": [identity, …], "test": […]}, each list sorted.

    With validation in the rule there is a list "validation" too.
    """
    names = sorted(identities)
    tested, validated = rule.tested(len(names)), rule.validated(len(names))
    trained = len(names) - tested - validated
    splits = []
    for number in range(rule.splits):
        order = [names[place] for place in generator(seed, "split", number).permutation(len(names))]
        parts = {"train": order[:trained], "validation": order[trained:trained + validated],
                 "test": order[trained + validated:]}
        splits.append({part: sorted(chosen) for part, chosen in parts.items()
                       if part != "validation" or rule.validation})
    return splits
