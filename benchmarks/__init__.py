"""Speed beside a peer and a limit, and the runs behind the defaults: programs, read whole."""
