"""The staged training: chains, plans and validates the required stages, the run of one split."""
