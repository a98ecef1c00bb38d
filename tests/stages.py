"""Not a test: a whole stage in one call, for tests that are about what comes of it."""

from reid.engine.settings import defaults, override
from reid.stages.stage import Job, carry_out, check_stage

SHORT = ["batch=4", "max_iter=2", "display=2", "test_every=0", "snapshot_every=2", "workers=0"]
"""Settings of a run of two iterations."""


def tiny_job(data, out, *assignments, stage="viper", base="tiny", objective="vi", init=None, **other):
    """A Job, on the CPU. other: fields of it that have a default."""
    return Job(stage, data, out, base, objective, override(defaults(base), assignments), init, None, **other)


def run_stage(job, splits):
    """Check a Job, train and evaluate the splits numbered `splits`; the folders of their runs."""
    return carry_out(check_stage(job, splits))
