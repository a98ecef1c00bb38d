"""Not a test: a whole stage in one call, for tests that are about what comes of it."""

from reid.stages.stage import carry_out, check_stage


def run_stage(job, splits):
    """Check a Job, train and evaluate the splits numbered `splits`; the folders of their runs."""
    return carry_out(check_stage(job, splits))
