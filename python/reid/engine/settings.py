"""Everything about a training stage that can be set: one dataclass, one sentence for each."""

from dataclasses import asdict, dataclass, replace
import math
import types
import typing

from reid.common.errors import InputError
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import Heads

STORED = 256       # images are stored at 256×256 (paper, section III-C.3)
TEST_BATCH = 16    # most pairs at a time that are only looked at: more would take memory and gain nothing


class Size(typing.NamedTuple):
    """Pixels; written 128x64."""
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a stage. Those without a default here take it from the base network (`defaults`)."""

    # The pairs
    batch: int                           # pairs in one pass (paper: 48 for VGG-16, 64 for ResNet-50)
    input: Size                          # what the net sees; the crop is resized to it where it differs
    mean: tuple[float, float, float]     # subtracted from every pixel, in the order blue, green, red
    crop: int = 224                      # side of the random crop of the stored 256×256 image (paper: 224)
    workers: int = 2                     # processes that prepare batches ahead; 0: none
    threads: int | None = None           # that compute on the CPU; none: one for each core
    # The net
    dropout: float = Heads.dropout       # probability of dropping a feature's component, 1 − p of eq. 1
    verif_scale: float                   # s in (s·(x1 − x2))²: how large the verification head's input is
    verif_weight: float = Heads.verif_weight    # weight λ of the verification loss in eq. 6
    id_weight: float = Heads.id_weight   # weight of each of the two identification losses (paper: 1)
    two_branch: bool = False             # write the trunk twice, as in Fig. 1, instead of once over both images
    # The solver
    epochs: float | None = None          # passes over the pairs (paper: at most 75), 0.5: half of one; none: all prepared; 0: no training
    max_iter: int | None = None          # stop after this many iterations, wherever the epochs are; none: do not
    iter_size: int = 1                   # passes whose gradients are added up for one update
    lr: float = 0.001                    # learning rate (paper: 0.001)
    lr_final: float = 0.0001             # learning rate of the last epochs (paper: 0.0001)
    lr_final_epochs: float | None = None # how many those are (paper: 10 of 75); none: in that proportion
    momentum: float = 0.9                # of the gradient descent
    weight_decay: float = 0.0005         # L2 penalty on the weights
    clip_gradients: float                # largest L2 norm of the whole gradient; -1: any
    id_lr_mult: float = Heads.id_lr_mult        # learning rate of the identification layer, in multiples of lr
    verif_lr_mult: float                 # learning rate of the verification layer, in multiples of lr
    # The run
    seed: int = 0                        # of everything random: initial weights, crops, dropout
    display: int = 20                    # iterations between two lines of progress
    test_every: int = 500                # iterations between two passes over the held-out pairs; 0: none
    test_pairs: int | None = 1024        # held-out pairs looked at in a pass, evenly spread; none: all
    evaluate_every: int = 0              # iterations between two rankings of the test identities; 0: none
    snapshot_every: int = 500            # iterations between two snapshots
    keep_snapshots: int = 2              # how many of the newest are kept
    test_view: str = "crop"              # what of a test image the net sees: its centre ("crop") or all ("resize")

    @property
    def test_batch(self) -> int:
        """Pairs at a time in the test net."""
        return min(self.batch, TEST_BATCH)


LARGEST = 2 ** 31 - 1    # whole number that Caffe's solver can hold
LARGEST_INPUT = 2048     # pixels
# What a value must be, beyond its type: lowest, highest.
BOUNDS = {"batch": (1, LARGEST), "crop": (16, STORED), "workers": (0, 64), "threads": (1, 1024),
          "dropout": (0, 0.99), "verif_scale": (1e-9, math.inf), "verif_weight": (0, math.inf), "id_weight": (0, math.inf),
          "epochs": (0, math.inf),
          "max_iter": (1, LARGEST), "iter_size": (1, LARGEST), "lr": (1e-12, math.inf),
          "lr_final": (1e-12, math.inf), "lr_final_epochs": (0, math.inf), "momentum": (0, 0.9999),
          "weight_decay": (0, math.inf), "id_lr_mult": (0, math.inf), "verif_lr_mult": (0, math.inf),
          "seed": (0, LARGEST), "display": (1, LARGEST), "test_every": (0, LARGEST), "test_pairs": (1, LARGEST),
          "evaluate_every": (0, LARGEST), "snapshot_every": (1, LARGEST), "keep_snapshots": (1, LARGEST)}
VIEWS = ("crop", "resize")
# These change how a run is watched or fed, never what it computes: a run may go on with other values of them.
FREE = {"workers", "threads", "display", "max_iter", "snapshot_every", "keep_snapshots", "test_every", "test_pairs", "evaluate_every"}


def defaults(base):
    """The Settings of a base network, a key of reid.nets.backbones.registry.BACKBONES."""
    of = BACKBONES[base]
    return Settings(batch=of.batch, input=Size(of.height, of.width), mean=of.mean, verif_scale=of.verif_scale,
                    clip_gradients=of.clip_gradients, verif_lr_mult=of.verif_lr_mult)


def override(settings, assignments, where="--set"):
    """`settings` with the values of `assignments`, strings such as "lr=0.01"; InputError says what is allowed.

    where: what stands before an assignment in an error.
    """
    kinds = typing.get_type_hints(Settings)
    given = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"{where} {assignment}: write key=value")
        if key not in kinds:
            raise InputError(f"{where} {assignment}: there is no setting {key!r}; there are {', '.join(sorted(kinds))}")
        given[key] = _parse(key, kinds[key], text, where)
    settings = replace(settings, **given)
    _check(settings)
    return settings


def assigned(value: object) -> str:
    """A setting's value as --set would have it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def as_plain(settings):
    """The settings as a dict of plain values, for YAML and JSON."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()}


def _parse(key, kind, text, where):
    """The value of a setting from its text, by its declared type."""
    try:
        if isinstance(kind, types.UnionType):
            return None if text == "none" else _number(text) if kind == float | None else int(text)
        if kind is bool:
            return {"true": True, "false": False}[text]
        if kind is Size:
            height, width = map(int, text.split("x"))
            return Size(height, width)
        if typing.get_origin(kind) is tuple:
            blue, green, red = map(float, text.split(","))
            return blue, green, red
        return kind(text)
    except (ValueError, KeyError):
        words = {int: "a whole number", float: "a number", bool: "true or false", Size: "HEIGHTxWIDTH, as 128x64",
                 int | None: "a whole number or none", float | None: "a number or none"}
        raise InputError(f"{where} {key}={text}: {key} is {words.get(kind, 'three numbers, as 104,117,124')}") from None


def _number(text):
    """A whole number as an int, so that 6 and 6.0 are one setting."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _check(settings):
    """InputError where a value lies outside what makes sense."""
    for key, (low, high) in BOUNDS.items():
        value = getattr(settings, key)
        if value is not None and not (low <= value <= high and math.isfinite(value)):
            limit = (f"from {low} to {high}" if high < LARGEST or value > high else
                     f"at least {low}" if value < low else "finite")
            raise InputError(f"{key} is {value}; it must be {limit}")
    if not 16 <= min(settings.input) <= max(settings.input) <= LARGEST_INPUT:
        raise InputError(f"input is {settings.input.height}x{settings.input.width}; it must be from 16x16 to "
                         f"{LARGEST_INPUT}x{LARGEST_INPUT}")
    if not all(map(math.isfinite, settings.mean)):
        raise InputError(f"mean is {','.join(map(str, settings.mean))}; it must be three finite numbers")
    if settings.test_view not in VIEWS:
        raise InputError(f"test_view is {settings.test_view!r}; it must be one of {', '.join(VIEWS)}")
    if not (settings.clip_gradients == -1 or 0 < settings.clip_gradients < math.inf):
        raise InputError(f"clip_gradients is {settings.clip_gradients}; it must be above 0, or -1 for no clipping")
