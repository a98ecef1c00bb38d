"""The staged training: chains of stages, what a command comes to, the checks before it, and the run of one split."""
