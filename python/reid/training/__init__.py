"""One training stage: its settings, the checks before it, the loop, the snapshots and the record it leaves."""
