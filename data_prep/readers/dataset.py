"""What each file of this folder defines: a Dataset, how it is read and what is known of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from data_prep.index import Index
from data_prep.splits.draw import HALF, Rule


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset: how it is read, split and prepared.

    name            on the command line of python -m data_prep
    read            function that takes the raw folder (and the variant, where there are variants) and
                    returns a checked Index
    protocol        of the evaluation: "single-shot" or "market1501"
    variants        names of its variants, the paper's own first; variants_are: what differs, for the help
    rules           how it is split, by variant; None: every other variant. Without a rule half are tested
    identities      the published ones, which its committed split files divide
    divided         function that says whether an identity takes part in the splits
    prefix          what stands before the committed files' identities in this dataset
    flip            whether images are mirrored at random (section III-C: only VIPeR's)
    first_only      whether only split 0 is prepared by default: the pairs of all would take gigabytes
    as_distributed  whether one picture under two identities is accepted, since the dataset is so published
    of              names of the datasets that it is made of; its raw folder holds theirs
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
    of: tuple[str, ...] = ()

    def rule(self, variant: str | None) -> Rule:
        """The rule of a variant."""
        return self.rules.get(variant) or self.rules.get(None, HALF)
