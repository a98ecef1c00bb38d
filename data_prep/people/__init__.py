"""Generated pedestrians, seen by up to six cameras, in the on-disk layout of a real dataset."""
