"""What the paper claims, judged by paired differences between our runs: experiments/claims.yaml.

A comparison is of runs that are the same in all but what a claim is about. For each split and seed in which
all its terms were run, there is one difference. Their mean has the 95 % interval of Student's t,
mean ± t·s/√n with n − 1 degrees of freedom; from six differences on, the p-value of Wilcoxon's signed-rank
test stands beside it and decides nothing. Splits of one dataset share people: the intervals are somewhat
too narrow.
"""

import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from reid.common.errors import InputError
from reid.formats.result import Result
from reid.formats.yaml_file import mapping, read
from reid.report.layout import at, inside
from reid.report.results import OBJECTIVES, PRETRAINED, RANDOM, Section, settings_of, start_of

LEAST = 3                # differences that a comparison is judged from; fewer decide nothing
CONFIDENCE = 0.95
WILCOXON = 6             # differences from which a signed-rank test can fall below 0.05
REPRODUCED, CONTRADICTED, UNDECIDED = "reproduced", "contradicted", "undecided"
Term = tuple[int, dict[str, Any]]    # +1 or −1, and its conditions
TERMS = {"objective": str, "start": str, "verif_weight": (int, float, dict), "query": str}
STARTS, QUERIES = ("imagenet", "random", "chain"), {"single": "single_query", "multiple": "multi_query"}
WATCHED = {"mean"}       # settings that follow from the weights at the start


@dataclass(frozen=True)
class Comparison:
    """The differences of one part of a claim under one set of conditions.

    about: the conditions in words; differences: points, one for each split and seed, in `units`; runs: of all
    terms; low, high: the interval, None with fewer than LEAST differences; wilcoxon: p-value or None.
    """
    part: str
    about: str
    dataset: str
    differences: list[float]
    runs: list[Result]
    low: float | None
    high: float | None
    wilcoxon: float | None

    @property
    def mean(self) -> float:
        """Of the differences."""
        return float(np.mean(self.differences))

    @property
    def verdict(self) -> str:
        """Of this comparison alone."""
        if self.low is None or self.low <= 0 <= self.high:
            return UNDECIDED
        return REPRODUCED if self.low > 0 else CONTRADICTED


@dataclass(frozen=True)
class Claim:
    """A claim and the comparisons that were found for each of its parts, {name: [Comparison]}."""
    name: str
    claim: str
    paper: str
    measure: str
    parts: dict[str, list[Comparison]]

    @property
    def verdict(self) -> str:
        """Contradicted by any comparison; reproduced where each part has some, and all of them show it."""
        judged = {name: [one for one in found if one.low is not None] for name, found in self.parts.items()}
        verdicts = [one.verdict for found in judged.values() for one in found]
        if CONTRADICTED in verdicts:
            return CONTRADICTED
        return REPRODUCED if all(judged.values()) and set(verdicts) == {REPRODUCED} else UNDECIDED


def load(path: Path) -> dict:
    """The entries of a file of claims; InputError names the file, the claim, and what is allowed."""
    top = mapping(path, "the file", read(path), {"claims": dict})
    for name, entry in top.get("claims", {}).items():
        where = f"claim {name}"
        mapping(path, where, entry, {"claim": str, "paper": str, "measure": str, "datasets": list,
                                     "starts": list, "parts": list})
        missing = {"claim", "paper", "measure", "parts"} - entry.keys()
        if missing or entry["measure"] not in ("rank-1", "mAP") or not entry["parts"]:
            raise InputError(f"{path}: {where}: needs claim, paper, measure (rank-1 or mAP) and parts; it "
                             f"has {', '.join(f'{key} {value!r}' for key, value in entry.items())}")
        for start in entry.get("starts", ()):
            _check_term(path, where, {"start": start})
        for part in entry["parts"]:
            part = mapping(path, f"{where}, a part", part, {"name": str, "more": list, "less": list})
            if {"name", "more", "less"} - part.keys() or len(part["more"]) != len(part["less"]):
                raise InputError(f"{path}: {where}: a part needs a name, and as many terms in more "
                                 "as in less")
            for term in part["more"] + part["less"]:
                _check_term(path, f"{where}, {part['name']}", term)
    return top.get("claims", {})


def judge(entries: dict, sections: list, stands_in: Collection[str] = ()) -> list[Claim]:
    """The Claims of `load`, judged by Sections that are all real or all generated."""
    runs = [run for section in sections for group in section.groups for result in group.runs()
            if result.after
            for run in _Run.of(section, result, stands_in)]
    return [Claim(name, entry["claim"], entry["paper"], entry["measure"],
                  {part["name"]: list(_comparisons(entry, part, runs)) for part in entry["parts"]})
            for name, entry in entries.items()]


def compare(part: str, about: str, dataset: str, differences: Sequence[float],
            runs: list[Result]) -> Comparison:
    """A Comparison with its interval.

    >>> one = compare("", "", "viper", [1.0, 2.0, 3.0], [])    # 2 ± 4.303 · 1/√3
    >>> round(one.low, 3), round(one.high, 3), one.verdict
    (-0.484, 4.484, 'undecided')
    """
    n, low, high, p = len(differences), None, None, None
    if n >= LEAST:
        half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(differences, ddof=1) / np.sqrt(n)
        low, high = float(np.mean(differences) - half), float(np.mean(differences) + half)
    if n >= WILCOXON and np.any(differences):
        p = float(stats.wilcoxon(differences).pvalue)
    return Comparison(part, about, dataset, list(differences), runs, low, high, p)


