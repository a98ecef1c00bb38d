"""One on-disk layout per file: each writes generated people as that dataset is distributed."""
