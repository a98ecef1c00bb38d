"""The datasets, one file each: it reads a raw folder into a checked Index and holds all facts; by name in `registry`."""