@dataclass(frozen=True)
class _Run:
    """A Result as claims see it: `known` by the keys of TERMS; unit: dataset, split and seed."""
    result: Result
    dataset: str
    known: dict
    unit: tuple
    fixed: dict

    @classmethod
    def of(cls, section: Section, result: Result, stands_in: Collection[str]) -> Iterator["_Run"]:
        """One for a single query, and one for multiple ones where there are."""
        origin, *between = start_of(result, stands_in)
        start = {PRETRAINED: "imagenet", RANDOM: "random"}.get(origin, origin)
        settings = {key: value for key, value in settings_of(result).items() if key not in WATCHED}
        known = {"objective": result.objective, "start": "chain" if between and start == "imagenet"
                 else start,
                 "verif_weight": settings.pop("verif_weight", None)}
        if start == "random" and settings.get("batch_norm") == "batch":
            settings["batch_norm"] = "stored"    # it follows from the start too: there are none to be stored
        fixed = {"base": result.base, "between": between, "iterations": result.iterations,
                 "settings": settings}
        unit = section.stage, result.data["images"], result.split, result.settings.get("seed")
        for name, column in QUERIES.items():
            if at(result.after, inside(column, "rank-1")) is not None:
                yield cls(result, section.dataset, {**known, "query": name}, unit, fixed)

    def figure(self, measure: str | int) -> float:
        """In per cent."""
        return 100 * at(self.result.after, inside(QUERIES[self.known["query"]], measure))


def _comparisons(entry: dict[str, Any], part: dict[str, Any], runs: Sequence[_Run]) -> Iterator[Comparison]:
    """The Comparisons of a part: one for each set of conditions under which all its terms were run."""
    terms = [(sign, term) for sign, key in ((1, "more"), (-1, "less")) for term in part[key]]
    named = {key for _, term in terms for key in term}
    wanted = [run for run in runs if run.dataset in entry.get("datasets", [run.dataset])
              and run.known["start"] in entry.get("starts", [run.known["start"]])
              and ("query" in named or run.known["query"] == "single")]
    conditions = {}
    for run in wanted:
        fixed = {key: value for key, value in run.fixed.items()
                 if not (key == "between" and "start" in named)}
        same = {key: value for key, value in run.known.items() if key not in named}
        conditions.setdefault(json.dumps([run.dataset, fixed, same], sort_keys=True), []).append(run)
    for alike in conditions.values():
        fitting = [[run for run in alike if _fits(run, term)] for _, term in terms]
        # Several values of λ may fit one term: each of them is compared.
        for weights in itertools.product(*(sorted({run.known["verif_weight"] for run in found})
                                           for found in fitting)) if "verif_weight" in named else [None]:
            yield from _compare(entry, part, terms, fitting, weights)


def _compare(entry: dict[str, Any], part: dict[str, Any], terms: Sequence[Term],
             fitting: Sequence[Sequence[_Run]], weights: Sequence[float] | None) -> Iterator[Comparison]:
    by_unit = [{run.unit: run for run in found if weights is None
                or run.known["verif_weight"] == weights[place]}
               for place, found in enumerate(fitting)]
    units = sorted(set.intersection(*map(set, by_unit)), key=str)
    if units:
        differences = [sum(sign * by_unit[place][unit].figure(entry["measure"])
                           for place, (sign, _) in enumerate(terms)) for unit in units]
        runs = [by_unit[place][unit] for unit in units for place in range(len(terms))]
        about = _describe(runs[0], terms, weights)
        yield compare(part["name"], about, runs[0].dataset, differences, [run.result for run in runs])


def _describe(run: _Run, terms: Sequence[Term], weights: Sequence[float] | None) -> str:
    """The conditions of a comparison in words."""
    settings = run.fixed["settings"]
    height, width = settings.get("input", (224, 224))
    named = {key for _, term in terms for key in term}
    words = [run.result.base, f"{height}×{width}", f"{settings.get('batch')} pairs",
             f"{run.result.iterations:,} iterations"]
    words += [f"objective {run.known['objective']}"] if "objective" not in named else []
    words += [f"start {run.known['start']}"] if "start" not in named else []
    return ", ".join(words + ([f"λ {' against '.join(f'{one:g}' for one in weights)}"] if weights else []))


def _fits(run: _Run, term: dict[str, Any]) -> bool:
    for key, wanted in term.items():
        value = run.known[key]
        if isinstance(wanted, dict):
            if not ("below" in wanted and value < wanted["below"] or "above" in wanted
                    and value > wanted["above"]):
                return False
        elif value != wanted:
            return False
    return True


def _check_term(path: Path, where: str, term: dict[str, Any]) -> None:
    mapping(path, f"{where}, a term", term, dict.fromkeys(TERMS))
    for key, allowed in (("objective", tuple(OBJECTIVES)), ("start", STARTS), ("query", tuple(QUERIES))):
        if term.get(key, allowed[0]) not in allowed:
            raise InputError(f"{path}: {where}: {key} is {term[key]!r}; it is one of {', '.join(allowed)}")
    weight = term.get("verif_weight", 0)
    sides = list(weight.items()) if isinstance(weight, dict) else [("below", weight)]
    if len(sides) != 1 or sides[0][0] not in ("below", "above") or not isinstance(sides[0][1], (int, float)):
        raise InputError(f"{path}: {where}: verif_weight is {weight!r}; it is a number, or below or "
                         "above one")
