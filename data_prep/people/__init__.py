"""Generated pedestrians, seen by two cameras, in the on-disk layout of a real dataset."""
