"""The settings of a training stage: one dataclass, with bounds, units and help."""

import math
import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path

from reid.common.errors import InputError
from reid.engine.device import BFLOAT16, FLOAT32
from reid.formats import json_record
from reid.formats.image_lmdb import SIZE
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import Heads

TEST_BATCH = 16    # held-out pairs at a time, at most: more would take memory and gain nothing
AUTO = "auto"
# What was a setting once: an error says what to set now.
REPLACED = {"iter_size": "batch is what one update sees; it is cut into passes of pass_pairs"}


class Size(typing.NamedTuple):
    """Pixels; written 128x64."""
    height: int
    width: int


LARGEST = 2 ** 31 - 1    # whole number that Caffe's solver can hold
LARGEST_INPUT = 2048     # pixels


@dataclass(frozen=True)
class About:
    """What the metadata of a field says about its setting, beside type and default.

    help: one phrase for the table in docs/training.md; low, high: bounds, both included (for a Size, of both
    numbers); only: the allowed values; free: whether a run may resume with another value, because the setting
    changes how the run is observed or fed, but not what it computes.
    """
    help: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    only: tuple[str, ...] = ()
    free: bool = False


def _setting(help: str, *, default: typing.Any = MISSING, **about: typing.Any) -> typing.Any:
    return field(default=default, metadata={"about": About(help, **about)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a stage. Those without a default here take it from the backbone (`defaults`)."""

    # The pairs
    batch: int = _setting("pairs that one update sees (paper: 48 for VGG-16, 64 for ResNet-50)",
                          unit="pairs", low=1, high=LARGEST)
    pass_pairs: int | str = _setting("pairs computed at a time, a divisor of batch; an update adds up the "
                                     "gradients of all its passes; auto: the most that the memory holds",
                                     unit="pairs", default=AUTO, low=1, high=LARGEST)
    input: Size = _setting("what the net sees; the crop is resized to it where it differs",
                           unit="pixels", low=16, high=LARGEST_INPUT)
    mean: tuple[float, float, float] = _setting(
        "subtracted from every pixel, in the order blue, green, red", unit="0…255")
    crop: int = _setting("side of the random crop of the stored 256×256 image (paper: 224)", unit="pixels",
                         default=224, low=16, high=SIZE)
    workers: int = _setting("processes that prepare batches ahead; 0: none", unit="processes", default=2,
                            low=0, high=64, free=True)
    threads: int | None = _setting("threads that compute on the CPU, also `--threads N`; none: "
                                   "OMP_NUM_THREADS, or one for each core",
                                   unit="threads", default=None, low=1, high=1024, free=True)
    # The net
    feature: str = _setting("the blob that is compared and classified (VGG-16: fc7 or pool5)")
    dropout: float = _setting("probability of dropping a feature's component, 1 − p of eq. 1",
                              default=Heads.dropout, low=0, high=0.99)
    verif_scale: float = _setting("s in (s·(x1 − x2))²: how large the verification head's input is", low=1e-9)
    verif_weight: float = _setting("weight λ of the verification loss in eq. 6",
                                   default=Heads.verif_weight, low=0)
    id_weight: float = _setting("weight of each of the two identification losses (paper: 1)",
                                default=Heads.id_weight, low=0)
    batch_norm: str = _setting("BatchNorm's statistics while training: those that came with the weights "
                               "(stored), or each pass's own (batch), which are averaged for the test",
                               default="stored", only=("stored", "batch"))
    two_branch: bool = _setting("write the backbone twice, as in Fig. 1, instead of once over both images",
                                default=False)
    arithmetic: str = _setting("what a CPU's convolutions multiply while training: numbers as they are "
                               "(float32), or rounded to 8 significant bits (bfloat16), which takes less "
                               "time on processors that can; sums stay float32",
                               default=FLOAT32, only=(FLOAT32, BFLOAT16))
    # The solver
    epochs: float | None = _setting("how many to train (paper: at most 75), 0.5 is half of one; none: "
                                    "all prepared; 0: no training", unit="epochs", default=None, low=0)
    max_iter: int | None = _setting("stop after this many iterations, wherever the epochs are; none: do not",
                                    unit="iterations", default=None, low=1, high=LARGEST, free=True)
    lr: float = _setting("learning rate (paper: 0.001)", default=0.001, low=1e-12)
    lr_final: float = _setting("learning rate of the last epochs (paper: 0.0001)", default=0.0001, low=1e-12)
    lr_final_epochs: float | None = _setting("how many epochs these are (paper: 10 of 75); none: in that "
                                             "proportion", unit="epochs", default=None, low=0)
    momentum: float = _setting("of the gradient descent", default=0.9, low=0, high=0.9999)
    weight_decay: float = _setting("L2 penalty on the weights", default=0.0005, low=0)
    clip_gradients: float = _setting("largest L2 norm of the whole gradient, above 0; -1: any")
    id_lr_mult: float = _setting("learning rate of the identification layer, in multiples of lr", unit="lr",
                                 default=Heads.id_lr_mult, low=0)
    verif_lr_mult: float = _setting("learning rate of the verification layer, in multiples of lr",
                                    unit="lr", low=0)
    # The run
    seed: int = _setting("of everything random: initial weights, crops, dropout", default=0, low=0,
                         high=LARGEST)
    display: int = _setting("iterations between two lines of progress", unit="iterations", default=20,
                            low=1, high=LARGEST, free=True)
    test_every: int = _setting("iterations between two tests on held-out pairs; 0: none",
                               unit="iterations", default=500, low=0, high=LARGEST, free=True)
    test_pairs: int | None = _setting("held-out pairs in such a test, evenly spread over all of them; "
                                      "none: all", unit="pairs", default=1024, low=1, high=LARGEST, free=True)
    evaluate_every: int = _setting("iterations between two rankings of the test identities; 0: none",
                                   unit="iterations", default=0, low=0, high=LARGEST, free=True)
    snapshot_every: int = _setting("iterations between two snapshots", unit="iterations", default=500,
                                   low=1, high=LARGEST, free=True)
    keep_snapshots: int = _setting("how many of the newest are kept", unit="snapshots", default=2,
                                   low=1, high=LARGEST, free=True)
    test_view: str = _setting('what of a test image the net sees: its centre ("crop") or all ("resize")',
                              default="crop", only=("crop", "resize"))

    @property
    def in_pass(self) -> int:
        """Pairs in one pass; the whole batch where pass_pairs is still to be chosen."""
        return self.batch if self.pass_pairs == AUTO else self.pass_pairs

    @property
    def passes(self) -> int:
        """Passes in one update."""
        return self.batch // self.in_pass

    @property
    def test_batch(self) -> int:
        """Pairs at a time in the test net."""
        return min(self.in_pass, TEST_BATCH)


ABOUT: dict[str, About] = {one.name: one.metadata["about"] for one in fields(Settings)}
FREE = {key for key, about in ABOUT.items() if about.free}
PLAIN = typing.TypedDict("Plain", typing.get_type_hints(Settings), total=False)    # as a file keeps them


def defaults(base: str) -> Settings:
    """The Settings of a backbone, a key of reid.nets.backbones.registry.BACKBONES."""
    of = BACKBONES[base]
    return Settings(feature=of.feature, batch=of.batch, input=Size(of.height, of.width), mean=of.mean,
                    verif_scale=of.verif_scale, clip_gradients=of.clip_gradients,
                    verif_lr_mult=of.verif_lr_mult)


def override(settings: Settings, assignments: Iterable[str], where: str = "--set") -> Settings:
    """`settings` with the values of `assignments`, such as "lr=0.01"; InputError says what is allowed.

    where: what stands before an assignment in an error.
    """
    known, given = kinds(), {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"{where} {assignment}: write key=value")
        if key in REPLACED:
            raise InputError(f"{where} {assignment}: {key} is gone: {REPLACED[key]}")
        if key not in known:
            raise InputError(f"{where} {assignment}: there is no setting {key!r}; there are "
                             f"{', '.join(sorted(known))}")
        given[key] = _parse(key, known[key], text, where)
    settings = replace(settings, **given)
    _check(settings)
    return settings


def kinds() -> dict[str, typing.Any]:
    """The declared type of every setting, in the order in which they are declared."""
    return typing.get_type_hints(Settings)


def as_plain(settings: Settings) -> dict[str, typing.Any]:
    """The settings as a dict of plain values, for YAML and JSON."""
    return {key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(settings).items()}


def of_run(base: str, given: dict) -> dict:
    """The settings that a run of any version kept, as `as_plain` gives them today.

    A setting that there was not yet when the run was started had its default. `batch` once counted the pairs
    of one pass, of which `iter_size` made an update.
    """
    given = dict(given)
    passes, batch = given.pop("iter_size", 1), given.get("batch")
    if "pass_pairs" not in given and isinstance(batch, int) and isinstance(passes, int):
        given |= {"batch": batch * passes, "pass_pairs": batch}
    return {**as_plain(defaults(base)), **given}


def check_plain(given: dict, where: str, file: Path, remedy: str) -> None:
    """InputError where a value of settings that a file keeps, in the mapping `where`, is none of its setting.

    Settings of other versions are free.
    """
    json_record.check_value(given, PLAIN, where, file, remedy)
    for key in ABOUT.keys() & given.keys():
        try:
            _check_value(key, given[key])
        except InputError as error:
            raise InputError(f"{file}: {where}: {error}; {remedy}") from None


def _parse(key: str, kind: typing.Any, text: str, where: str) -> typing.Any:
    """The value of a setting from its text, by its declared type."""
    try:
        if kind == int | str:
            return text if text == AUTO else int(text)
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
        words = {int: "a whole number", float: "a number", bool: "true or false",
                 Size: "HEIGHTxWIDTH, as 128x64",
                 int | str: "a whole number or auto",
                 int | None: "a whole number or none", float | None: "a number or none"}
        raise InputError(f"{where} {key}={text}: {key} is "
                         f"{words.get(kind, 'three numbers, as 104,117,124')}") from None


def _number(text: str) -> int | float:
    """A whole number as an int, so that 6 and 6.0 are one setting."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _check(settings: Settings) -> None:
    """InputError where a value lies outside what makes sense."""
    for key in ABOUT:
        _check_value(key, getattr(settings, key))
    if not (settings.clip_gradients == -1 or settings.clip_gradients > 0):
        raise InputError(f"clip_gradients is {settings.clip_gradients}; "
                         "it must be above 0, or -1 for no clipping")
    if settings.batch % settings.in_pass:
        raise InputError(f"pass_pairs is {settings.pass_pairs}; it must divide batch, {settings.batch}, or "
                         "be auto")


def _check_value(key: str, value: typing.Any) -> None:
    """InputError where a setting's value, of its type, lies outside what makes sense."""
    about = ABOUT[key]
    if about.only and value not in about.only:
        raise InputError(f"{key} is {value!r}; it must be one of {', '.join(about.only)}")
    numbers = value if isinstance(value, tuple | list) else (value,) if isinstance(value, int | float) else ()
    if not all(math.isfinite(number) for number in numbers if isinstance(number, float)):
        raise InputError(f"{key} is {as_text(value)}; it must be finite")
    if not all(about.low <= number <= about.high for number in numbers):
        raise InputError(f"{key} is {as_text(value)}; it must be {allowed(about, type(value), value)}")


def allowed(about: About, kind: type, value: object = None) -> str:
    """The bounds of a setting of such a type, as a phrase: "at least 1", "from 0 to 64"; "" for none.

    What Caffe can hold at most is named only to a value that is above it.
    """
    low, high = (f"{bound}x{bound}" if kind is Size else f"{bound}" for bound in (about.low, about.high))
    named = about.high != math.inf and (about.high != LARGEST or isinstance(value, int) and value > LARGEST)
    if named:
        return f"from {low} to {high}"
    return f"at least {low}" if about.low != -math.inf else ""


def as_text(value: typing.Any) -> str:
    """A setting's value as --set takes it."""
    if isinstance(value, Size):
        return f"{value.height}x{value.width}"
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
