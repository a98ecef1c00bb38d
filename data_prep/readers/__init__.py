"""The datasets, one file each: how a raw folder becomes a checked Index, and all facts; see `registry`."""
