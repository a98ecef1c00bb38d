"""ImageNet weights: where they come from, and how they become caffemodels in files/ (not committed)."""
