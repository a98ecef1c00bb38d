"""Not a test: a whole stage in one call, for tests that are about what comes of it."""

from reid.engine.settings import defaults, override
from reid.stages.stage import Job, carry_out, check_stage


def tiny_job(data, out, *assignments):
    """A Job of stage viper for tiny, both losses, from random weights."""
    return Job("viper", data, out, "tiny", "vi", override(defaults("tiny"), assignments), None, None)


def run_stage(job, splits):
    """Check a Job, train and evaluate the splits numbered `splits`; the folders of their runs."""
    return carry_out(check_stage(job, splits))
