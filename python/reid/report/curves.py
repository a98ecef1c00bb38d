"""The course of a training: losses, and the rank-1 of the test identities where it was looked at on the way."""

import matplotlib
matplotlib.use("Agg")    # no screen is needed to write a file
import matplotlib.pyplot as plt
import numpy as np

from reid.training.tables import read

GUESSING = np.log(2)


def draw(path, section, group):
    """Write a PNG of all splits of a Group; False where no split has left a loss."""
    runs = [(read(folder / "losses.csv"), read(folder / "test.csv"), read(folder / "evaluation.csv"))
            for folder in group.folders]
    if not any(losses for losses, _, _ in runs):
        return False
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    for losses, tests, ranks in runs:
        for axis, part in zip(axes, ("id", "verif")):
            _plot(axis, *_mean_loss(losses, part), smooth=True, color="tab:blue", label="training")
            _plot(axis, *_mean_loss(tests, part), color="tab:orange", marker="o", label="held out")
        _plot(axes[2], ranks.get("iteration", []), 100 * np.array(ranks.get("rank_1", [])), color="tab:green",
              marker="o", label="test identities")
    axes[1].axhline(GUESSING, color="grey", linestyle="--", label="guessing, log 2")
    for axis, title in zip(axes, ("identification loss", "verification loss", "rank-1, %")):
        axis.set(title=title, xlabel="iteration", ylim=(0, None))
        handles = dict(zip(*reversed(axis.get_legend_handles_labels())))    # one entry for all splits
        if handles:
            axis.legend(handles.values(), handles.keys())
    data = "generated people, not photographs" if section.generated else section.dataset
    figure.suptitle(f"{section.stage}: {group.name}, {len(group.results)} split(s). Data: {data}")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
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
