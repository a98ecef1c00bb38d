"""What a file of this folder says of its dataset, beside reading it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from data_prep.index import Index
from data_prep.splits.draw import HALF, Rule


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset: how it is read, split and prepared.

    name            as python -m data_prep has it
    read            function of the raw folder, and of the variant where there are variants, that gives a
                    checked Index
    protocol        of the evaluation: "single-shot" or "market1501"
    variants        in which it comes, the paper's own first; variants_are: what they say, for the help
    rules           how it is split, by variant, or for all (None); where neither is there, half are tested
    identities      that its committed split files divide: those that were published
    divided         whether an identity takes part in the splits
    prefix          of the committed files' identities in this dataset
    flip            whether images are mirrored at random (section III-C: VIPeR's alone)
    first_only      whether only split 0 is prepared where none is asked for: the pairs of all would take
                    gigabytes
    as_distributed  whether one picture under two identities is let pass: the dataset is not ours to mend
    """
    name: str
    read: Callable[..., Index]
    protocol: str = "single-shot"
    variants: tuple[str, ...] = ()
    variants_are: str = ""
    rules: Mapping[str | None, Rule] = field(default_factory=dict)
    identities: tuple[str, ...] = ()
    divided: Callable[[str], bool] = lambda identity: True
    prefix: str = ""
    flip: bool = False
    first_only: bool = False
    as_distributed: bool = False

    def rule(self, variant: str | None) -> Rule:
        """The rule of a variant."""
        return self.rules.get(variant) or self.rules.get(None, HALF)
