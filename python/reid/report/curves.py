"""The course of a training: losses, rank-1 of the test identities, learning rate, pair ratio, alarms."""

import matplotlib

matplotlib.use("Agg")    # no screen is needed to write a file
import matplotlib.pyplot as plt
import numpy as np

from reid.common.errors import InputError
from reid.engine import tables
from reid.engine.alarms import alarms
from reid.engine.tables import read
from reid.report.page import write_page

GUESSING = np.log(2)
LISTED = 8    # alarms that the list beside the curves has room for


def draw(path, section, group):
    """Write a PNG of all splits of a Group; False where no split has left a loss.

    InputError where a table is not what its run's result says of it.
    """
    for result, folder in zip(group.results, group.folders):
        other = tables.lacking(folder, result) if result.tables is not None else None
        if other:
            raise InputError(f"{folder / other}: is not as it was when the run was finished; bring it back, "
                             f"or delete {folder} and train again")
    if not any(read(folder / "losses.csv") for folder in group.folders):
        return False
    figure, axes = plt.subplots(2, 3, figsize=(14, 8))
    (identification, verification, rank), (rate, ratio, listed) = axes
    found = []
    for result, folder in zip(group.results, group.folders):
        losses, tests, ranks = (read(folder / name) for name in ("losses.csv", "test.csv", "evaluation.csv"))
        for axis, part in ((identification, "id"), (verification, "verif")):
            _plot(axis, *_mean_loss(losses, part), smooth=True, color="tab:blue", label="training")
            _plot(axis, *_mean_loss(tests, part), color="tab:orange", marker="o", label="held out")
        _plot(rank, ranks.get("iteration", []), 100 * np.array(ranks.get("rank_1", [])),
              color="tab:green", marker="o", label="test identities")
        _plot(rate, losses.get("iteration", []), losses.get("lr", []), color="tab:blue")
        _plot_ratio(ratio, read(folder / "epochs.csv"), result.iterations)
        found += [(alarm["iteration"], result.split, alarm["alarm"]) for alarm in alarms(folder)]
    verification.axhline(GUESSING, color="grey", linestyle="--", label="guessing, log 2")
    _mark(found, (identification, verification), listed)
    rate.set(yscale="log")
    ratio.axhline(3, color="grey", linestyle="--", label="where the paper ends, 3")
    for axis, title in ((identification, "identification loss"), (verification, "verification loss"),
                        (rank, "rank-1, %"), (rate, "learning rate"),
                        (ratio, "different pairs to each same pair")):
        axis.set(title=title, xlabel="iteration")
        if axis is not rate:
            axis.set_ylim(0, None)
        handles = dict(zip(*reversed(axis.get_legend_handles_labels())))    # one entry for all splits
        if handles:
            axis.legend(handles.values(), handles.keys())
        elif not axis.lines:
            axis.text(.5, .5, "not recorded", ha="center", color="grey", transform=axis.transAxes)
    _caption(figure, section, group)
    figure.tight_layout()
    write_page(path, figure)
    return True


def _mean_loss(table, part):
    """Iterations, and the mean of the losses of one head: id of both branches, or verif."""
    columns = [values for name, values in table.items() if name.startswith(f"loss_{part}")]
    return (table["iteration"], np.mean(columns, axis=0)) if columns else ([], [])


def _plot(axis, iterations, values, smooth=False, **style):
    """A line; `smooth` takes the mean over a fiftieth of it, and draws the whole of it faintly behind."""
    if not len(iterations):
        return
    width = max(1, len(values) // 50) if smooth else 1
    if width > 1:
        axis.plot(iterations, values, color=style["color"], alpha=.2, linewidth=.5)
        values = np.convolve(values, np.ones(width) / width, mode="valid")
        iterations = iterations[width - 1:]
    axis.plot(iterations, values, **style)


def _plot_ratio(axis, epochs, iterations):
    """The realised ratio of the pairs, a step for each epoch; the last lasts till the end of the run."""
    if epochs:
        axis.step([*epochs["iteration"], max(iterations, epochs["iteration"][-1])],
                  [*epochs["ratio"], epochs["ratio"][-1]], where="post", color="tab:blue")


def _mark(found, axes, listed):
    """Mark alarms, (iteration, split, name), in the curves of the losses, and list them in an empty axis."""
    for axis in axes:
        for iteration, _, _ in found:
            axis.axvline(iteration, color="tab:red", linestyle=":", label="alarm")
    lines = [f"iteration {iteration}, {split}:\n   {name}"
             for iteration, split, name in sorted(found)[:LISTED]]
    if len(found) > LISTED:
        lines.append(f"and {len(found) - LISTED} more, in the runs' alarms.csv")
    listed.axis("off")
    listed.set_title("alarms")
    listed.text(0, .95, "\n".join(lines) or "none", va="top", transform=listed.transAxes)


def _caption(figure, section, group):
    data = "generated people, not photographs" if section.generated else section.dataset
    figure.suptitle(f"{section.stage}: {group.name}, {len(group.results)} split(s). Data: {data}")
