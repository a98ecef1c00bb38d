"""The paper's experiments as plans: which runs a table needs, what is there, what is missing and why."""
