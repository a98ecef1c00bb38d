"""The end of a run: its figures and what they come from, written to result.json."""

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from reid.common import machine
from reid.common.files import sha256_file
from reid.engine import tables
from reid.engine.alarms import alarms
from reid.engine.device import computing
from reid.features.histogram import histograms
from reid.formats import manifest as manifests, result as result_file
from reid.formats.manifest import split_checksum
from reid.formats.result import Result
from reid.provenance import lineage
from reid.stages.evaluator import MULTI

if TYPE_CHECKING:    # which imports this file
    from reid.stages.run import Run


def write_result(run: "Run", done: int, seconds: float, weights: dict[str, str] | None,
                 after: dict[str, Any] | None) -> None:
    """Write the result of a Run and log its figures.

    done, seconds: iterations trained, and the time spent in them; weights: {"file", "sha256"} of the trained
    ones, None where there was nothing to train; after: their figures.
    """
    result = _result(run, done, seconds, weights, after)
    result_file.write(run.folder, result)
    for when in ("histogram", "before", "after"):
        if not (figures := getattr(result, when)):
            continue
        run.log(f"{when:>9}: {_shares(figures)}")
        for how, pooled in figures.get(MULTI, {}).items():
            run.log(f"{'':9}  multiple query, {how}: {_shares(pooled)}")


def _result(run: "Run", done: int, seconds: float, weights: dict[str, str] | None,
            after: dict[str, Any] | None) -> Result:
    job, manifest, evaluator = run.job, run.manifest, run.evaluator
    run.log(f"colour histograms of {sum(map(len, evaluator.rows.values()))} images, and the ranking")
    colours = {side: histograms(run.images, rows, run.settings.workers)
               for side, rows in evaluator.rows.items()}
    about = dict(
        **run.asked, **run.start(), dataset=manifest.dataset, generated=manifest.generated,
        split_origin=run.entry.origin, protocol=manifest.protocol,
        mode="exact" if manifest.protocol == "single-shot" else None,
        data_seed=manifest.seed, pair_schedule=manifest.schedule,
        manifest_sha256=sha256_file(job.data / manifests.NAME),
        split_sha256=split_checksum(manifest, run.name), readings=manifest.readings,
        validation=manifest.validation,
        train_identities=run.entry.classes, test_identities=evaluator.identities(),
        before=None if job.blank else evaluator.figures(run.kept("before")), after=after,
        histogram=evaluator.figures(colours),
        chance=evaluator.chance(), iterations=done, weights=weights, seconds=round(seconds, 3),
        pairs_per_second=round(done * run.schedule.step / seconds, 2) if done else None,
        alarms=alarms(run.folder) if done else [],
        tables=tables.state(run.folder, tables.ALL) if done else None,
        device="cpu" if job.gpu is None else "gpu",
        versions=run.versions, machine=machine.describe(),
        computing=computing(job.gpu, job.threads),
        finished=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M"),
        data_folder=lineage.place(job.data, run.folder, job.out))
    before = lineage.up_to(job.origin, job.settings.seed)
    return Result(**about, lineage=[*before, lineage.entry(Result(**about))])


def _shares(figures: dict[str, Any]) -> str:
    """The figures in per cent, as one line."""
    ranks = ", ".join(f"rank-{k} {100 * v:.1f} %" for k, v in figures["cmc"].items())
    trapezoid, step = (100 * figures["mAP"][kind] for kind in ("trapezoid", "step"))
    return ranks + f", mAP {trapezoid:.1f} % (step {step:.1f} %)"
